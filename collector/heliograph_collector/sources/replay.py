"""Replays that scorecard, baselines and importers exchange, with truths.

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
    """Event that happened; a confounder only resembles an outage or blocking."""

    id: str
    kind: TruthKind
    scope: Scope
    service: str  # "" for a cut
    since_us: int
    until_us: int | None  # None: continues at the end of the replay
    label: str  # national, mobile-only, one-operator, one-city …; for a confounder its name
    scoreable: bool = True  # False for an assumption: its alarms are neither right nor wrong
    layer: str = ""  # for a block: the affected layer
    spread_s: float = 0.0  # time until the whole scope was affected
    # when each vantage was affected, by pseudonym; empty: all of the scope, all the time
    members: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Series:
    """Published level over time, as counts of addresses or queries, without vantages.

    `values[i]` is of the step that begins at `since_us + i * step_us`; None is unknown.
    """

    scope: Scope
    source: str  # bgp, ping-slash24, merit-nt, gtr …; for plain numbers the column's name
    since_us: int
    step_us: int
    values: Sequence[float | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Replay:
    """Input of a collector between `since_us` and `until_us`, and the truth.

    `signals` and `opinions` are in order of time. Detectors must not read `truths`.
    """

    name: str
    seed: int
    since_us: int
    until_us: int
    signals: Sequence[Signal] = field(repr=False)
    opinions: Sequence[ServiceVote] = field(repr=False)
    truths: Sequence[Truth]
    vantages: Sequence[VantageRef] = field(repr=False)
    series: Sequence[Series] = field(default=(), repr=False)  # imported; only for level detectors
    moments: Mapping[str, int] = field(default_factory=dict, repr=False)  # times of scenario events
    backlogs: Sequence[tuple[int, int]] = ()  # the judge stands still: votes are read at the end
    # what a vantage counts in the truth, by pseudonym; 1 unless many belong to one network
    weights: Mapping[str, float] = field(default_factory=dict, repr=False)
    # (country, day since 1970) on which something could go wrong; None: every day
    risky_days: frozenset[tuple[str, int]] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One row of a feed, at the time at which a reader can see it.

    A detector with two stages gives two alarms, the earlier one not `confirmed`. All others give
    only confirmed alarms.
    """

    at_us: int
    scope: Scope
    service: str  # "" for a cut
    kind: Kind
    started: tuple[int, int] | None = None  # bracket of the onset, if reported
    ended_at_us: int | None = None  # reported end
    label: str = ""  # as Truth.label; "" if the detector reports no kinds
    confirmed: bool = True
    layer: str = ""
    ended: tuple[int, int] | None = None  # bracket of the end, if reported
    incident: str = ""  # common to all rows of one incident, which notifies subscribers only once
    # (time, cause) of every cause that was published; "" until one is named
    causes: tuple[tuple[int, str], ...] = ()
    withdrawn_us: int | None = None
    later_ends_us: tuple[int, ...] = ()  # reported after the first, which was of a part


Detector = Callable[[Replay], Sequence[Alarm]]
