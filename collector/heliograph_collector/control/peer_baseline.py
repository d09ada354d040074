"""Peer baseline: bounded record of how other countries reach the same targets.

Does a target fail at once in many unrelated countries where it worked before? Then the cause is an
outage. Is a control missing? A result from elsewhere replaces it, if enough vantages there agree.
"""

import hashlib
from bisect import bisect_right
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from operator import attrgetter

import msgspec

from heliograph.observation import Link
from heliograph.units import DAY_US, MINUTE_US
from heliograph_collector.control.endpoint_outcomes import extract_outcomes
from heliograph_collector.control.target_key import (
    OBSERVATIONS_KEPT,
    STALE_US,
    WINDOW_US,
    Key,
    make_target_key,
    weigh_measurement,
)
from heliograph_collector.model.line_names import count_lines
from heliograph_collector.model.records import (
    UNPLACED,
    AgentRole,
    PeerComparison,
    ReceivedMeasurement,
)
from heliograph_collector.model.seniority import Seniority

BIN_US = 5 * MINUTE_US  # assumed
SAMPLE_SIZE = 24  # assumed; vantages kept for one target and country, however many it has …
# … and for one target in all: with 480 it held 8 minutes of the default plan, not WINDOW_US.
WORLD_SAMPLE_SIZE = 240
MIN_PEERS = 3  # assumed; vantages, countries and networks that must succeed to replace a control
OUTSIDE_IN = "outside_in"  # compared with the results of all experiments on the same target

_PeerKey = tuple[Key, str, int]  # target, country, minute
_by_time = attrgetter("started_us")


