"""Neutral events of a world: a collector's observations, in no detector's format.

Optional fields hold facts that not every agent reports: the entrance of a session, the power state,
the uptime at a return, and the tests of the gap. Times are microseconds UTC on the collector's
clock.
"""

from dataclasses import dataclass
from typing import Literal

from heliograph_collector.model.signals import Fault, VantageRef, VoteValue

PowerState = Literal["", "ac", "battery"]  # "" is unknown


@dataclass(frozen=True, slots=True)
class SessionBegan:
    at_us: int
    vantage: VantageRef
    entrance: str = "session"
    power: PowerState = ""
    uptime_s: float | None = None  # of the machine, in its first day; None is unknown


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """End of a session; without a goodbye it is noticed after a missed heartbeat."""

    at_us: int
    pseudonym: str
    heard_us: int
    goodbye: bool = False
    power: PowerState = ""  # as the last heartbeat said
    prefix: str = ""  # its network at that time
    closed_us: int = 0  # when its machine closed the connection; 0: it became silent


@dataclass(frozen=True, slots=True)
class GapReport:
    """Report of a vantage on a time of its silence.

    The report comes at its return, or earlier by another entrance.
    """

    at_us: int
    pseudonym: str
    since_us: int
    until_us: int
    foreign_good: int  # tests of foreign targets that succeeded in the gap
    foreign_bad: int
    entrance: str = "session"
    uptime_s: float | None = None  # shorter than the gap: it was off


@dataclass(frozen=True, slots=True)
class ServiceTested:
    """A test of a service, with the time at which it was measured."""

    at_us: int
    vantage: VantageRef
    service: str
    value: VoteValue
    layer: str = ""
    method: str = ""
    is_light: bool = False  # of one endpoint alone
    trigger: str = ""  # second_look after its own first failure; early_run: asked for


WorldEvent = SessionBegan | SessionEnded | GapReport | ServiceTested | Fault
