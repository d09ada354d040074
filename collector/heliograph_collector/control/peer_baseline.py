"""What the rest of the world sees of the same target at the same time, a bounded memory of it.

Two questions are asked of it. Does it fail in many unrelated countries at once, where it worked
before? Then it is an outage, and nobody's censorship. And where there is no control: do enough
vantages elsewhere reach it to stand in for one?
"""

import hashlib
import re
from bisect import bisect_right
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import attrgetter

from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Measurement, Observation
from heliograph_collector.control.target_key import (
    OBSERVATIONS_KEPT,
    STALE_US,
    WINDOW_US,
    Key,
    make_target_key,
    weigh_measurement,
)
from heliograph_collector.model.records import (
    UNPLACED,
    AgentRole,
    PeerComparison,
    ReceivedMeasurement,
)

DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
BIN_US = 5 * MINUTE_US
SAMPLE_SIZE = 24  # vantages of a country that are remembered for one target: its word, at any size
MIN_PEERS = 3  # vantages, countries and networks that reach a target, to stand in for a control
OUTSIDE_IN = "outside_in"  # held against what anybody inside finds, by whichever experiment
HOP = re.compile(r"redirect-\d{1,2}")  # a page's chain is one endpoint

_PeerKey = tuple[Key, str, int]  # target, country, minute
_by_time = attrgetter("started_us")

