"""The result of a comparison with a source. It never decides on an incident."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NotRequired, TypedDict

from heliograph.timestamps import format_timestamp, parse_timestamp
from heliograph_collector.corroborate.incident import Entity

FIGURES = ("before", "during", "least", "points", "claims")


class Agreement(StrEnum):
    AGREES = "agrees"
    DISAGREES = "disagrees"
    NOTHING = "nothing_to_say"


class AgreementReason(StrEnum):
    """The reason of an agreement, as in the API."""

    DROPPED = "dropped"
    STAYED_UP = "stayed_up"
    REPORTED = "reported"  # the source or its staff report an outage
    NOT_REPORTED = "not_reported"
    LAGS = "lags"  # its data do not reach into the incident yet
    TOO_SHORT = "too_short"  # the incident lasted only a step or two of the series
    NO_BASELINE = "no_baseline"
    LOW_BEFORE = "low_before"  # it was low already, which is no evidence about this onset
    BETWEEN = "between"  # neither a clear drop nor clearly none
    WIDER = "wider"  # it has only a wider cell, which stayed up
    NO_SIGN = "no_sign"  # a dark country need not show in this series


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A comparison; times in microseconds UTC.

    `figures` belong to the series, as shares of the expected value.
    """

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
        """Return the identity: of two annotations with the same one the later counts."""
        return self.source, self.signal, self.entity

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.signal} of {self.entity}, incident {self.incident}: "
            f"{self.agreement} ({self.reason})"
        )

    def is_same_as(self, other: "Annotation | None") -> bool:
        return other is not None and (self.agreement, self.reason) == (
            other.agreement,
            other.reason,
        )


class EntityRecord(TypedDict):
    country: str
    asn: int


class WindowRecord(TypedDict):
    since: str
    until: str


class AnnotationRecord(TypedDict):
    """An annotation in the feed's style; a line of the log names the incident too."""

    incident: NotRequired[str]
    source: str
    signal: str
    entity: EntityRecord
    said: str
    window: WindowRecord
    what: str
    why: str
    figures: dict[str, float]
    url: str
    attribution: str


def to_record(annotation: Annotation) -> AnnotationRecord:
    """Convert to plain JSON values, in the style of the feed."""
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


def from_record(incident: str, record: AnnotationRecord) -> Annotation:
    """Parse the output of `to_record`. Raises ValueError, OverflowError."""
    figures = record["figures"]
    return Annotation(
        incident=incident,
        source=record["source"],
        signal=record["signal"],
        entity=Entity(**record["entity"]),
        evaluated_us=parse_timestamp(record["said"]),
        since_us=parse_timestamp(record["window"]["since"]),
        until_us=parse_timestamp(record["window"]["until"]),
        agreement=Agreement(record["what"]),
        reason=AgreementReason(record["why"]),
        figures={name: figures[name] for name in FIGURES if name in figures},
        url=record["url"],
        attribution=record["attribution"],
    )
