"""What goes into the detectors. All times are microseconds UTC on the collector's clock."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


class Place(NamedTuple):
    """Where a vantage is; "" and 0 are not known."""

    country: str
    region: str = ""
    asn: int = 0
    access: str = ""  # mobile, fixed, hosting


@dataclass(frozen=True, slots=True)
class Witness:
    """One vantage as a voter. `nym` must stay the same over the window that is looked at."""

    nym: str
    prefix: str  # keyed hash of its network; "" not known, which is one network
    place: Place
    first_us: int = 0  # when it was first seen: the young confirm nothing
    carrier: str = "session"  # how it reaches us; edges of a CDN are carriers too


@dataclass(frozen=True, slots=True)
class Arrival:
    at_us: int
    witness: Witness


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Planned: stop, sleep, update, pause."""

    at_us: int
    nym: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Found silent at `at_us`, without a goodbye; last heard at `heard_us`."""

    at_us: int
    nym: str
    heard_us: int


class Why(StrEnum):
    """What made us blind."""

    RESTART = "restart"  # the collector was away: nobody's silence is known from that time
    PROBE = "probe"  # its own way to the world failed
    CARRIER = "carrier"  # an edge or a carrier failed
    UPDATE = "update"  # agents were being updated
    STALLED = "stalled"  # our machine stood still: it was suspended, or busy beyond measure


@dataclass(frozen=True, slots=True)
class Fault:
    """Ours, from `at_us` until `until_us`: silences in that time say nothing by themselves."""

    at_us: int
    until_us: int
    why: Why
    country: str = ""  # "" everywhere
    carrier: str = ""  # "" every carrier


@dataclass(frozen=True, slots=True)
class Replay:
    """What a vantage that came back tells of its time in the dark."""

    at_us: int
    nym: str
    since_us: int
    until_us: int
    alive: bool  # it went on measuring; else its machine had rebooted


class Standing(StrEnum):
    """What one verdict says of a service from one vantage."""

    GOOD = "reachable"
    BLOCKED = "blocked"
    THROTTLED = "throttled"
    PARTIAL = "partial"  # k of n endpoints
    DOWN = "down"
    UNKNOWN = "unknown"


BAD = frozenset((Standing.BLOCKED, Standing.THROTTLED, Standing.PARTIAL))


@dataclass(frozen=True, slots=True)
class Opinion:
    """One vantage's verdict on one service, made at `at_us`."""

    at_us: int
    witness: Witness = field(repr=False)
    service: str
    standing: Standing
    layer: str = ""
    method: str = ""
    source: str = ""  # the experiment: of several on one service the worst word counts


Presence = Arrival | Goodbye | Lost
Signal = Presence | Fault | Replay | Opinion


def standing_of(
    state: str, *, reachable: int = 0, endpoints: int = 0, goodput: float | None = None, slow: float
) -> Standing:
    """A verdict in this channel's words. `goodput` is over the vantage's own neutral reference.

    Partial is what can be used though some of n endpoints are blocked; slowness counts only where
    the service was reached. Doubt stays unknown.
    """
    if state == Standing.GOOD and 0 < reachable < endpoints:
        return Standing.PARTIAL
    if state == Standing.GOOD and goodput is not None and goodput <= slow:
        return Standing.THROTTLED
    return Standing(state)
