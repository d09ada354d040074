"""Assessor: judge blocks, and judge older measurements again on new evidence.

States of a volunteer's measurement: it is *judged* with its block. It is then *open* while its
verdicts may still change and it was received at most WINDOW_US before the newest. A later result on
the same target whose time is within WINDOW_US makes an open measurement *due*, and so does a change
of its vantage's profile or of a private issuer's share in its network. Every block judges
some due measurements again and returns those whose verdicts changed. A
measurement with a final verdict, outside the window, or beyond the memory's bound is no longer
open. This is why a verdict made before its control arrived is corrected without a second pass.
"""

import logging
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from heliograph.observation import Link
from heliograph.plan import Service
from heliograph.units import SECOND_US
from heliograph_collector.control.cache import ControlCache
from heliograph_collector.control.evidence import Evidence, keep_evidence
from heliograph_collector.control.open_verdicts import list_awaited_topics, may_change
from heliograph_collector.control.peer_baseline import PeerBaseline
from heliograph_collector.control.target_key import (
    OBSERVATIONS_KEPT,
    WINDOW_US,
    make_target_key,
    weigh_measurement,
)
from heliograph_collector.control.vantage_profiles import Topic, VantageProfiles
from heliograph_collector.model.judging import NOT_JUDGED, RULE_BUGS, Judge
from heliograph_collector.model.records import (
    AgentRole,
    ControlView,
    JudgedMeasurement,
    ReceivedMeasurement,
    Verdict,
)

NO_EVIDENCE: Mapping[str, Evidence] = {}
CHANGED_TOPICS = 4_096  # assumed; more than one block changes

_LOG = logging.getLogger(__name__)


class ControlContext:
    """Control cache, peer baseline and profiles; each is bounded by `observations`."""

    def __init__(
        self, services: Iterable[Service] = (), *, observations: int = OBSERVATIONS_KEPT
    ) -> None:
        self._cache = ControlCache(services, observations=observations)
        self._peers = PeerBaseline(observations=observations)
        self._profiles = VantageProfiles(observations=observations)
        self._changed_topics: dict[Topic, None] = {}

    def update(self, record: ReceivedMeasurement) -> bool:
        """Add a result; return whether it may change verdicts on the same target."""
        changed_topics = self._profiles.update(record)
        if len(self._changed_topics) < CHANGED_TOPICS:
            self._changed_topics.update(dict.fromkeys(changed_topics))
        if record.role is AgentRole.CONTROL:
            return self._cache.update(record)
        return self._peers.update(record)

    def take_changed_topics(self) -> tuple[Topic, ...]:
        """Return the topics that changed since the last call."""
        topics = tuple(self._changed_topics)
        self._changed_topics.clear()
        return topics

    def view_of(self, record: ReceivedMeasurement) -> ControlView:
        """Return the fresh control, else a volunteer in its place, with peer comparisons."""
        view = self._cache.view_of(
            record, self._peers.compare_peers(record), self._profiles.profile_of(record)
        )
        if view.age_us is not None and view.age_us <= WINDOW_US:
            return view
        substitute = (
            None if record.role is AgentRole.CONTROL else self._peers.substitute_control(record)
        )
        if substitute is None:
            return view
        return replace(
            view,
            measurement=substitute.measurement,
            age_us=abs(substitute.started_us - record.started_us),
            link=Link.ONLINE,
            network="",
            is_substitute=True,
        )


REJUDGED_PER_BLOCK = 64  # assumed; measurements judged again with one block
REJUDGED_SHARE = 5  # … and of a large block one for every five of it
# Assumed. With 450 results a second some result calls for each open measurement in each block: they
# were judged again each second for 15 minutes, which took a sixth of the judge's time.
REJUDGED_AFTER_US = 30 * SECOND_US


class TakenUp(msgspec.Struct, frozen=True):
    """The possible effect of a block's results on other verdicts."""

    informative: tuple[int, ...]  # indices of results that may change those on the same target
    changed_topics: tuple[Topic, ...]


def judge_by_view(
    judge: Judge, record: ReceivedMeasurement, view: ControlView
) -> tuple[Verdict, ...]:
    """Judge a record; a bug costs only the record that meets it."""
    try:
        return judge(record, view)
    except RULE_BUGS:
        _LOG.exception("Measurement %s could not be judged; it is stored", record.id)
        return (NOT_JUDGED,)


