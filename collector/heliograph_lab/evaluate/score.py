"""Score of a detector's alarms on one replay. Pure; README.md has the matching."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.replay import Alarm, Replay, Truth

RIGHT = 0.6  # share of an alarm's vantages that must be in truths; assumed
COVERED = 0.5  # share of a truth's vantages that alarms must cover; assumed
LATE_US = 7_200 * SECOND_US  # after its end, for detectors with hourly runs; assumed
EARLY_END_US = 60 * SECOND_US  # an end published earlier before the true end is none; assumed
NEVER = math.inf


@dataclass(frozen=True, slots=True)
class TruthResult:
    """One truth and its alarms; delays are seconds after its onset, NEVER if none."""

    label: str
    kind: str
    size: int  # vantages in it
    sudden: bool  # all vantages within 30 s
    suspected_s: float
    confirmed_s: float
    named_s: float  # a row with the right label
    layered_s: float  # a row with the right layer
    restored_s: float  # after its end; nan if it did not end
    brackets: tuple[bool, ...]  # of onset and end: True if it holds the truth
    width_s: float  # of the onset's bracket; nan without one

    @property
    def is_detected(self) -> bool:
        return self.confirmed_s < NEVER


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """A confirmed alarm without a truth."""

    scope: Scope
    service: str
    during: str  # label of the confounder at the time, "" if none
    at_us: int
    name: str
    seed: int


@dataclass(frozen=True, slots=True)
class ReplayScore:
    """The score of one replay."""

    truths: tuple[TruthResult, ...]
    wrong: tuple[FalseAlarm, ...]
    right: int  # true incidents
    calls: int  # alerts of subscribers about them
    confounders: tuple[tuple[str, bool], ...] = ()  # (label, True if it raised a false alarm)


def score_replay(replay: Replay, alarms: Sequence[Alarm]) -> ReplayScore:
    """Score the alarms of any detector on a replay."""
    ground_truth = _GroundTruth(replay)
    alarms_by_truth: defaultdict[str, list[Alarm]] = defaultdict(list)
    right: dict[str, list[Alarm]] = {}
    wrong: dict[tuple[str, Scope], Alarm] = {}
    for number, alarm in enumerate(sorted(alarms, key=attrgetter("at_us"))):
        matched = ground_truth.matching_truths(alarm)
        for truth in matched:
            alarms_by_truth[truth.id].append(alarm)
        if not alarm.confirmed or any(not truth.scoreable for truth in matched):
            continue
        key = alarm.incident or str(number)
        if matched:
            right.setdefault(key, []).append(alarm)
        elif not ground_truth.is_doubtful(alarm):
            wrong.setdefault((key, alarm.scope), alarm)
    errors = tuple(ground_truth.false_alarm(alarm) for alarm in wrong.values())
    return ReplayScore(
        truths=tuple(
            _score_truth(ground_truth, truth, alarms_by_truth[truth.id])
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


class _GroundTruth:
    """The truths of a replay and its vantages by cell."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self._vantages_by_scope: dict[Scope, frozenset[int]] = {}

    def vantages_in(self, scope: Scope) -> frozenset[int]:
        """Return the indices of vantages in a cell; all, if it has no country."""
        if scope not in self._vantages_by_scope:
            self._vantages_by_scope[scope] = frozenset(
                i
                for i, w in enumerate(self.replay.vantages)
                if not scope.country or scope.includes(w.place)
            )
        return self._vantages_by_scope[scope]

    def matching_truths(self, alarm: Alarm) -> list[Truth]:
        """Return the truths that an alarm may mean; none if too few vantages match."""
        candidates = [
            truth
            for truth in self.replay.truths
            if truth.kind != "confounder"
            and _is_same_kind(truth, alarm)
            and is_under_way(truth, alarm.at_us)
            and self.vantages_in(truth.scope) & self.vantages_in(alarm.scope)
        ]
        alarm_vantages = self.vantages_in(alarm.scope)
        truth_vantages = frozenset[int]().union(
            *(self.vantages_in(truth.scope) for truth in candidates)
        )
        return (
            candidates
            if alarm_vantages
            and len(alarm_vantages & truth_vantages) >= RIGHT * len(alarm_vantages)
            else []
        )

    def is_doubtful(self, alarm: Alarm) -> bool:
        """Return whether an alarm matches a truth without a score, which is undecidable."""
        return any(
            not truth.scoreable
            and is_under_way(truth, alarm.at_us)
            and self.vantages_in(truth.scope) & self.vantages_in(alarm.scope)
            for truth in self.replay.truths
        )

    def false_alarm(self, alarm: Alarm) -> FalseAlarm:
        confounders = [
            truth
            for truth in self.replay.truths
            if truth.kind == "confounder" and is_under_way(truth, alarm.at_us)
        ]
        during = max(confounders, key=attrgetter("since_us")).label if confounders else ""
        replay = self.replay
        return FalseAlarm(alarm.scope, alarm.service, during, alarm.at_us, replay.name, replay.seed)


