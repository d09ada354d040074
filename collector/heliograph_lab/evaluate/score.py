"""Score of a detector's alarms on one replay. Pure; README.md has the matching.

An alarm is right if most of the vantages that it names are affected at its moment. Nothing is
forgiven after the end. A power cut, or a block of our own address, is an error once it is called a
cut for `LABEL_US`.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Literal

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.scope import Scope, scope_label
from heliograph_collector.model.signals import Goodbye, VantageArrival, VantageLoss
from heliograph_collector.sources.replay import Alarm, Replay, Truth

RIGHT = 0.6  # share of an alarm's vantages that must be in truths; assumed
COVERED = 0.5  # share of a truth's vantages that alarms must cover; assumed
EARLY_END_US = 60 * SECOND_US  # an end published earlier before the true end is none; assumed
LABEL_US = 600 * SECOND_US  # after which a cause must be right: the scorecard's ten minutes
NEAR_US = 1_800 * SECOND_US  # assumed
NEVER = math.inf
POWER = "power"
OWN_BLOCK = "own_block"
UNDETERMINED = "undetermined"
CAUSE_LABELS = (POWER, OWN_BLOCK)  # confounders that are silences, and no cuts
LabelVerdict = Literal["right", "wrong", "undetermined"]


@dataclass(frozen=True, slots=True)
class TruthResult:
    """One truth and its alarms; delays are seconds after its onset, NEVER if none."""

    label: str
    kind: str
    size: int  # vantages in it that were live, and known for a day
    spread_s: float  # until all vantages were affected
    half_s: float  # until half of them were
    suspected_s: float
    confirmed_s: float
    named_s: float  # a row with the right label, or of the same vantages
    layered_s: float  # a row with the right layer
    restored_s: float  # after its end; nan if it did not end
    incidents: int  # that reported it
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
class LabelResult:
    """Published cause of a silence ten minutes after its confirmation."""

    label: str  # cut, power or own_block
    verdict: LabelVerdict


@dataclass(frozen=True, slots=True)
class ReplayScore:
    """The score of one replay."""

    truths: tuple[TruthResult, ...]
    wrong: tuple[FalseAlarm, ...]
    right: int  # true incidents
    calls: int  # alerts of subscribers about them
    labels: tuple[LabelResult, ...] = ()


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
        elif not ground_truth.is_excused(alarm):
            wrong.setdefault((key, alarm.scope), alarm)
    return ReplayScore(
        truths=tuple(
            _score_truth(ground_truth, truth, alarms_by_truth[truth.id])
            for truth in replay.truths
            if truth.kind != "confounder" and truth.scoreable
        ),
        wrong=tuple(ground_truth.false_alarm(alarm) for alarm in wrong.values()),
        right=len(right),
        calls=sum(1 + any(a.ended_at_us is not None for a in rows) for rows in right.values()),
        labels=tuple(_score_labels(ground_truth, alarms)),
    )


class _GroundTruth:
    """The truths of a replay and its vantages by cell."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.live_counts = _count_live_members(replay)
        self._vantages_by_scope: dict[Scope, frozenset[str]] = {}

    def vantages_in(self, scope: Scope) -> frozenset[str]:
        """Return the pseudonyms of vantages in a cell; all, if it has no country."""
        if scope not in self._vantages_by_scope:
            self._vantages_by_scope[scope] = frozenset(
                vantage.nym
                for vantage in self.replay.vantages
                if not scope.country or scope.includes(vantage.place)
            )
        return self._vantages_by_scope[scope]

    def weigh(self, pseudonyms: Iterable[str]) -> float:
        weights = self.replay.weights
        return math.fsum(weights.get(pseudonym, 1.0) for pseudonym in pseudonyms)

    def members(self, truth: Truth) -> frozenset[str]:
        return frozenset(truth.members) or self.vantages_in(truth.scope)

    def affected(self, truth: Truth, at_us: int) -> frozenset[str]:
        """Return who is affected now or will be, once the truth has begun."""
        if at_us < truth.since_us:
            return frozenset()
        if truth.members:
            return frozenset(p for p, (_, until_us) in truth.members.items() if at_us < until_us)
        is_over = truth.until_us is not None and at_us > truth.until_us
        return frozenset() if is_over else self.vantages_in(truth.scope)

    def is_label_right(self, truth: Truth, alarm: Alarm) -> bool:
        """Return whether an alarm has a truth's label, or a cell's with its vantages.

        If all phones have one operator no measurement shows which of the two was cut.
        """
        is_single = alarm.label == scope_label([alarm.scope])
        is_same = self.vantages_in(alarm.scope) == self.vantages_in(truth.scope)
        return alarm.label == truth.label or (is_single and is_same)

    def matching_truths(self, alarm: Alarm) -> list[Truth]:
        """Return the truths that an alarm may mean; none if too few vantages match."""
        events = [t for t in self.replay.truths if t.kind != "confounder"]
        truths = [t for t in events if _is_same_kind(t, alarm)]
        named = self.vantages_in(alarm.scope)
        affected_by_id = {t.id: self.affected(t, alarm.at_us) & named for t in truths}
        candidates = [t for t in truths if affected_by_id[t.id]]
        hit = self.weigh(frozenset[str]().union(*affected_by_id.values()))
        return candidates if hit and hit >= RIGHT * self.weigh(named) else []

    def is_excused(self, alarm: Alarm) -> bool:
        """Return whether an alarm is no error although no truth is what it says.

        It may match a truth without a score, which is undecidable; or a silence of another cause,
        if it is withdrawn or does not call that a cut after ten minutes. One that is confirmed with
        its end is of the past, and may be right of the time at which it says that it began.
        """
        started = alarm.started if alarm.ended_at_us == alarm.at_us else None
        if started is not None and self.matching_truths(replace(alarm, at_us=started[1])):
            return True
        doubtful = any(
            not truth.scoreable
            and self.affected(truth, alarm.at_us) & self.vantages_in(alarm.scope)
            for truth in self.replay.truths
        )
        if doubtful or alarm.kind != "cut":
            return doubtful
        return any(
            self._is_about(truth, alarm) and judge_label(truth.label, [alarm]) != "wrong"
            for truth in self.replay.truths
            if truth.kind == "confounder" and truth.label in CAUSE_LABELS
        )

    def _is_about(self, truth: Truth, alarm: Alarm) -> bool:
        """Return whether half of a silence lies in an alarm's cell, returned vantages too.

        The right cause may become known by returned vantages, soon after the end.
        """
        members = self.members(truth)
        named = self.vantages_in(alarm.scope)
        is_right = judge_label(truth.label, [alarm]) == "right"
        is_under_way = bool(self.affected(truth, alarm.at_us)) or (
            is_right and _is_near(truth, alarm.at_us)
        )
        return is_under_way and len(members & named) >= COVERED * min(len(members), len(named))

    def false_alarm(self, alarm: Alarm) -> FalseAlarm:
        confounders = [
            truth
            for truth in self.replay.truths
            if truth.kind == "confounder" and _is_near(truth, alarm.at_us)
        ]
        during = max(confounders, key=attrgetter("since_us")).label if confounders else ""
        replay = self.replay
        return FalseAlarm(alarm.scope, alarm.service, during, alarm.at_us, replay.name, replay.seed)