class ContextJudge:
    """Judge with a control context; a bug costs only the record that causes it.

    Two such judges with the same results in the same order find the same verdicts: that of `serve`
    and that of a judge process (app/judge_process.py).
    """

    def __init__(self, judge: Judge, context: ControlContext) -> None:
        self._judge = judge
        self._context = context

    def take_up(
        self,
        records: Iterable[ReceivedMeasurement],
        evidence: Mapping[str, Evidence] = NO_EVIDENCE,
    ) -> TakenUp:
        """Take up results, which later verdicts are found by.

        Args:
            evidence: By id, of records whose steps are not at hand.
        """
        informative: list[int] = []
        for index, record in enumerate(records):
            if record.id in evidence:
                keep_evidence(record.measurement, evidence[record.id])
            if self._update_context(record):
                informative.append(index)
        return TakenUp(tuple(informative), self._context.take_changed_topics())

    def judge(self, record: ReceivedMeasurement) -> tuple[Verdict, ...]:
        """Judge a record against the context."""
        view = self.find_view(record)
        return (NOT_JUDGED,) if view is None else judge_by_view(self._judge, record, view)

    def find_view(self, record: ReceivedMeasurement) -> ControlView | None:
        """Find what a record is compared with, None where that meets a bug."""
        try:
            return self._context.view_of(record)
        except RULE_BUGS:
            _LOG.exception("Measurement %s could not be compared; it is stored", record.id)
            return None

    def _update_context(self, record: ReceivedMeasurement) -> bool:
        try:
            return self._context.update(record)
        except RULE_BUGS:
            _LOG.exception("Measurement %s is no evidence for others", record.id)
            return False


@dataclass(frozen=True, slots=True)
class Selection:
    """The measurements to judge with one block."""

    block: Sequence[ReceivedMeasurement]
    due: Sequence[JudgedMeasurement]  # older measurements, with their verdicts so far

    def list_records(self) -> list[ReceivedMeasurement]:
        """List all records, those of the block first."""
        return [*self.block, *(record for record, _ in self.due)]


