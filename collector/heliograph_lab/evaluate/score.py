"""What a detector's alarms were worth on one replay. Pure; README.md says how they are matched."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import SECOND_US
from heliograph_collector.sources.replay import Alarm, Replay, Truth

RIGHT = 0.6  # of the vantages that an alarm speaks of are really in it
COVERED = 0.5  # of a truth's vantages must be spoken of: it is found
LATE_US = 7_200 * SECOND_US  # after the end: who looks once an hour may still mean it
EARLY_END_US = 60 * SECOND_US  # an end said before it began to end is none
NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Found:
    """One truth, and what was said of it. Seconds after its beginning (end); NEVER if not."""

    label: str
    kind: str
    size: int  # vantages in it
    sudden: bool  # it took all of them within half a minute
    suspected_s: float
    confirmed_s: float
    named_s: float  # a row with the right label
    layered_s: float  # a row with the right layer
    restored_s: float  # after its end; nan if it did not end
    brackets: tuple[bool, ...]  # of onset, and of end: does it hold the truth
    width_s: float  # of the onset's bracket; nan without one

    @property
    def found(self) -> bool:
        return self.confirmed_s < NEVER


@dataclass(frozen=True, slots=True)
class Wrong:
    """A confirmed alarm of nothing that was so."""

    scope: Scope
    service: str
    during: str  # the confounder at the time, if any
    at_us: int
    name: str
    seed: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """One replay. `right`: incidents that are true; `calls`: to subscribers, about those."""

    found: tuple[Found, ...]
    wrong: tuple[Wrong, ...]
    right: int
    calls: int
    confounders: tuple[tuple[str, bool], ...] = ()  # (which, whether it raised a false alarm)


def score(replay: Replay, alarms: Sequence[Alarm]) -> Verdict:
    """Whichever detector they are of."""
    ground = _Ground(replay)
    good: defaultdict[str, list[Alarm]] = defaultdict(list)
    right: dict[str, list[Alarm]] = {}
    wrong: dict[tuple[str, Scope], Alarm] = {}
    for number, alarm in enumerate(sorted(alarms, key=lambda a: a.at_us)):
        mine = ground.meant(alarm)
        for truth in mine:
            good[truth.id].append(alarm)
        if not alarm.confirmed or any(not truth.scoreable for truth in mine):
            continue
        key = alarm.incident or str(number)
        if mine:
            right.setdefault(key, []).append(alarm)
        elif not ground.doubtful(alarm):
            wrong.setdefault((key, alarm.scope), alarm)
    errors = tuple(ground.wrong(alarm) for alarm in wrong.values())
    return Verdict(
        found=tuple(
            _found(ground, truth, good[truth.id])
            for truth in replay.truths
            if truth.kind != "confounder" and truth.scoreable
        ),
        wrong=errors,
        right=len(right),
        calls=sum(1 + any(a.ended_at_us is not None for a in rows) for rows in right.values()),
        confounders=tuple(
            (truth.label, any(e.during == truth.label for e in errors))
            for truth in replay.truths
            if truth.kind == "confounder"
        ),
    )


class _Ground:
    """A replay's truths and who is where, asked by cell."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self._inside: dict[Scope, frozenset[int]] = {}

    def inside(self, scope: Scope) -> frozenset[int]:
        """The vantages in a cell. A scope without a country holds everybody."""
        if scope not in self._inside:
            self._inside[scope] = frozenset(
                i
                for i, w in enumerate(self.replay.vantages)
                if not scope.country or scope.holds(w.place)
            )
        return self._inside[scope]

    def meant(self, alarm: Alarm) -> list[Truth]:
        """The truths under way that it may speak of; none if they do not bear it out."""
        near = [
            truth
            for truth in self.replay.truths
            if truth.kind != "confounder"
            and _same(truth, alarm)
            and under_way(truth, alarm.at_us)
            and self.inside(truth.scope) & self.inside(alarm.scope)
        ]
        mine = self.inside(alarm.scope)
        so = frozenset[int]().union(*(self.inside(truth.scope) for truth in near))
        return near if mine and len(mine & so) >= RIGHT * len(mine) else []

    def doubtful(self, alarm: Alarm) -> bool:
        """Whether it falls into what nobody can tell."""
        return any(
            not truth.scoreable
            and under_way(truth, alarm.at_us)
            and self.inside(truth.scope) & self.inside(alarm.scope)
            for truth in self.replay.truths
        )

    def wrong(self, alarm: Alarm) -> Wrong:
        near = [
            truth
            for truth in self.replay.truths
            if truth.kind == "confounder" and under_way(truth, alarm.at_us)
        ]
        during = max(near, key=lambda truth: truth.since_us).label if near else ""
        replay = self.replay
        return Wrong(alarm.scope, alarm.service, during, alarm.at_us, replay.name, replay.seed)


