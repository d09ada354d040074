"""Signals that the detectors read; times are microseconds UTC on the collector's clock."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


class VantageLocation(NamedTuple):
    """Where a vantage is; "" and 0 are not known."""

    country: str
    region: str = ""
    asn: int = 0
    access: str = ""  # mobile, fixed, hosting


@dataclass(frozen=True, slots=True)
class VantageRef:
    """One vantage as a voter; `nym` must stay the same over a window."""

    nym: str
    prefix: str  # keyed hash of its network; "" not known, which is one network
    place: VantageLocation
    first_us: int = 0  # when it was first seen: the young confirm nothing
    carrier: str = "session"  # how it reaches us; edges of a CDN are carriers too


@dataclass(frozen=True, slots=True)
class VantageArrival:
    at_us: int
    witness: VantageRef


@dataclass(frozen=True, slots=True)
class Goodbye:
    """A planned end: stop, sleep, update, pause."""

    at_us: int
    nym: str


@dataclass(frozen=True, slots=True)
class VantageLoss:
    """A vantage found silent at `at_us` without goodbye, last heard at `heard_us`."""

    at_us: int
    nym: str
    heard_us: int


class FaultReason(StrEnum):
    """Why the collector could not observe."""

    RESTART = "restart"  # the collector was away: nobody's silence is known from that time
    PROBE = "probe"  # its own way to the world failed
    CARRIER = "carrier"  # an edge or a carrier failed
    UPDATE = "update"  # agents were being updated
    STALLED = "stalled"  # our machine stood still: it was suspended, or busy beyond measure


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the collector from `at_us` to `until_us`: silences in it mean nothing."""

    at_us: int
    until_us: int
    why: FaultReason
    country: str = ""  # "" everywhere
    carrier: str = ""  # "" every carrier


@dataclass(frozen=True, slots=True)
class OfflineReport:
    """What a returned vantage reports of the time in which it was offline."""

    at_us: int
    nym: str
    since_us: int
    until_us: int
    alive: bool  # it went on measuring; else its machine had rebooted


class VoteValue(StrEnum):
    """What one verdict says of a service from one vantage."""

    GOOD = "reachable"
    BLOCKED = "blocked"
    THROTTLED = "throttled"
    PARTIAL = "partial"  # k of n endpoints
    DOWN = "down"
    UNKNOWN = "unknown"


FAILING_VALUES = frozenset((VoteValue.BLOCKED, VoteValue.THROTTLED, VoteValue.PARTIAL))


@dataclass(frozen=True, slots=True)
class ServiceVote:
    """One vantage's verdict on one service, made at `at_us`."""

    at_us: int
    witness: VantageRef = field(repr=False)
    service: str
    standing: VoteValue
    layer: str = ""
    method: str = ""
    source: str = ""  # the experiment: of several on one service the worst word counts


PresenceSignal = VantageArrival | Goodbye | VantageLoss
Signal = PresenceSignal | Fault | OfflineReport | ServiceVote


def derive_vote_value(
    state: str,
    *,
    reachable: int = 0,
    endpoints: int = 0,
    goodput: float | None = None,
    slow_share: float,
) -> VoteValue:
    """Derive the vote from a verdict.

    `goodput` is relative to the vantage's neutral reference. Partial is usable although some of n
    endpoints are blocked; slowness counts only where the service was reached. Doubt stays unknown.
    """
    if state == VoteValue.GOOD and 0 < reachable < endpoints:
        return VoteValue.PARTIAL
    if state == VoteValue.GOOD and goodput is not None and goodput <= slow_share:
        return VoteValue.THROTTLED
    return VoteValue(state)
