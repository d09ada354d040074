"""What scorecard, baselines and importers exchange: a world with its truth, and alarms of it.

All times are microseconds UTC on the collector's clock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    Fault,
    OfflineReport,
    PresenceSignal,
    ServiceVote,
    VantageRef,
)

Kind = Literal["cut", "block", "throttle"]
TruthKind = Literal["cut", "block", "throttle", "confounder"]
Signal = PresenceSignal | Fault | OfflineReport


@dataclass(frozen=True, slots=True)
class Truth:
    """One thing that happened. A confounder looks like a cut or a block and is none."""

    id: str
    kind: TruthKind
    scope: Scope
    service: str  # "" of a cut
    since_us: int
    until_us: int | None  # None: still so at the end of the replay
    label: str  # national, mobile-only, one-operator, one-city …; of a confounder its name
    scoreable: bool = True  # no: an assumption; alarms of it are neither right nor wrong
    layer: str = ""  # of a block: where it bites
    spread_s: float = 0.0  # how long it took until all of them were hit


@dataclass(frozen=True, slots=True)
class Series:
    """A level over time as others publish it: numbers of addresses or of queries, no vantages.

    `values[i]` is of the step that begins at `since_us + i * step_us`; None is not known.
    """

    scope: Scope
    source: str  # bgp, ping-slash24, merit-nt, gtr …; of plain numbers the column's name
    since_us: int
    step_us: int
    values: Sequence[float | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Replay:
    """What a collector would have known from `since_us` until `until_us`, and what was so.

    `signals` and `opinions` are in order of time. Detectors must not look at `truths`.
    """

    name: str
    seed: int
    since_us: int
    until_us: int
    signals: Sequence[Signal] = field(repr=False)
    opinions: Sequence[ServiceVote] = field(repr=False)
    truths: Sequence[Truth]
    vantages: Sequence[VantageRef] = field(repr=False)
    series: Sequence[Series] = field(default=(), repr=False)  # imported: for level detectors alone
    moments: Mapping[str, int] = field(default_factory=dict, repr=False)  # of a scenario's events


@dataclass(frozen=True, slots=True)
class Alarm:
    """One row of a feed, at the moment at which a reader could have seen it.

    A detector with two stages gives two alarms, the earlier with `confirmed` unset; all others
    give confirmed ones alone.
    """

    at_us: int
    scope: Scope
    service: str  # "" of a cut
    kind: Kind
    started: tuple[int, int] | None = None  # the bracket of the onset that it names, if any
    ended_at_us: int | None = None  # when the row says that it is over
    label: str = ""  # as Truth.label; "" if the detector tells no kinds
    confirmed: bool = True
    layer: str = ""
    ended: tuple[int, int] | None = None  # the bracket of the end, if any
    incident: str = ""  # rows of one incident share it: subscribers are called for it only once


Detector = Callable[[Replay], Sequence[Alarm]]
