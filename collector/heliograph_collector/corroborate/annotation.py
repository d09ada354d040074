"""What a source outside says beside an incident. It never says whether there is one."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from heliograph_collector.corroborate.incident import Entity, format_timestamp, parse_timestamp

FIGURES = ("before", "during", "least", "points", "claims")


class Agreement(StrEnum):
    AGREES = "agrees"
    DISAGREES = "disagrees"
    NOTHING = "nothing_to_say"


class AgreementReason(StrEnum):
    """Why it says so; the API's words."""

    DROPPED = "dropped"
    STAYED_UP = "stayed_up"
    REPORTED = "reported"  # the source itself, or its people, tell of an outage
    NOT_REPORTED = "not_reported"
    LAGS = "lags"  # its data do not reach into the incident yet
    TOO_SHORT = "too_short"  # the incident was over within a step or two of the series
    NO_BASELINE = "no_baseline"
    LOW_BEFORE = "low_before"  # it was down already: that says nothing about this onset
    BETWEEN = "between"  # neither a clear drop nor clearly none
    WIDER = "wider"  # it cannot see this cell alone, and the wider one went on
    NO_SIGN = "no_sign"  # a series in which a dark country need not show


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """Microseconds UTC; `figures` are of the series' own, as shares of what was expected."""

    incident: str
    source: str
    signal: str
    entity: Entity
    evaluated_us: int
    since_us: int
    until_us: int
    agreement: Agreement
    reason: AgreementReason
    figures: Mapping[str, float]
    url: str
    attribution: str

    @property
    def subject(self) -> tuple[str, str, Entity]:
        """Of two annotations about the same, the later one counts."""
        return self.source, self.signal, self.entity

    def is_same_as(self, other: "Annotation | None") -> bool:
        return other is not None and (self.agreement, self.reason) == (
            other.agreement,
            other.reason,
        )


def to_record(annotation: Annotation) -> dict[str, Any]:
    """As plain JSON values, in the feed's manner."""
    return {
        "source": annotation.source,
        "signal": annotation.signal,
        "entity": {"country": annotation.entity.country, "asn": annotation.entity.asn},
        "said": format_timestamp(annotation.evaluated_us),
        "window": {
            "since": format_timestamp(annotation.since_us),
            "until": format_timestamp(annotation.until_us),
        },
        "what": annotation.agreement.value,
        "why": annotation.reason.value,
        "figures": dict(annotation.figures),
        "url": annotation.url,
        "attribution": annotation.attribution,
    }


def from_record(incident: str, fields: Mapping[str, Any]) -> Annotation:
    """Raises KeyError, TypeError, ValueError for what `to_record` has not written."""
    return Annotation(
        incident=incident,
        source=str(fields["source"]),
        signal=str(fields["signal"]),
        entity=Entity(str(fields["entity"]["country"]), int(fields["entity"]["asn"])),
        evaluated_us=parse_timestamp(fields["said"]),
        since_us=parse_timestamp(fields["window"]["since"]),
        until_us=parse_timestamp(fields["window"]["until"]),
        agreement=Agreement(fields["what"]),
        reason=AgreementReason(fields["why"]),
        figures={
            name: float(fields["figures"][name]) for name in FIGURES if name in fields["figures"]
        },
        url=str(fields["url"]),
        attribution=str(fields["attribution"]),
    )