class Assessor:
    """Judge blocks in order; return older measurements whose verdicts changed too.

    `assess` does all of it. A caller that judges elsewhere takes up the block there, calls
    `select`, judges, and calls `conclude`.
    """

    def __init__(
        self,
        judge: Judge,
        services: Iterable[Service] = (),
        *,
        observations: int = OBSERVATIONS_KEPT,
    ) -> None:
        self._context_judge = ContextJudge(
            judge, ControlContext(services, observations=observations)
        )
        self._open_measurements = _OpenMeasurements(observations)
        self._due: dict[str, None] = {}  # ids of due measurements, in order

    def restore(self, records: Sequence[ReceivedMeasurement]) -> None:
        """Take up facts on targets and vantages from results that are judged already."""
        self._context_judge.take_up(records)

    def assess(self, block: Sequence[ReceivedMeasurement]) -> list[JudgedMeasurement]:
        """Judge the whole block, and due measurements that its results may change."""
        selection = self.select(block, self.take_up(block))
        everything = range(len(block) + len(selection.due))
        return self.conclude(selection, self.judge_share(selection, everything))

    def take_up(self, block: Sequence[ReceivedMeasurement]) -> TakenUp:
        """Take up the results of a block."""
        return self._context_judge.take_up(block)

    def select(self, block: Sequence[ReceivedMeasurement], taken_up: TakenUp) -> Selection:
        """Choose the measurements to judge with a block that was taken up.

        A bounded number of due measurements is chosen; later blocks take the rest. The bound keeps
        new measurements from waiting when results change everywhere at once. Those that were judged
        again a moment ago come last, and with REJUDGED_PER_BLOCK at most.
        """
        informative = [block[at] for at in taken_up.informative]
        self._due.update(dict.fromkeys(self._open_measurements.find_near(informative)))
        for topic in taken_up.changed_topics:
            self._due.update(self._open_measurements.find_on_topic(topic))
        identities = {record.id for record in block}
        due: list[JudgedMeasurement] = []
        limit = max(REJUDGED_PER_BLOCK, len(block) // REJUDGED_SHARE)
        for identity in self._choose_due(limit):
            del self._due[identity]
            previous = self._open_measurements.take_again(identity)
            if previous is not None and identity not in identities:
                due.append(previous)
        return Selection(block, due)

    def _choose_due(self, limit: int) -> list[str]:
        waiting: list[str] = []
        recent: list[str] = []
        for identity in self._due:
            is_recent = self._open_measurements.was_judged_again(identity)
            (recent if is_recent else waiting).append(identity)
            if len(waiting) == limit:
                break
        return [*waiting, *recent[: max(0, REJUDGED_PER_BLOCK - len(waiting))]]

    def judge_share(self, selection: Selection, share: Iterable[int]) -> list[tuple[Verdict, ...]]:
        """Judge the records of the present selection that have these indices."""
        records = selection.list_records()
        return [self._context_judge.judge(records[index]) for index in share]

    def conclude(
        self, selection: Selection, verdicts: Sequence[tuple[Verdict, ...]]
    ) -> list[JudgedMeasurement]:
        """Remember the verdicts on a selection, in its order; return those to store."""
        judged = list(zip(selection.list_records(), verdicts, strict=True))
        block = judged[: len(selection.block)]
        changed: list[JudgedMeasurement] = []
        for previous, again in zip(selection.due, judged[len(block) :], strict=True):
            if previous[1] != again[1]:
                self._open_measurements.put(*again)
                changed.append(again)
        for record, found in block:
            if record.role is AgentRole.VOLUNTEER:
                self._open_measurements.put(record, found)
        return block + changed


class _OpenMeasurements:
    """Volunteers' measurements whose verdicts may still change, oldest first."""

    def __init__(self, observations: int) -> None:
        self._judged_by_id: OrderedDict[str, JudgedMeasurement] = OrderedDict()
        self._ids_by_topic: defaultdict[Topic, dict[str, None]] = defaultdict(dict)
        self._judged_again_us: dict[str, int] = {}  # in time of arrival
        self._remaining_weight = observations
        self._latest_us = 0

    def put(self, record: ReceivedMeasurement, verdicts: tuple[Verdict, ...]) -> None:
        self._remove(record.id)
        self._latest_us = max(self._latest_us, record.received_us)
        if may_change(verdicts):
            self._judged_by_id[record.id] = (record, verdicts)
            for topic in list_awaited_topics(record, verdicts):
                self._ids_by_topic[topic][record.id] = None
            self._remaining_weight -= weigh_measurement(record.measurement)
        while self._judged_by_id and (
            self._remaining_weight < 0
            or self._is_past_window(next(iter(self._judged_by_id.values()))[0])
        ):
            self._remove(next(iter(self._judged_by_id)))

    def take_again(self, identity: str) -> JudgedMeasurement | None:
        """Return a measurement that is judged again now, None if it is no longer open."""
        judged = self._judged_by_id.get(identity)
        if judged is not None:
            self._judged_again_us[identity] = self._latest_us
        return judged

    def was_judged_again(self, identity: str) -> bool:
        """Return whether this was within REJUDGED_AFTER_US, with the same verdicts."""
        at_us = self._judged_again_us.get(identity)
        return at_us is not None and self._latest_us - at_us < REJUDGED_AFTER_US

    def find_near(self, informative: Sequence[ReceivedMeasurement]) -> Iterator[str]:
        """Yield ids of open measurements near a new result on the same target."""
        times_by_target: defaultdict[Topic, list[int]] = defaultdict(list)
        for record in informative:
            times_by_target[make_target_key(record.measurement)].append(record.started_us)
        for key, times_us in times_by_target.items():
            times_us.sort()
            for identity in self._ids_by_topic.get(key, ()):
                if _has_time_in_window(times_us, self._judged_by_id[identity][0].started_us):
                    yield identity

    def find_on_topic(self, topic: Topic) -> Mapping[str, None]:
        """Return ids of open measurements whose verdicts this topic may change."""
        return self._ids_by_topic.get(topic, {})

    def _is_past_window(self, record: ReceivedMeasurement) -> bool:
        return self._latest_us - record.received_us > WINDOW_US

    def _remove(self, identity: str) -> None:
        removed = self._judged_by_id.pop(identity, None)
        self._judged_again_us.pop(identity, None)
        if removed is not None:
            self._remaining_weight += weigh_measurement(removed[0].measurement)
            for topic in list_awaited_topics(*removed):
                del self._ids_by_topic[topic][identity]
                if not self._ids_by_topic[topic]:
                    del self._ids_by_topic[topic]


def _has_time_in_window(times_us: Sequence[int], at_us: int) -> bool:
    """Return whether any of the sorted times is within WINDOW_US of `at_us`."""
    at = bisect_left(times_us, at_us - WINDOW_US)
    return at < len(times_us) and times_us[at] <= at_us + WINDOW_US
