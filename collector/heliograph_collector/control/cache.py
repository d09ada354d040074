"""Cache of the controls' recent measurements, with selection by time and quality."""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice
from operator import itemgetter
from typing import NamedTuple, overload

from heliograph.failure import Operation
from heliograph.observation import Link, Measurement
from heliograph.plan import Service
from heliograph_collector.control.met_endpoints import MetEndpoint, list_met_endpoints
from heliograph_collector.control.target_key import (
    OBSERVATIONS_KEPT,
    STALE_US,
    WINDOW_US,
    Key,
    make_target_key,
    weigh_measurement,
)
from heliograph_collector.model.control_look import MAX_LOOKS, ControlLook, VantageProfile
from heliograph_collector.model.identity_cache import keep_by_identity
from heliograph_collector.model.records import (
    AgentRole,
    ControlView,
    PeerComparison,
    ReceivedMeasurement,
)

_DEPTH = {operation: depth for depth, operation in enumerate(Operation, start=1)}
_by_time = itemgetter(0)
NO_PEERS: Mapping[str, PeerComparison] = {}
NO_PROFILE = VantageProfile()


_Entry = tuple[int, int, ReceivedMeasurement]  # start, number, result
_Source = tuple[bool, str]  # whether they look at a part of the target, and the control's pseudonym


class LookCandidate(NamedTuple):
    """A control's result on the same target that may become a further look."""

    started_us: int
    measurement: Measurement
    link: Link  # the control's own, as is the next
    network: str


class ControlCache:
    """Latest results of every control, bounded by their number of observations.

    Visits and light checks are kept apart, because one looks at a few addresses or at one endpoint
    and not at the target.
    """

    def __init__(
        self, services: Iterable[Service] = (), *, observations: int = OBSERVATIONS_KEPT
    ) -> None:
        services = tuple(services)
        self._groups = {s.name: {e.id: e.group for e in s.endpoints if e.group} for s in services}
        self._functions = {s.name: s.map_functions() for s in services}
        self._first_ways = {s.name: s.first_way for s in services}
        self._entries_by_target: dict[Key, dict[_Source, list[_Entry]]] = {}
        self._order: deque[tuple[Key, _Source, _Entry]] = deque()
        self._remaining_weight = observations
        self._count = 0

    def update(self, record: ReceivedMeasurement) -> bool:
        """Add a control's result; return False when it proves nothing."""
        if not _is_usable(record):
            return False
        key = make_target_key(record.measurement)
        is_part = record.measurement.is_visit or record.measurement.is_light
        source = (is_part, record.pseudonym)
        self._count += 1
        entry = (record.started_us, self._count, record)
        insort(
            self._entries_by_target.setdefault(key, {}).setdefault(source, []),
            entry,
            key=_by_time,
        )
        self._order.append((key, source, entry))
        self._remaining_weight -= weigh_measurement(record.measurement)
        while self._remaining_weight < 0 and len(self._order) > 1:
            self._forget(*self._order.popleft())
        return True

    def find_view(
        self,
        measurement: Measurement,
        at_us: int,
        peers: Mapping[str, PeerComparison] = NO_PEERS,
        profile: VantageProfile = NO_PROFILE,
    ) -> ControlView:
        """Return the best control result for this target near a time, and further looks.

        Args:
            peers: Results of other countries, by endpoint.
            profile: That of the vantage.

        Returns:
            A view without measurement when no control is within STALE_US.
        """
        sources = self._entries_by_target.get(make_target_key(measurement), {})
        around: list[list[_Entry]] = []
        visits: list[_Entry] = []
        for (is_part, _), entries in sources.items():
            if is_part:
                visits += _list_fresh(entries, at_us)
            else:
                around.append(_find_around(entries, at_us))
        nearest = [entries[0] for entries in around if abs(entries[0][0] - at_us) <= STALE_US]
        best = _choose_best(nearest, at_us)
        day = find_day([record for _, _, record in (*nearest, *visits)])
        list_candidates = partial(_list_candidates, around, visits, best, at_us, day)
        looks = ChosenLooks(list_candidates, measurement, at_us)
        make_view = self.prepare_view(measurement, peers, profile)
        if best is None:
            return make_view(looks=looks)
        started_us, _, record = best
        return make_view(
            measurement=record.measurement,
            age_us=abs(started_us - at_us),
            is_later=started_us > at_us,
            link=record.link,
            network=name_network(record, day),
            looks=looks,
        )

    def view_of(
        self,
        record: ReceivedMeasurement,
        peers: Mapping[str, PeerComparison] = NO_PEERS,
        profile: VantageProfile = NO_PROFILE,
    ) -> ControlView:
        """Return the control view; a control is its own, so it can never be blocked."""
        measurement = record.measurement
        if record.role is AgentRole.CONTROL:
            make_view = self.prepare_view(measurement, peers, profile)
            return make_view(measurement=measurement, age_us=0, link=record.link)
        return self.find_view(measurement, record.started_us, peers, profile)

    def prepare_view(
        self, measurement: Measurement, peers: Mapping[str, PeerComparison], profile: VantageProfile
    ) -> partial[ControlView]:
        """Return a maker of views with the plan's facts on the service."""
        service = measurement.service
        return partial(
            ControlView,
            groups=self._groups.get(service, {}),
            functions=self._functions.get(service, {}),
            first_way=self._first_ways.get(service, frozenset()),
            peer_comparisons=peers,
            profile=profile,
        )

    def _forget(self, key: Key, source: _Source, entry: _Entry) -> None:
        self._remaining_weight += weigh_measurement(entry[2].measurement)
        entries = self._entries_by_target[key][source]
        entries.remove(entry)
        if not entries:
            del self._entries_by_target[key][source]
        if not self._entries_by_target[key]:
            del self._entries_by_target[key]