def is_under_way(truth: Truth, at_us: int) -> bool:
    return truth.since_us <= at_us <= (truth.until_us or 1 << 62) + LATE_US


def _is_same_kind(truth: Truth, alarm: Alarm) -> bool:
    """Return whether both are cuts, or both concern the same service in any way."""
    return (truth.kind == "cut") == (alarm.kind == "cut") and truth.service == alarm.service


def _score_truth(ground_truth: _GroundTruth, truth: Truth, alarms: Sequence[Alarm]) -> TruthResult:
    confirmed = [alarm for alarm in alarms if alarm.confirmed]
    named = [a for a in confirmed if a.label == truth.label]
    layered = [a for a in confirmed if a.layer == truth.layer]
    confirmed_s = _covered_after_s(ground_truth, truth, confirmed)
    bracket = next((a.started for a in confirmed if a.started is not None), None)
    return TruthResult(
        label=truth.label,
        kind=truth.kind,
        size=len(ground_truth.vantages_in(truth.scope)),
        sudden=truth.spread_s <= 30,
        suspected_s=_covered_after_s(ground_truth, truth, alarms),
        confirmed_s=confirmed_s,
        named_s=_covered_after_s(ground_truth, truth, named),
        layered_s=_covered_after_s(ground_truth, truth, layered),
        restored_s=_restored_after_s(truth, confirmed if confirmed_s < NEVER else ()),
        brackets=_bracket_hits(truth, confirmed),
        width_s=math.nan if bracket is None else (bracket[1] - bracket[0]) / SECOND_US,
    )


def _covered_after_s(ground_truth: _GroundTruth, truth: Truth, alarms: Iterable[Alarm]) -> float:
    truth_vantages = ground_truth.vantages_in(truth.scope)
    covered = set[int]()
    for alarm in alarms:
        covered |= ground_truth.vantages_in(alarm.scope) & truth_vantages
        if truth_vantages and len(covered) >= COVERED * len(truth_vantages):
            return (alarm.at_us - truth.since_us) / SECOND_US
    return NEVER


def _restored_after_s(truth: Truth, confirmed: Sequence[Alarm]) -> float:
    """Return the delay of the first end that was not published too early."""
    if truth.until_us is None:
        return math.nan
    ends = [a.ended_at_us for a in confirmed if a.ended_at_us is not None]
    later = [end for end in ends if end >= truth.until_us - EARLY_END_US]
    return max(0.0, (min(later) - truth.until_us) / SECOND_US) if later else NEVER


def _bracket_hits(truth: Truth, confirmed: Sequence[Alarm]) -> tuple[bool, ...]:
    """Return whether the first brackets hold the true onset and end.

    A slow onset is a span that the bracket must overlap.
    """
    hits = []
    first = next((a.started for a in confirmed if a.started is not None), None)
    if first is not None:
        last_us = truth.since_us + round(truth.spread_s * SECOND_US)
        hits.append(first[0] <= last_us and first[1] >= truth.since_us)
    until_us = truth.until_us
    if until_us is not None:
        late = [a for a in confirmed if (a.ended_at_us or 0) >= until_us - EARLY_END_US]
        ends = [a.ended for a in late if a.ended is not None]
        hits += [low <= until_us <= high for low, high in ends[:1]]
    return tuple(hits)