def _is_near(truth: Truth, at_us: int) -> bool:
    """Return whether a truth is under way or has just ended, to name an error."""
    ends = [until_us for _, until_us in truth.members.values()]
    last_us = max(ends) if ends else truth.until_us
    return truth.since_us <= at_us and (last_us is None or at_us <= last_us + NEAR_US)


def _count_live_members(replay: Replay) -> dict[str, int]:
    """Count the members of each truth that were live and a day old at its onset."""
    established = {v.nym for v in replay.vantages if v.first_us <= replay.since_us - DAY_US}
    live: set[str] = set()
    counts: dict[str, int] = {}
    signals = iter([*replay.signals, None])
    signal = next(signals)
    for truth in sorted(replay.truths, key=attrgetter("since_us")):
        while signal is not None and signal.at_us <= truth.since_us:
            if isinstance(signal, VantageArrival):
                live.add(signal.witness.nym)
            elif isinstance(signal, VantageLoss | Goodbye):
                live.discard(signal.nym)
            signal = next(signals)
        members = frozenset(truth.members) or {
            v.nym for v in replay.vantages if truth.scope.includes(v.place)
        }
        is_heard = bool(replay.signals)
        counts[truth.id] = len(members & established & live) if is_heard else len(members)
    return counts


def _score_labels(ground_truth: _GroundTruth, alarms: Sequence[Alarm]) -> Iterator[LabelResult]:
    """Yield what was said of each cut, power cut and block of our own."""
    confirmed = [a for a in alarms if a.confirmed and a.kind == "cut"]
    for truth in ground_truth.replay.truths:
        is_silence = truth.kind == "cut" or truth.label in CAUSE_LABELS
        if not is_silence or not truth.scoreable:
            continue
        label = "cut" if truth.kind == "cut" else truth.label
        members = ground_truth.members(truth)
        reports = [
            alarm
            for alarm in confirmed
            if ground_truth.affected(truth, alarm.at_us) & ground_truth.vantages_in(alarm.scope)
            and len(members & ground_truth.vantages_in(alarm.scope)) >= COVERED * len(members)
        ]
        if reports or label != "cut":  # a cut that was missed is a matter of recall
            yield LabelResult(label, judge_label(label, reports))