def _is_usable(record: ReceivedMeasurement) -> bool:
    """Return whether this is a control's result with steps and working anchors."""
    has_run = bool(record.measurement.step_count) and not record.measurement.not_measured
    return record.role is AgentRole.CONTROL and record.link is Link.ONLINE and has_run


def _list_fresh(entries: Sequence[_Entry], at_us: int) -> Iterator[_Entry]:
    """Yield the results within WINDOW_US of a time."""
    first = bisect_left(entries, at_us - WINDOW_US, key=_by_time)
    for entry in islice(entries, first, None):
        if entry[0] > at_us + WINDOW_US:
            return
        yield entry


def _find_around(entries: Sequence[_Entry], at_us: int) -> list[_Entry]:
    """Find the last result until a time and the first one after it, the nearer first.

    Both count, because a failure between a pass and another failure may have been everybody's. Of
    two equally near, the later comes first.
    """
    at = bisect_right(entries, at_us, key=_by_time)
    around = [*entries[max(0, at - 1) : at + 1]]
    if len(around) == 2 and around[1][0] - at_us <= at_us - around[0][0]:
        around.reverse()
    return around


def _rank_nearness(candidate: LookCandidate, at_us: int) -> tuple[int, int]:
    return abs(candidate.started_us - at_us), -candidate.started_us


def _choose_best(nearest: Sequence[_Entry], at_us: int) -> _Entry | None:
    if len(nearest) > 1:  # else nothing is ranked, which reads the whole result
        return max(nearest, key=partial(_rank_control, at_us=at_us))
    return nearest[0] if nearest else None


def _rank_control(entry: _Entry, at_us: int) -> tuple[bool, int, int, str]:
    """Rank fresh before stale controls, then by success, which shows a working target."""
    started_us, _, record = entry
    age_us = abs(started_us - at_us)
    is_fresh = age_us <= WINDOW_US
    depth = _sum_depths(record.measurement) if is_fresh else 0
    return is_fresh, depth, -age_us, record.pseudonym


@keep_by_identity(1_024)  # results of controls, as many as the judge keeps
def _sum_depths(measurement: Measurement) -> int:
    """Sum the depths of the deepest successful step of each endpoint."""
    deepest: dict[str, int] = {}
    for observation in measurement.observations:
        if observation.failure is None:
            depth = max(deepest.get(observation.endpoint, 0), _DEPTH[observation.operation])
            deepest[observation.endpoint] = depth
    return sum(deepest.values())


