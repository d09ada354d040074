"""What a source outside says beside an incident. It never says whether there is one."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from heliograph_collector.corroborate.incident import Entity, micros, moment

FIGURES = ("before", "during", "least", "points", "claims")


class What(StrEnum):
    AGREES = "agrees"
    DISAGREES = "disagrees"
    NOTHING = "nothing_to_say"


class Why(StrEnum):
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
    said_us: int
    since_us: int
    until_us: int
    what: What
    why: Why
    figures: Mapping[str, float]
    url: str
    attribution: str

    @property
    def about(self) -> tuple[str, str, Entity]:
        """Of two annotations about the same, the later one counts."""
        return self.source, self.signal, self.entity

    def same_as(self, other: "Annotation | None") -> bool:
        return other is not None and (self.what, self.why) == (other.what, other.why)


def record(said: Annotation) -> dict[str, Any]:
    """As plain JSON values, in the feed's manner."""
    return {
        "source": said.source,
        "signal": said.signal,
        "entity": {"country": said.entity.country, "asn": said.entity.asn},
        "said": moment(said.said_us),
        "window": {"since": moment(said.since_us), "until": moment(said.until_us)},
        "what": said.what.value,
        "why": said.why.value,
        "figures": dict(said.figures),
        "url": said.url,
        "attribution": said.attribution,
    }


def read_record(incident: str, told: Mapping[str, Any]) -> Annotation:
    """Raises KeyError, TypeError, ValueError for what `record` has not written."""
    return Annotation(
        incident=incident,
        source=str(told["source"]),
        signal=str(told["signal"]),
        entity=Entity(str(told["entity"]["country"]), int(told["entity"]["asn"])),
        said_us=micros(told["said"]),
        since_us=micros(told["window"]["since"]),
        until_us=micros(told["window"]["until"]),
        what=What(told["what"]),
        why=Why(told["why"]),
        figures={name: float(told["figures"][name]) for name in FIGURES if name in told["figures"]},
        url=str(told["url"]),
        attribution=str(told["attribution"]),
    )