def judge_label(label: str, alarms: Sequence[Alarm]) -> LabelVerdict:
    """Judge the cause of each alarm ten minutes after it was published.

    Without an alarm, or if all were withdrawn, nothing was claimed: undetermined.
    """
    causes = []
    for alarm in alarms:
        until_us = alarm.at_us + LABEL_US
        if alarm.withdrawn_us is not None and alarm.withdrawn_us <= until_us:
            continue
        published = [cause for at_us, cause in alarm.causes if at_us <= until_us]
        causes.append((published[-1] if published else "") or "cut")
    if any(cause not in (label, UNDETERMINED) for cause in causes):
        return "wrong"
    return "right" if label in causes else "undetermined"


def _is_same_kind(truth: Truth, alarm: Alarm) -> bool:
    """Return whether both are cuts, or both concern the same service in any way."""
    return (truth.kind == "cut") == (alarm.kind == "cut") and truth.service == alarm.service


def _score_truth(ground_truth: _GroundTruth, truth: Truth, alarms: Sequence[Alarm]) -> TruthResult:
    confirmed = [alarm for alarm in alarms if alarm.confirmed]
    named = [a for a in confirmed if ground_truth.is_label_right(truth, a)]
    layered = [a for a in confirmed if a.layer == truth.layer]
    confirmed_s = _covered_after_s(ground_truth, truth, confirmed)
    bracket = next((a.started for a in confirmed if a.started is not None), None)
    onsets = sorted(since_us for since_us, _ in truth.members.values())
    half_us = onsets[(len(onsets) - 1) // 2] if onsets else truth.since_us
    return TruthResult(
        label=truth.label,
        kind=truth.kind,
        size=ground_truth.live_counts[truth.id],
        spread_s=truth.spread_s,
        half_s=(half_us - truth.since_us) / SECOND_US,
        suspected_s=_covered_after_s(ground_truth, truth, alarms),
        confirmed_s=confirmed_s,
        named_s=_covered_after_s(ground_truth, truth, named),
        layered_s=_covered_after_s(ground_truth, truth, layered),
        restored_s=_restored_after_s(truth, confirmed if confirmed_s < NEVER else ()),
        incidents=len({a.incident or str(i) for i, a in enumerate(confirmed)}),
        brackets=_bracket_hits(truth, confirmed),
        width_s=math.nan if bracket is None else (bracket[1] - bracket[0]) / SECOND_US,
    )


def _covered_after_s(ground_truth: _GroundTruth, truth: Truth, alarms: Iterable[Alarm]) -> float:
    members = ground_truth.members(truth)
    covered = set[str]()
    for alarm in alarms:
        covered |= ground_truth.vantages_in(alarm.scope) & members
        if members and len(covered) >= COVERED * len(members):
            return (alarm.at_us - truth.since_us) / SECOND_US
    return NEVER


def _restored_after_s(truth: Truth, confirmed: Sequence[Alarm]) -> float:
    """Return the delay of the first end that was not published too early."""
    if truth.until_us is None:
        return math.nan
    ends = [end for a in confirmed for end in (a.ended_at_us, *a.later_ends_us) if end is not None]
    later = [end for end in ends if end >= _earliest_end_us(truth, truth.until_us)]
    return max(0.0, (min(later) - truth.until_us) / SECOND_US) if later else NEVER


def _earliest_end_us(truth: Truth, until_us: int) -> int:
    """Return when an end may be reported: a minute early, or once a third are back."""
    returns = sorted(until for _, until in truth.members.values())
    third_us = returns[len(returns) // 3] if returns else until_us
    return min(third_us, until_us - EARLY_END_US)


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