def _list_candidates(
    around: Iterable[Sequence[_Entry]],
    visits: Iterable[_Entry],
    best: _Entry | None,
    at_us: int,
    day: int,
) -> tuple[LookCandidate, ...]:
    """List the fresh results beside the best one.

    Args:
        at_us: Time of the compared measurement.
        day: The day whose prefixes name networks.
    """
    others = [entry for entries in around for entry in entries if entry is not best]
    fresh = [entry for entry in others if abs(entry[0] - at_us) <= WINDOW_US]
    return tuple(
        LookCandidate(started_us, record.measurement, record.link, name_network(record, day))
        for started_us, _, record in (*fresh, *visits)
    )


class ChosenLooks(Sequence[ControlLook]):
    """Further looks, chosen at the first question: of what passed nobody asks for any."""

    def __init__(
        self,
        list_candidates: Callable[[], Sequence[LookCandidate]],
        measurement: Measurement,
        at_us: int,
    ) -> None:
        """Prepare; the measurement is the compared one, `at_us` its time."""
        self.list_candidates = list_candidates
        self._measurement = measurement
        self._at_us = at_us

    @cached_property
    def _looks(self) -> tuple[ControlLook, ...]:
        return choose_looks(self.list_candidates(), self._measurement, self._at_us)

    @overload
    def __getitem__(self, index: int) -> ControlLook: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ControlLook]: ...

    def __getitem__(self, index: int | slice) -> ControlLook | Sequence[ControlLook]:
        return self._looks[index]

    def __len__(self) -> int:
        return len(self._looks)


def choose_looks(
    candidates: Sequence[LookCandidate], measurement: Measurement, at_us: int
) -> tuple[ControlLook, ...]:
    """Choose at most MAX_LOOKS results, newest first.

    A visit counts only where it went to an endpoint that the measurement met. A result that looks
    at one of those endpoints from a further network, or is the nearest before the measurement or
    after it, comes before one that repeats a look.

    Args:
        candidates: Fresh results of controls on the same target, without the best control's.
        measurement: The compared one.
        at_us: Its time.
    """
    if not candidates:
        return ()
    met = list_met_endpoints(measurement)
    covered: set[tuple[MetEndpoint, str, bool]] = set()
    adding: list[LookCandidate] = []
    repeating: list[LookCandidate] = []
    for candidate in sorted(candidates, key=partial(_rank_nearness, at_us=at_us)):
        other = candidate.measurement
        place = (candidate.network, candidate.started_us > at_us)
        looks = {(end, *place) for end in met & list_met_endpoints(other)}
        if not looks <= covered:
            adding.append(candidate)
        elif looks or not (other.is_visit or other.is_light):
            repeating.append(candidate)
        covered |= looks
    chosen = (*adding, *repeating)[:MAX_LOOKS]
    return tuple(
        ControlLook(
            measurement=candidate.measurement,
            age_us=abs(candidate.started_us - at_us),
            link=candidate.link,
            network=candidate.network,
            is_visit=candidate.measurement.is_visit,
            is_later=candidate.started_us > at_us,
        )
        for candidate in sorted(chosen, key=_by_time, reverse=True)
    )


def find_day(records: Sequence[ReceivedMeasurement]) -> int:
    """Return the last day for which one of the records names its line.

    Returns:
        0 without records, or where each has an AS, which names its network on every day.
    """
    if all(record.vantage.asn for record in records):
        return 0
    return max((record.line_day for record in records), default=0)


def name_network(record: ReceivedMeasurement, day: int) -> str:
    """Name a control's network: its AS, else its prefix, "" if it cannot be compared.

    The hash of a prefix changes every day, so that of another day than `day` names nothing.
    """
    if record.vantage.asn:
        return f"AS{record.vantage.asn}"
    return record.prefix if day == record.line_day else ""
