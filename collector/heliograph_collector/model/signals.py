"""Signals that the detectors read.

Times are microseconds UTC on the collector's clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeVar


class VantageLocation(NamedTuple):
    """The location of a vantage; "" and 0 mean unknown."""

    country: str
    region: str = ""
    asn: int = 0
    access: str = ""  # mobile, fixed, hosting


@dataclass(frozen=True, slots=True)
class VantageRef:
    """One vantage as a voter; `nym` must stay the same over a window."""

    nym: str
    prefix: str  # name of its line (`line_names`); all vantages with "" (unknown) are one line
    place: VantageLocation
    first_us: int = 0  # first seen at; young vantages confirm nothing
    # Its way to the collector: the transport, and after "/" the entrance, where that is known.
    # Edges of a CDN are carriers too.
    carrier: str = "session"


def is_other_way(carrier: str, other: str) -> bool:
    """Return whether two carriers are surely not the same way to the collector.

    One without its entrance may lead to any entrance of its transport.
    """
    if carrier == other:
        return False
    transport, _, entrance = carrier.partition("/")
    other_transport, _, other_entrance = other.partition("/")
    return transport != other_transport or bool(entrance and other_entrance)


@dataclass(frozen=True, slots=True)
class VantageArrival:
    """A connected vantage; `witness` names its carrier, None if its agent does not."""

    at_us: int
    witness: VantageRef
    on_battery: bool | None = None
    uptime_s: int | None = None  # of its machine; less than its silence lasted: it had rebooted
    edition: str = ""  # of its agent; "" is unknown
    same_boot: bool = False  # its machine is known to have run through its silence
    is_control: bool = False  # of the operator: it has no vote, and shows that an entrance lives


@dataclass(frozen=True, slots=True)
class Goodbye:
    """A planned end of a session: stop, sleep, update or pause."""

    at_us: int
    nym: str


@dataclass(frozen=True, slots=True)
class VantageLoss:
    """A loss without goodbye, detected at `at_us`; the last heartbeat is `heard_us`."""

    at_us: int
    nym: str
    heard_us: int
    on_battery: bool | None = None  # as in its last heartbeat
    prefix: str = ""  # name of its line for the day of the loss; "" unknown
    closed_us: int = 0  # when its connection was closed; 0: it fell silent, or unknown


class FaultReason(StrEnum):
    """The reason why the collector could not observe."""

    RESTART = "restart"  # the collector did not run, so silences of that time are unknown
    TAKEOVER = "takeover"  # another leads, and hosts watched all the time, as far as they live
    PROBE = "probe"  # the collector's own connection to the Internet failed
    CARRIER = "carrier"  # an edge or a carrier failed
    UPDATE = "update"  # agents were being updated
    STALLED = "stalled"  # the collector's process stood still, or its journal stored nothing
    HOST = "host"  # agents that were at an ingest host that died are unknown; delays no loss


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the collector, during which silences do not count."""

    at_us: int
    until_us: int
    why: FaultReason
    country: str = ""  # "" is every country
    carrier: str = ""  # "" is every carrier

    @property
    def is_start(self) -> bool:
        """Return whether a collector began, so that the vantages of before are awaited."""
        return self.why in (FaultReason.RESTART, FaultReason.TAKEOVER)


@dataclass(frozen=True, slots=True)
class OfflineReport:
    """Measurements of a lost vantage in its absence, reported later or by other ways."""

    at_us: int
    nym: str
    since_us: int
    until_us: int  # its return; or when it last measured, if it is not back
    alive: bool  # True: it measured in that time; False: its machine had rebooted
    online: bool | None = None  # whether foreign anchors answered it at first; None: not measured
    carrier: str = ""  # by which the report came; "" is unknown
    measured_us: int = 0  # when anchors answered, or did not; 0 is `since_us`


@dataclass(frozen=True, slots=True)
class LinkTest:
    """A test of hosts abroad by a vantage that is back, received while its session lives."""

    at_us: int
    nym: str
    measured_us: int
    online: bool  # whether one of them answered


LIGHT_SOURCE = " light"  # follows the experiment in the source of a light check's vote


class VoteValue(StrEnum):
    """The value of one vantage's vote on a service."""

    GOOD = "reachable"
    BLOCKED = "blocked"
    THROTTLED = "throttled"
    PARTIAL = "partial"  # k of n endpoints
    ISOLATED = "isolated"  # of hosts abroad: none answers
    DOWN = "down"
    UNKNOWN = "unknown"


FAILING_VALUES = frozenset(
    (VoteValue.BLOCKED, VoteValue.THROTTLED, VoteValue.PARTIAL, VoteValue.ISOLATED)
)


@dataclass(frozen=True, slots=True)
class ServiceVote:
    """One vantage's vote on one service, measured at `at_us`."""

    at_us: int
    witness: VantageRef = field(repr=False)
    service: str
    standing: VoteValue
    layer: str = ""
    method: str = ""
    source: str = ""  # the experiment; the worst vote counts if several test one service
    function: str = ""  # names of the functions that are blocked, with commas
    trigger: str = ""  # heliograph.observation.Trigger of a test out of its turn
    edition: str = ""  # of its agent; "" is unknown

    @property
    def is_light(self) -> bool:
        """Return whether it is a light check of one endpoint, drawn by chance."""
        return self.source.endswith(LIGHT_SOURCE)


PresenceSignal = VantageArrival | Goodbye | VantageLoss
VantageSignal = PresenceSignal | Fault | OfflineReport  # of the presence of vantages
DetectorSignal = VantageSignal | LinkTest  # that detectors take
_Signal = TypeVar("_Signal", bound=DetectorSignal)


def sort_signals(signals: Iterable[_Signal]) -> list[_Signal]:
    """Sort by time; at one time faults come first, then losses, then arrivals."""
    return sorted(signals, key=_order_key)


def _order_key(signal: DetectorSignal) -> tuple[int, int, str]:
    rank = 0 if isinstance(signal, Fault) else 2 if isinstance(signal, VantageArrival) else 1
    nym = signal.witness.nym if isinstance(signal, VantageArrival) else getattr(signal, "nym", "")
    return signal.at_us, rank, nym


def derive_vote_value(state: str, *, reachable: int = 0, endpoints: int = 0) -> VoteValue:
    """Derive the vote from a verdict.

    Partial means usable although some endpoints are blocked. An unknown verdict stays unknown.

    Args:
        state: A value of VerdictState.
    """
    is_partial = state == VoteValue.GOOD and 0 < reachable < endpoints
    return VoteValue.PARTIAL if is_partial else VoteValue(state)