# Words that tell of the vantage itself, or of nothing.
VANTAGE_FAILURES = frozenset(
    {
        Failure.INTERRUPTED,
        Failure.PERMISSION_DENIED,
        Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
        Failure.ADDRESS_NOT_AVAILABLE,
        Failure.DNS_NO_RESOLVER,
        Failure.NETWORK_DOWN,
        Failure.NETWORK_UNREACHABLE,
        Failure.UNKNOWN_FAILURE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PeerResult:
    """What one vantage found at one time, and when each endpoint had last worked there."""

    pseudonym: str
    prefix: str
    country: str
    started_us: int
    reached_by_endpoint: Mapping[str, bool]
    last_success_us: Mapping[str, int]

    @property
    def is_good(self) -> bool:
        return bool(self.reached_by_endpoint) and all(self.reached_by_endpoint.values())

    def has_fallen(self, label: str) -> bool:
        """It fails, and did not within the day before."""
        since_us = self.started_us - self.last_success_us.get(label, -DAY_US)
        return not self.reached_by_endpoint[label] and since_us <= DAY_US

    @property
    def weight(self) -> int:
        return 1 + len(self.reached_by_endpoint)


class PeerBaseline:
    """What volunteers found lately, by target, country and vantage; the oldest makes room.

    Of a large country a sample is kept, always of the same vantages: else ten thousand of them
    would push each other out before anybody could tell that something worked a minute ago.
    """

    def __init__(self, *, observations: int = OBSERVATIONS_KEPT) -> None:
        self._results: dict[Key, dict[str, dict[str, list[_PeerResult]]]] = {}
        self._order: deque[tuple[Key, _PeerResult]] = deque()
        self._remaining_weight = observations
        self._samples = _Samples(observations)
        self._summaries: dict[_PeerKey, _Summary] = {}
        self._substitutes: dict[_PeerKey, ReceivedMeasurement | None] = {}
        self._last_counts: dict[tuple[Key, str], Counter[tuple[str, str]]] = {}  # by country, last

    def update(self, record: ReceivedMeasurement) -> bool:
        """Whether it may change what others mean: its country says something else than before."""
        if (
            record.role is not AgentRole.VOLUNTEER
            or record.link is not Link.ONLINE
            or record.is_time_bad
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
        is_late = at < len(history)  # what is known of its time is not what is known of now
        history.insert(at, result)
        self._order.append((key, result))
        self._remaining_weight -= result.weight
        if result.is_good:
            self._samples.put(key, record)
        while self._remaining_weight < 0 and len(self._order) > 1:
            self._forget(*self._order.popleft())
        self._summaries.clear()
        self._substitutes.clear()
        if is_late:
            return previous is None or previous.reached_by_endpoint != result.reached_by_endpoint
        previous_counts = self._last_counts.get(country_key)
        self._last_counts[country_key] = self._count_outcomes(country_key)
        return previous_counts != self._last_counts[country_key]

    def compare_peers(self, record: ReceivedMeasurement) -> Mapping[str, PeerComparison]:
        """By endpoint, what vantages of other countries say near that moment.

        It is reckoned when somebody looks: most verdicts never do.
        """
        return _LazyComparisons(lambda: self._get_summary(record).comparisons)

    def substitute_control(self, record: ReceivedMeasurement) -> ReceivedMeasurement | None:
        """Somebody elsewhere who reached all of it, if several others did, each in a country and
        a network of their own; the nearest in time to the minute."""
        peer_key = _make_peer_key(record)
        if peer_key not in self._substitutes:
            good = self._get_summary(record).substitutes
            nearest = sorted(
                good, key=lambda s: (abs(s.started_us - peer_key[2] * MINUTE_US), s.pseudonym)
            )
            samples = (self._samples.get(peer_key[0], result) for result in nearest)
            self._substitutes[peer_key] = next((sample for sample in samples if sample), None)
        return self._substitutes[peer_key]

    def _get_summary(self, record: ReceivedMeasurement) -> "_Summary":
        """The same for all of one country and minute, until somebody says something new."""
        peer_key = _make_peer_key(record)
        if peer_key not in self._summaries:
            self._summaries[peer_key] = _summarize(list(self._iterate_peer_results(*peer_key)))
        return self._summaries[peer_key]

    def _iterate_peer_results(self, key: Key, country: str, minute: int) -> Iterator[_PeerResult]:
        """Of each vantage what it found nearest to this minute, and within a control's reach."""
        at_us = minute * MINUTE_US
        for related_key in self._list_related_keys(key):
            for peer_country, histories in self._results.get(related_key, {}).items():
                if peer_country in (country, UNPLACED):
                    continue
                nearest = (_find_nearest(history, at_us) for history in histories.values())
                yield from (s for s in nearest if abs(s.started_us - at_us) <= WINDOW_US)

    def _find_history(self, key: Key, record: ReceivedMeasurement) -> list[_PeerResult] | None:
        """Where it is written down; None when the country's sample does without this vantage."""
        histories = self._results.setdefault(key, {}).setdefault(record.vantage.country, {})
        if record.pseudonym not in histories and len(histories) >= SAMPLE_SIZE:
            last = max(
                histories,
                key=lambda pseudonym: (
                    _is_stale(histories[pseudonym], record.started_us),
                    _hash_pseudonym(pseudonym),
                ),
            )
            if not _is_stale(histories[last], record.started_us) and _hash_pseudonym(
                record.pseudonym
            ) > _hash_pseudonym(last):
                return None
            for result in list(histories[last]):
                self._forget(key, result)
        return histories.setdefault(record.pseudonym, [])

    def _count_outcomes(self, country_key: tuple[Key, str]) -> Counter[tuple[str, str]]:
        """What one country says now of each endpoint, no further than anybody counts."""
        histories = self._results.get(country_key[0], {}).get(country_key[1], {})
        latest = [history[-1] for history in histories.values() if history]
        counts = Counter(
            (label, "up" if up else "")
            for s in latest
            for label, up in s.reached_by_endpoint.items()
        )
        counts.update(
            (label, "fell")
            for s in latest
            for label in s.reached_by_endpoint
            if s.has_fallen(label)
        )
        counts["", "complete"] = sum(s.is_good for s in latest)
        return Counter({outcome: min(times, MIN_PEERS) for outcome, times in counts.items()})

    def _list_related_keys(self, key: Key) -> Iterable[Key]:
        if key[1] != OUTSIDE_IN:
            return (key,)
        return [k for k in self._results if k[0] == key[0] and k[1] != OUTSIDE_IN]

    def _forget(self, key: Key, result: _PeerResult) -> None:
        """Once; what the sample has let go of already is passed over."""
        countries = self._results.get(key, {})
        histories = countries.get(result.country, {})
        history = histories.get(result.pseudonym, [])
        if not any(candidate is result for candidate in history):
            return
        self._remaining_weight += result.weight
        history[:] = [candidate for candidate in history if candidate is not result]
        if not history:
            del histories[result.pseudonym]
        if not histories:
            del countries[result.country]
            self._last_counts.pop((key, result.country), None)
        if not countries:
            del self._results[key]


class _Samples:
    """One whole measurement of each target, country and five minutes: who may stand in."""

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
    """Whoever has not been heard for an hour makes room for those who are here."""
    return history[-1].started_us + STALE_US < at_us


@lru_cache(maxsize=65_536)
def _hash_pseudonym(pseudonym: str) -> bytes:
    """Hash a pseudonym, so that samples of vantages are stable and nobody's choice."""
    return hashlib.blake2b(pseudonym.encode(), digest_size=8).digest()


@dataclass(frozen=True)
class _Summary:
    results: tuple[_PeerResult, ...]
    substitutes: tuple[_PeerResult, ...]  # one of whom may stand in for a control

    @cached_property
    def comparisons(self) -> Mapping[str, PeerComparison]:
        """A network whose vantages disagree of an endpoint votes for nothing there."""
        labels = {label for result in self.results for label in result.reached_by_endpoint}
        return {
            label: _compare_endpoint(
                label, [s for s in self.results if label in s.reached_by_endpoint]
            )
            for label in labels
        }


class _LazyComparisons(Mapping[str, PeerComparison]):
    """A mapping that is made when it is first looked into."""

    def __init__(self, make: Callable[[], Mapping[str, PeerComparison]]) -> None:
        self._make = make

    @cached_property
    def _comparisons(self) -> Mapping[str, PeerComparison]:
        return self._make()

    def __getitem__(self, label: str) -> PeerComparison:
        return self._comparisons[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self._comparisons)

    def __len__(self) -> int:
        return len(self._comparisons)


def _make_peer_key(record: ReceivedMeasurement) -> _PeerKey:
    return (
        make_target_key(record.measurement),
        record.vantage.country,
        record.started_us // MINUTE_US,
    )


def _make_result(record: ReceivedMeasurement, previous: _PeerResult | None) -> _PeerResult:
    reached_by_endpoint = extract_outcomes(record.measurement)
    worked = {label: record.started_us for label, good in reached_by_endpoint.items() if good}
    return _PeerResult(
        pseudonym=record.pseudonym,
        prefix=record.prefix,
        country=record.vantage.country,
        started_us=record.started_us,
        reached_by_endpoint=reached_by_endpoint,
        last_success_us={**previous.last_success_us, **worked} if previous else worked,
    )


def _find_nearest(history: Sequence[_PeerResult], at_us: int) -> _PeerResult:
    """The line is not empty."""
    at = bisect_right(history, at_us, key=_by_time)
    return min(history[max(0, at - 1) : at + 1], key=lambda s: abs(s.started_us - at_us))


def _summarize(results: Sequence[_PeerResult]) -> _Summary:
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
        failed_vantages=min(failed[:2]),
        failed_countries=failed[2],
        fell_vantages=min(fell[:2]),
        fell_countries=fell[2],
    )


def _count_spread(results: Sequence[_PeerResult]) -> tuple[int, int, int]:
    """Vantages, networks, countries."""
    return (
        len({s.pseudonym for s in results}),
        len({s.prefix for s in results}),
        len({s.country for s in results}),
    )


def extract_outcomes(measurement: Measurement) -> dict[str, bool]:
    """By endpoint, whether it was reached as far as was tried; none for what is in doubt."""
    by_endpoint: dict[str, list[Observation]] = {}
    for observation in measurement.observations:
        label = "" if HOP.fullmatch(observation.endpoint) else observation.endpoint
        by_endpoint.setdefault(label, []).append(observation)
    reached_by_endpoint = {
        label: _decide_outcome(observations) for label, observations in by_endpoint.items()
    }
    return {label: good for label, good in reached_by_endpoint.items() if good is not None}


def _decide_outcome(observations: Sequence[Observation]) -> bool | None:
    if any(x.failure is Failure.INTERRUPTED for x in observations):
        return None
    passed = {x.operation for x in observations if x.failure is None}
    failed = {
        x.operation
        for x in observations
        if x.failure not in VANTAGE_FAILURES and x.failure and _counts_as_failure(x)
    }
    if failed - passed:
        return False
    return True if passed - {Operation.RESOLVE} else None


def _counts_as_failure(observation: Observation) -> bool:
    """IPv6 and lookups of it never do."""
    end = observation.tcp or observation.udp
    is_ipv6 = end is not None and ":" in end.address
    return not is_ipv6 and not (
        observation.dns is not None and observation.dns.query_type == "AAAA"
    )