def under_way(truth: Truth, at_us: int) -> bool:
    return truth.since_us <= at_us <= (truth.until_us or 1 << 62) + LATE_US


def _same(truth: Truth, alarm: Alarm) -> bool:
    """A cut is a cut; blocked, partial and slow are ways of one thing."""
    return (truth.kind == "cut") == (alarm.kind == "cut") and truth.service == alarm.service


def _found(ground: _Ground, truth: Truth, alarms: Sequence[Alarm]) -> Found:
    sure = [alarm for alarm in alarms if alarm.confirmed]
    named = [a for a in sure if a.label == truth.label]
    layered = [a for a in sure if a.layer == truth.layer]
    confirmed_s = _covered(ground, truth, sure)
    first = next((a for a in sure if a.started is not None), None)
    return Found(
        label=truth.label,
        kind=truth.kind,
        size=len(ground.inside(truth.scope)),
        sudden=truth.spread_s <= 30,
        suspected_s=_covered(ground, truth, alarms),
        confirmed_s=confirmed_s,
        named_s=_covered(ground, truth, named),
        layered_s=_covered(ground, truth, layered),
        restored_s=_restored(truth, sure) if confirmed_s < NEVER else _unless_it_ended(truth),
        brackets=_brackets(truth, sure),
        width_s=math.nan if first is None else _width(first),
    )


def _width(alarm: Alarm) -> float:
    low, high = alarm.started or (0, 0)
    return (high - low) / SECOND_US


def _covered(ground: _Ground, truth: Truth, alarms: Iterable[Alarm]) -> float:
    """When rows spoke of enough of it."""
    there, spoken = ground.inside(truth.scope), set[int]()
    for alarm in alarms:
        spoken |= ground.inside(alarm.scope) & there
        if there and len(spoken) >= COVERED * len(there):
            return (alarm.at_us - truth.since_us) / SECOND_US
    return NEVER


def _unless_it_ended(truth: Truth) -> float:
    return math.nan if truth.until_us is None else NEVER


def _restored(truth: Truth, sure: Sequence[Alarm]) -> float:
    """When the first row that had not been closed too early said that it is over."""
    if truth.until_us is None:
        return math.nan
    ends = [a.ended_at_us for a in sure if a.ended_at_us is not None]
    later = [end for end in ends if end >= truth.until_us - EARLY_END_US]
    return max(0.0, (min(later) - truth.until_us) / SECOND_US) if later else NEVER


def _brackets(truth: Truth, sure: Sequence[Alarm]) -> tuple[bool, ...]:
    """Whether the first row's brackets hold the moment; an onset that was spread is a span."""
    held = []
    first = next((a.started for a in sure if a.started is not None), None)
    if first is not None:
        last_us = truth.since_us + round(truth.spread_s * SECOND_US)
        held.append(first[0] <= last_us and first[1] >= truth.since_us)
    until_us = truth.until_us
    if until_us is not None:
        ends = [
            a.ended
            for a in sure
            if a.ended is not None
            and a.ended_at_us is not None
            and a.ended_at_us >= until_us - EARLY_END_US
        ]
        held += [low <= until_us <= high for low, high in ends[:1]]
    return tuple(held)
