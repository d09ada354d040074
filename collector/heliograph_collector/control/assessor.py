"""Judges block after block, and again what a later result throws light on."""

from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from heliograph.observation import Link
from heliograph.plan import Service
from heliograph_collector.control.cache import ControlCache
from heliograph_collector.control.peer_baseline import PeerBaseline
from heliograph_collector.control.target_key import (
    OBSERVATIONS_KEPT,
    WINDOW_US,
    Key,
    make_target_key,
    weigh_measurement,
)
from heliograph_collector.model.records import (
    AgentRole,
    ControlView,
    JudgedMeasurement,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)


class ControlContext:
    """Both memories; deterministic, and bounded by `observations` each."""

    def __init__(
        self, services: Iterable[Service] = (), *, observations: int = OBSERVATIONS_KEPT
    ) -> None:
        self._cache = ControlCache(services, observations=observations)
        self._peers = PeerBaseline(observations=observations)

    def update(self, record: ReceivedMeasurement) -> bool:
        """Whether it may change what others of the same target mean."""
        if record.role is AgentRole.CONTROL:
            return self._cache.update(record)
        return self._peers.update(record)

    def view_of(self, record: ReceivedMeasurement) -> ControlView:
        """The control's view, else a stand-in's, with what the world sees."""
        view = replace(
            self._cache.view_of(record), peer_comparisons=self._peers.compare_peers(record)
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
            is_substitute=True,
        )


REJUDGED_PER_BLOCK = 64  # measurements judged again with one block
FINAL_RULE_PREFIXES = ("link.", "none.not_measured")  # doubt that no control can lift

Judge = Callable[[ReceivedMeasurement, ControlView], tuple[Verdict, ...]]


class Assessor:
    """Judges block after block. Older measurements come out again when their verdicts changed."""

    def __init__(
        self,
        judge: Judge,
        services: Iterable[Service] = (),
        *,
        observations: int = OBSERVATIONS_KEPT,
    ) -> None:
        self._judge = judge
        self._context = ControlContext(services, observations=observations)
        self._open_measurements = _OpenMeasurements(observations)
        self._due: dict[str, None] = {}  # ids to be judged again, in order

    def __call__(self, block: Sequence[ReceivedMeasurement]) -> list[JudgedMeasurement]:
        """All of `block`, then what its results changed in the last 15 minutes."""
        informative = [record for record in block if self._context.update(record)]
        rejudged = list(self._rejudge(informative, {record.id for record in block}))
        judged = [self._judge_record(record) for record in block]
        for record, verdicts in judged:
            if record.role is AgentRole.VOLUNTEER:
                self._open_measurements.put(record, verdicts)
        return judged + rejudged

    def _judge_record(self, record: ReceivedMeasurement) -> JudgedMeasurement:
        return record, self._judge(record, self._context.view_of(record))

    def _rejudge(
        self, informative: Sequence[ReceivedMeasurement], block: set[str]
    ) -> Iterator[JudgedMeasurement]:
        """So many at a time, and the others with the next blocks: a world in which something
        changes all the time must not keep what is new waiting."""
        self._due.update(dict.fromkeys(self._open_measurements.find_near(informative)))
        for identity in list(islice(self._due, REJUDGED_PER_BLOCK)):
            del self._due[identity]
            previous = None if identity in block else self._open_measurements.get(identity)
            if previous is None:
                continue
            record, verdicts = self._judge_record(previous[0])
            if verdicts != previous[1]:
                self._open_measurements.put(record, verdicts)
                yield record, verdicts


class _OpenMeasurements:
    """Volunteers' measurements whose verdicts a later result may still change, oldest first."""

    def __init__(self, observations: int) -> None:
        self._judged_by_id: OrderedDict[str, JudgedMeasurement] = OrderedDict()
        self._ids_by_target: defaultdict[Key, dict[str, None]] = defaultdict(dict)
        self._remaining_weight = observations
        self._latest_us = 0

    def put(self, record: ReceivedMeasurement, verdicts: tuple[Verdict, ...]) -> None:
        self._remove(record.id)
        self._latest_us = max(self._latest_us, record.received_us)
        if _may_change(verdicts):
            self._judged_by_id[record.id] = (record, verdicts)
            self._ids_by_target[make_target_key(record.measurement)][record.id] = None
            self._remaining_weight -= weigh_measurement(record.measurement)
        while self._judged_by_id and (
            self._remaining_weight < 0
            or self._is_past_window(next(iter(self._judged_by_id.values()))[0])
        ):
            self._remove(next(iter(self._judged_by_id)))

    def get(self, identity: str) -> JudgedMeasurement | None:
        return self._judged_by_id.get(identity)

    def find_near(self, informative: Sequence[ReceivedMeasurement]) -> Iterator[str]:
        """Those that one of these results lies within the window of, about the same target."""
        times_by_target: defaultdict[Key, list[int]] = defaultdict(list)
        for record in informative:
            times_by_target[make_target_key(record.measurement)].append(record.started_us)
        for key, times_us in times_by_target.items():
            times_us.sort()
            for identity in self._ids_by_target.get(key, ()):
                if _has_time_in_window(times_us, self._judged_by_id[identity][0].started_us):
                    yield identity

    def _is_past_window(self, record: ReceivedMeasurement) -> bool:
        return self._latest_us - record.received_us > WINDOW_US

    def _remove(self, identity: str) -> None:
        removed = self._judged_by_id.pop(identity, None)
        if removed is not None:
            self._remaining_weight += weigh_measurement(removed[0].measurement)
            key = make_target_key(removed[0].measurement)
            del self._ids_by_target[key][identity]
            if not self._ids_by_target[key]:
                del self._ids_by_target[key]


def _may_change(verdicts: Sequence[Verdict]) -> bool:
    """Whether anything here leans on the control, or waits for it."""
    return any(
        v.state is not VerdictState.REACHABLE and not v.rule.startswith(FINAL_RULE_PREFIXES)
        for v in verdicts
    )


def _has_time_in_window(times_us: Sequence[int], at_us: int) -> bool:
    """Whether one of these, which are in order, lies within the window."""
    at = bisect_left(times_us, at_us - WINDOW_US)
    return at < len(times_us) and times_us[at] <= at_us + WINDOW_US