class _PeerResult(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of one vantage at one time, with the last success of each endpoint."""

    pseudonym: str
    prefix: str
    country: str
    started_us: int
    is_established: bool
    reached_by_endpoint: Mapping[str, bool]
    last_success_us: Mapping[str, int]

    @property
    def is_good(self) -> bool:
        return bool(self.reached_by_endpoint) and all(self.reached_by_endpoint.values())

    def has_fallen(self, label: str) -> bool:
        """Return whether the endpoint fails now and worked within the day before."""
        since_us = self.started_us - self.last_success_us.get(label, -DAY_US)
        return not self.reached_by_endpoint[label] and since_us <= DAY_US

    @property
    def weight(self) -> int:
        return 1 + len(self.reached_by_endpoint)

    def list_outcomes(self) -> list[tuple[str, str]]:
        """List its contributions to the counts of its country."""
        if self.is_good:
            return [*((label, "up") for label in self.reached_by_endpoint), ("", "complete")]
        outcomes = [(label, "up" if up else "") for label, up in self.reached_by_endpoint.items()]
        fallen = (label for label in self.reached_by_endpoint if self.has_fallen(label))
        return [*outcomes, *((label, "fell") for label in fallen)]


class PeerBaseline:
    """Recent results of volunteers by target, country and vantage.

    Each country keeps a stable sample of its vantages, the smaller the more countries there are.
    Without it, ten thousand vantages of a large country would displace each other before a change
    within one minute could be detected. The oldest of the country that holds most go first, so that
    none displaces another.
    """

    def __init__(self, *, observations: int = OBSERVATIONS_KEPT) -> None:
        self._results: dict[Key, dict[str, dict[str, list[_PeerResult]]]] = {}
        self._orders: defaultdict[str, OrderedDict[int, tuple[Key, _PeerResult]]] = defaultdict(
            OrderedDict
        )  # by country and identity of the result
        self._weights = Counter[str]()  # of all results, by country
        self._remaining_weight = observations
        self._samples = _Samples(observations)
        self._summaries: dict[_PeerKey, _Summary] = {}
        self._substitutes: dict[_PeerKey, ReceivedMeasurement | None] = {}
        # Of each vantage's latest result, by target and country; and capped, at the last result.
        self._counts: dict[tuple[Key, str], Counter[tuple[str, str]]] = {}
        self._last_counts: dict[tuple[Key, str], dict[tuple[str, str], int]] = {}
        self._changed_counts: set[tuple[Key, str]] = set()  # since the last result

    def update(self, record: ReceivedMeasurement) -> bool:
        """Add a result; return whether its country's counts changed.

        Such a change may change verdicts in other countries.
        """
        if (
            record.role is not AgentRole.VOLUNTEER
            or record.link is not Link.ONLINE
            or record.is_time_bad
            or not record.seniority.has_vote
        ):
            return False
        key = make_target_key(record.measurement)
        history = self._find_history(key, record)
        if history is None:
            return False
        at = bisect_right(history, record.started_us, key=_by_time)
        previous = history[at - 1] if at else None
        result = _make_result(record, previous)
        country_key = (key, record.vantage.country)
        is_late = at < len(history)  # a late result changes its own time and not the present
        history.insert(at, result)
        if not is_late:
            self._replace_outcomes(country_key, previous, result)
        self._orders[result.country][id(result)] = (key, result)
        self._weights[result.country] += result.weight
        self._remaining_weight -= result.weight
        if result.is_good:
            self._samples.put(key, record)
        while self._remaining_weight < 0:
            heaviest = max(self._weights, key=self._weights.__getitem__)
            self._forget(*next(iter(self._orders[heaviest].values())))
        self._summaries.clear()
        self._substitutes.clear()
        if is_late:
            return previous is None or previous.reached_by_endpoint != result.reached_by_endpoint
        if country_key not in self._changed_counts:
            return False
        self._changed_counts.discard(country_key)
        previous_counts = self._last_counts.get(country_key)
        self._last_counts[country_key] = self._cap_counts(country_key)
        return previous_counts != self._last_counts[country_key]

    def compare_peers(self, record: ReceivedMeasurement) -> Mapping[str, PeerComparison]:
        """Return comparisons by endpoint with vantages of other countries near that time.

        The mapping is computed on first access, because most verdicts never read it.
        """
        return _LazyComparisons(self, record)

    def substitute_control(self, record: ReceivedMeasurement) -> ReceivedMeasurement | None:
        """Return the nearest complete success elsewhere that can replace a control.

        Returns:
            None unless MIN_PEERS vantages, networks and countries reached every endpoint.
        """
        peer_key = _make_peer_key(record)
        if peer_key not in self._substitutes:
            good = self.get_summary(record).substitutes
            by_name = sorted(good, key=attrgetter("pseudonym"))
            nearest = sorted(by_name, key=partial(_distance_us, at_us=peer_key[2] * MINUTE_US))
            samples = (self._samples.get(peer_key[0], result) for result in nearest)
            self._substitutes[peer_key] = next((sample for sample in samples if sample), None)
        return self._substitutes[peer_key]

    def get_summary(self, record: ReceivedMeasurement) -> "_Summary":
        """Return the summary for one target, country and minute, cached until an update."""
        peer_key = _make_peer_key(record)
        if peer_key not in self._summaries:
            self._summaries[peer_key] = _summarize(list(self._iterate_peer_results(*peer_key)))
        return self._summaries[peer_key]

    def _iterate_peer_results(self, key: Key, country: str, minute: int) -> Iterator[_PeerResult]:
        """Yield each foreign vantage's nearest result within WINDOW_US of the minute."""
        at_us = minute * MINUTE_US
        for related_key in self._list_related_keys(key):
            for peer_country, histories in self._results.get(related_key, {}).items():
                if peer_country in (country, UNPLACED):
                    continue
                nearest = (_find_nearest(history, at_us) for history in histories.values())
                yield from (s for s in nearest if abs(s.started_us - at_us) <= WINDOW_US)

    def _find_history(self, key: Key, record: ReceivedMeasurement) -> list[_PeerResult] | None:
        """Return the vantage's history, or None if it is not in its country's sample."""
        countries = self._results.setdefault(key, {})
        histories = countries.setdefault(record.vantage.country, {})
        size = min(SAMPLE_SIZE, max(1, WORLD_SAMPLE_SIZE // len(countries)))
        while len(histories) + (record.pseudonym not in histories) > size:
            others = histories.keys() - {record.pseudonym}
            stale = [n for n in others if _is_stale(histories[n], record.started_us)]
            last = max(stale or histories, key=_hash_pseudonym)
            if not _is_stale(histories[last], record.started_us) and _hash_pseudonym(
                record.pseudonym
            ) > _hash_pseudonym(last):
                return None
            for result in list(histories[last]):
                self._forget(key, result)
            if last == record.pseudonym:
                return None  # the sample has become smaller
        countries = self._results.setdefault(key, {})
        histories = countries.setdefault(record.vantage.country, {})
        return histories.setdefault(record.pseudonym, [])

    def _replace_outcomes(
        self,
        country_key: tuple[Key, str],
        previous: _PeerResult | None,
        latest: _PeerResult | None,
    ) -> None:
        """Count a vantage's latest result in place of the one before."""
        before = previous.list_outcomes() if previous is not None else []
        after = latest.list_outcomes() if latest is not None else []
        if before == after and country_key in self._last_counts:
            return  # as nearly always
        counts = self._counts.get(country_key)
        if counts is None:
            counts = self._counts[country_key] = Counter()
        for outcome in before:
            counts[outcome] -= 1
        for outcome in after:
            counts[outcome] += 1
        self._changed_counts.add(country_key)

    def _cap_counts(self, country_key: tuple[Key, str]) -> dict[tuple[str, str], int]:
        """Return a country's present outcomes by endpoint, each capped at MIN_PEERS."""
        counts = self._counts.get(country_key)
        items = counts.items() if counts else ()
        return {outcome: min(times, MIN_PEERS) for outcome, times in items if times}

    def _list_related_keys(self, key: Key) -> Iterable[Key]:
        if key[1] != OUTSIDE_IN:
            return (key,)
        return [k for k in self._results if k[0] == key[0] and k[1] != OUTSIDE_IN]

    def _forget(self, key: Key, result: _PeerResult) -> None:
        """Remove a result."""
        countries = self._results[key]
        histories = countries[result.country]
        history = histories[result.pseudonym]
        del self._orders[result.country][id(result)]
        self._remaining_weight += result.weight
        self._weights[result.country] -= result.weight
        is_latest = history[-1] is result
        del history[next(at for at, each in enumerate(history) if each is result)]
        if is_latest:
            latest = history[-1] if history else None
            self._replace_outcomes((key, result.country), result, latest)
        if not history:
            del histories[result.pseudonym]
        if not histories:
            del countries[result.country]
            self._last_counts.pop((key, result.country), None)
            self._counts.pop((key, result.country), None)
            self._changed_counts.discard((key, result.country))
        if not countries:
            del self._results[key]


class _Samples:
    """One complete measurement per target, country and 5 min, to replace a control."""

    def __init__(self, observations: int) -> None:
        self._records: OrderedDict[tuple[Key, str, int], ReceivedMeasurement] = OrderedDict()
        self._remaining_weight = observations

    def put(self, key: Key, record: ReceivedMeasurement) -> None:
        sample_key = (key, record.vantage.country, record.started_us // BIN_US)
        if sample_key not in self._records:
            self._records[sample_key] = record
            self._remaining_weight -= weigh_measurement(record.measurement)
        while self._remaining_weight < 0 and len(self._records) > 1:
            self._remaining_weight += weigh_measurement(
                self._records.popitem(last=False)[1].measurement
            )

    def get(self, key: Key, result: _PeerResult) -> ReceivedMeasurement | None:
        return self._records.get((key, result.country, result.started_us // BIN_US))


def _is_stale(history: Sequence[_PeerResult], at_us: int) -> bool:
    """Return whether the last result is over an hour old, so others may replace it."""
    return history[-1].started_us + STALE_US < at_us


@lru_cache(maxsize=65_536)
def _hash_pseudonym(pseudonym: str) -> bytes:
    """Hash a pseudonym, so that samples of vantages are stable and cannot be chosen."""
    return hashlib.blake2b(pseudonym.encode(), digest_size=8).digest()


@dataclass(frozen=True)
class _Summary:
    results: tuple[_PeerResult, ...]
    substitutes: tuple[_PeerResult, ...]  # candidates to replace a control
    _comparisons: dict[str, PeerComparison] = field(default_factory=dict)

    @cached_property
    def labels(self) -> Collection[str]:
        return dict.fromkeys(x for result in self.results for x in result.reached_by_endpoint)

    def compare(self, label: str) -> PeerComparison:
        """Compare vantages that met it; a divided network has no vote. Raises KeyError."""
        if label not in self._comparisons:
            met = [s for s in self.results if label in s.reached_by_endpoint]
            if not met:
                raise KeyError(label)
            self._comparisons[label] = _compare_endpoint(label, met)
        return self._comparisons[label]


class _LazyComparisons(Mapping[str, PeerComparison]):
    """Compute each value at first access: of many endpoints mostly one is read."""

    def __init__(self, baseline: PeerBaseline, record: ReceivedMeasurement) -> None:
        self._baseline = baseline
        self._record = record

    @cached_property
    def _summary(self) -> _Summary:
        return self._baseline.get_summary(self._record)

    def __getitem__(self, label: str) -> PeerComparison:
        return self._summary.compare(label)

    def __iter__(self) -> Iterator[str]:
        return iter(self._summary.labels)

    def __len__(self) -> int:
        return len(self._summary.labels)


def _make_peer_key(record: ReceivedMeasurement) -> _PeerKey:
    return (
        make_target_key(record.measurement),
        record.vantage.country,
        record.started_us // MINUTE_US,
    )


def _make_result(record: ReceivedMeasurement, previous: _PeerResult | None) -> _PeerResult:
    reached_by_endpoint = extract_outcomes(record.measurement)
    started_us = record.started_us
    worked = {label: started_us for label, good in reached_by_endpoint.items() if good}
    return _PeerResult(
        pseudonym=record.pseudonym,
        prefix=record.prefix,
        country=record.vantage.country,
        started_us=started_us,
        is_established=record.seniority is Seniority.ESTABLISHED,
        reached_by_endpoint=reached_by_endpoint,
        last_success_us={**previous.last_success_us, **worked} if previous else worked,
    )


def _find_nearest(history: Sequence[_PeerResult], at_us: int) -> _PeerResult:
    """Return the result nearest in time; `history` is not empty."""
    at = bisect_right(history, at_us, key=_by_time)
    return min(history[max(0, at - 1) : at + 1], key=partial(_distance_us, at_us=at_us))


def _distance_us(result: _PeerResult, at_us: int) -> int:
    return abs(result.started_us - at_us)


def _summarize(results: Sequence[_PeerResult]) -> _Summary:
    established = [s for s in results if s.is_established]
    results = established if min(_count_spread(established)) >= MIN_PEERS else results
    good = tuple(s for s in results if s.is_good)
    return _Summary(tuple(results), good if min(_count_spread(good)) >= MIN_PEERS else ())


def _compare_endpoint(label: str, results: Sequence[_PeerResult]) -> PeerComparison:
    by_network: dict[str, set[bool]] = {}
    for result in results:
        by_network.setdefault(result.prefix, set()).add(result.reached_by_endpoint[label])
    consistent = [s for s in results if len(by_network[s.prefix]) == 1]
    reached = _count_spread([s for s in consistent if s.reached_by_endpoint[label]])
    failed = _count_spread([s for s in consistent if not s.reached_by_endpoint[label]])
    fell = _count_spread([s for s in consistent if s.has_fallen(label)])
    return PeerComparison(
        reached_vantages=min(reached[:2]),
        reached_countries=reached[2],
        failed_countries=failed[2],
        fell_vantages=min(fell[:2]),
        fell_countries=fell[2],
    )


def _count_spread(results: Sequence[_PeerResult]) -> tuple[int, int, int]:
    """Return the numbers of vantages, lines and countries."""
    return (
        len({s.pseudonym for s in results}),
        count_lines(s.prefix for s in results),
        len({s.country for s in results}),
    )
