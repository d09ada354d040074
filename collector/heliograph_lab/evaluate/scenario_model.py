"""Scenario: vantages, services and events, as a file or a test describes them.

README.md describes every event.
"""

import math
from dataclasses import dataclass

from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import FaultReason, VantageRef, VoteValue
from heliograph_lab.evaluate.population import (
    ESTABLISHED_US,
    ServiceSchedule,
    SilenceCause,
    SimulatedVantage,
    vantages_in_country,
)

CUTS = ("cut",)
INTERFERENCES = ("block", "throttle", "messenger_down", "anycast")
SILENCES: dict[str, SilenceCause] = {  # events that silence vantages without a cut
    "power": "power",
    "wifi": "blip",
    "carrier": "blip",
    "probe": "blip",
    "clock_jump": "blip",
    "update": "killed",
    "sleep": "away",
    "lids": "own",
    "prefix_move": "own",
    "own_block": "address",
}
FAULTS = {
    "restart": FaultReason.RESTART,
    "update": FaultReason.UPDATE,
    "carrier": FaultReason.CARRIER,
    "probe": FaultReason.PROBE,
    "clock_jump": next((why for why in FaultReason if why.value == "stalled"), FaultReason.PROBE),
}
EVENT_KINDS = tuple(dict.fromkeys((*CUTS, *INTERFERENCES, *SILENCES, "restart", "restore")))
VOTE_VALUES = {
    "block": VoteValue.BLOCKED,
    "throttle": VoteValue.THROTTLED,
    "anycast": VoteValue.BLOCKED,
}


@dataclass(frozen=True, slots=True)
class CellSelector:
    """A selector of vantages; empty fields match all, `share` the first of a location."""

    country: str = ""
    region: str = ""
    asn: int = 0
    access: str = ""
    carrier: str = ""
    prefix: str = ""
    beyond: str = ""  # an excluded region
    share: float = 1.0

    def includes(self, vantage: VantageRef, rank: float) -> bool:
        location = vantage.place
        return (
            self.country in ("", location.country)
            and self.region in ("", location.region)
            and self.asn in (0, location.asn)
            and self.access in ("", location.access)
            and self.carrier in ("", vantage.carrier)
            and self.prefix in ("", vantage.prefix)
            and not (self.beyond and self.beyond == location.region)
            and rank < self.share
        )

    @property
    def scope(self) -> Scope:
        return Scope(self.country, self.region, self.asn, self.access)


@dataclass(frozen=True, slots=True)
class EventShape:
    """Shape of the falls or returns of an event's vantages: see `world/shapes.py`."""

    shape: str  # one of SHAPES
    span_s: float  # from first to last; of a fade, until half have fallen


SHAPES = ("step", "providers", "fade")


@dataclass(frozen=True, slots=True)
class ScenarioEvent:
    """One event; a seed draws its time between the earliest and latest of `when`."""

    do: str
    when: tuple[float, float]
    cells: tuple[CellSelector, ...] = (CellSelector(),)
    id: str = ""
    lasts_s: float = math.inf  # or until a `restore`
    jitter_s: float = 0.0  # time over which the onsets of vantages are spread
    service: str = ""
    layer: str = ""
    method: str = ""
    share: float = 1.0  # of the tests; of `sleep`, `lids`, `own_block` see README.md
    declared: bool = True  # True if the collector knows of the fault
    scoreable: bool = True
    scope: Scope | None = None  # of the truth; None for the scope of `cells`
    label: str = ""
    shape: EventShape | None = None  # of a cut or a restoration; None: `jitter_s`

    def affects(self, vantage: SimulatedVantage, rank: float) -> bool:
        return any(cell.includes(vantage.ref, rank) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Vantages, services and events of `lasts_s` seconds."""

    name: str
    since_us: int
    lasts_s: float
    vantages: tuple[VantageRef, ...]
    churn: dict[str, float]  # silences per vantage-day, by country
    events: tuple[ScenarioEvent, ...] = ()
    services: tuple[ServiceSchedule, ...] = ()
    is_honest: bool = False  # vantages have the habits of the honest world


def other_countries(since_us: int, countries: int = 4, each: int = 12) -> tuple[VantageRef, ...]:
    """Create vantages of other countries."""
    codes = (f"X{chr(65 + i)}" for i in range(countries))
    regions = ("NOR", "SUD")
    return tuple(
        w
        for code in codes
        for w in vantages_in_country(code, regions, each, since_us - ESTABLISHED_US)
    )
