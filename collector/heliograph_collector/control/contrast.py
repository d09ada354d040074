"""What the rest of the world sees of the same target at the same time, a bounded memory of it.

Two questions are asked of it. Does it fail in many unrelated countries at once, where it worked
before? Then it is an outage, and nobody's censorship. And where there is no control: do enough
vantages elsewhere reach it to stand in for one?
"""

import re
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Measurement, Observation
from heliograph_collector.control.keys import OBSERVATIONS_KEPT, WINDOW_US, Key, key_of, weight
from heliograph_collector.store.rows import UNPLACED, Contrast, Role, Taken

DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
BIN_US = 5 * MINUTE_US
FEWEST = 3  # vantages, countries and networks that reach a target, to stand in for a control
OUTSIDE_IN = "outside_in"  # held against what anybody inside finds, by whichever experiment
HOP = re.compile(r"redirect-\d{1,2}")  # a page's chain is one endpoint

_by_time = attrgetter("started_us")

# Words that tell of the vantage itself, or of nothing.
OWN = frozenset(
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
class _Seen:
    """What one vantage found at one time, and when each endpoint had last worked there."""

    nym: str
    prefix: str
    country: str
    started_us: int
    ends: Mapping[str, bool]
    worked_us: Mapping[str, int]

    @property
    def good(self) -> bool:
        return bool(self.ends) and all(self.ends.values())

    def fell(self, label: str) -> bool:
        """It fails, and did not within the day before."""
        since_us = self.started_us - self.worked_us.get(label, -DAY_US)
        return not self.ends[label] and since_us <= DAY_US

    @property
    def weight(self) -> int:
        return 1 + len(self.ends)


class World:
    """What volunteers found lately, by target and vantage; the oldest makes room."""

    def __init__(self, *, observations: int = OBSERVATIONS_KEPT) -> None:
        self._kept: dict[Key, dict[str, list[_Seen]]] = {}
        self._order: deque[tuple[Key, _Seen]] = deque()
        self._room = observations
        self._samples = _Samples(observations)
        self._summaries: dict[tuple[Key, str, int], _Summary] = {}

    def update(self, taken: Taken) -> bool:
        """Whether it may change what others mean: it says something else than before, or is new and
        could stand in for a control."""
        if taken.role is not Role.VOLUNTEER or taken.link is not Link.ONLINE or taken.time_bad:
            return False
        key = key_of(taken.measurement)
        line = self._kept.setdefault(key, {}).setdefault(taken.nym, [])
        at = bisect_right(line, taken.started_us, key=_by_time)
        before = line[at - 1] if at else None
        seen = _seen(taken, before)
        line.insert(at, seen)
        self._order.append((key, seen))
        self._room -= seen.weight
        if seen.good:
            self._samples.put(key, taken)
        while self._room < 0 and len(self._order) > 1:
            self._forget(*self._order.popleft())
        self._summaries.clear()
        return seen.good if before is None else before.ends != seen.ends

    def contrast(self, taken: Taken) -> Mapping[str, Contrast]:
        """By endpoint, what vantages of other countries say near that moment."""
        return self._summary(taken).contrast

    def stand_in(self, taken: Taken) -> Taken | None:
        """Somebody elsewhere who reached all of it, if several others did, each in a country and
        a network of their own; the nearest in time."""
        good = self._summary(taken).good
        near = sorted(good, key=lambda s: (abs(s.started_us - taken.started_us), s.nym))
        key = key_of(taken.measurement)
        return next((t for s in near if (t := self._samples.get(key, s)) is not None), None)

    def _summary(self, taken: Taken) -> "_Summary":
        """The same for all of one country and minute, until somebody says something new."""
        key, country = key_of(taken.measurement), taken.vantage.country
        at = (key, country, taken.started_us // MINUTE_US)
        if at not in self._summaries:
            self._summaries[at] = _summed(list(self._elsewhere(*at)))
        return self._summaries[at]

    def _elsewhere(self, key: Key, country: str, minute: int) -> Iterator[_Seen]:
        """Of each vantage what it found nearest to this minute, and within a control's reach."""
        at_us = minute * MINUTE_US
        for one in self._keys(key):
            for line in self._kept.get(one, {}).values():
                seen = _nearest(line, at_us)
                near = abs(seen.started_us - at_us) <= WINDOW_US
                if near and seen.country not in (country, UNPLACED):
                    yield seen

    def _keys(self, key: Key) -> Iterable[Key]:
        if key[1] != OUTSIDE_IN:
            return (key,)
        return [k for k in self._kept if k[0] == key[0] and k[1] != OUTSIDE_IN]

    def _forget(self, key: Key, seen: _Seen) -> None:
        self._room += seen.weight
        line = self._kept[key][seen.nym]
        line.remove(seen)
        if not line:
            del self._kept[key][seen.nym]
        if not self._kept[key]:
            del self._kept[key]


class _Samples:
    """One whole measurement of each target, country and five minutes: who may stand in."""

    def __init__(self, observations: int) -> None:
        self._kept: OrderedDict[tuple[Key, str, int], Taken] = OrderedDict()
        self._room = observations

    def put(self, key: Key, taken: Taken) -> None:
        at = (key, taken.vantage.country, taken.started_us // BIN_US)
        if at not in self._kept:
            self._kept[at] = taken
            self._room -= weight(taken.measurement)
        while self._room < 0 and len(self._kept) > 1:
            self._room += weight(self._kept.popitem(last=False)[1].measurement)

    def get(self, key: Key, like: _Seen) -> Taken | None:
        return self._kept.get((key, like.country, like.started_us // BIN_US))


@dataclass(frozen=True, slots=True)
class _Summary:
    contrast: Mapping[str, Contrast]
    good: tuple[_Seen, ...]  # one of whom may stand in for a control


def _seen(taken: Taken, before: _Seen | None) -> _Seen:
    ends = outcomes(taken.measurement)
    worked = {label: taken.started_us for label, good in ends.items() if good}
    return _Seen(
        nym=taken.nym,
        prefix=taken.prefix,
        country=taken.vantage.country,
        started_us=taken.started_us,
        ends=ends,
        worked_us={**before.worked_us, **worked} if before else worked,
    )


def _nearest(line: Sequence[_Seen], at_us: int) -> _Seen:
    """The line is not empty."""
    at = bisect_right(line, at_us, key=_by_time)
    return min(line[max(0, at - 1) : at + 1], key=lambda s: abs(s.started_us - at_us))


def _summed(some: Sequence[_Seen]) -> _Summary:
    """A network whose vantages disagree of an endpoint votes for nothing there."""
    labels = {label for seen in some for label in seen.ends}
    contrast = {label: _counted(label, [s for s in some if label in s.ends]) for label in labels}
    good = tuple(s for s in some if s.good)
    return _Summary(contrast, good if min(_spread(good)) >= FEWEST else ())


def _counted(label: str, some: Sequence[_Seen]) -> Contrast:
    by_network: dict[str, set[bool]] = {}
    for seen in some:
        by_network.setdefault(seen.prefix, set()).add(seen.ends[label])
    clear = [s for s in some if len(by_network[s.prefix]) == 1]
    reached = _spread([s for s in clear if s.ends[label]])
    failed = _spread([s for s in clear if not s.ends[label]])
    fell = _spread([s for s in clear if s.fell(label)])
    return Contrast(
        reached_vantages=min(reached[:2]),
        reached_countries=reached[2],
        failed_vantages=min(failed[:2]),
        failed_countries=failed[2],
        fell_vantages=min(fell[:2]),
        fell_countries=fell[2],
    )


def _spread(some: Sequence[_Seen]) -> tuple[int, int, int]:
    """Vantages, networks, countries."""
    return len({s.nym for s in some}), len({s.prefix for s in some}), len({s.country for s in some})


def outcomes(measurement: Measurement) -> dict[str, bool]:
    """By endpoint, whether it was reached as far as was tried; none for what is in doubt."""
    ends: dict[str, list[Observation]] = {}
    for seen in measurement.observations:
        label = "" if HOP.fullmatch(seen.endpoint) else seen.endpoint
        ends.setdefault(label, []).append(seen)
    found = {label: _outcome(some) for label, some in ends.items()}
    return {label: good for label, good in found.items() if good is not None}


def _outcome(some: Sequence[Observation]) -> bool | None:
    if any(x.failure is Failure.INTERRUPTED for x in some):
        return None
    passed = {x.operation for x in some if x.failure is None}
    failed = {x.operation for x in some if x.failure not in OWN and x.failure and _counts(x)}
    if failed - passed:
        return False
    return True if passed - {Operation.RESOLVE} else None


def _counts(seen: Observation) -> bool:
    """IPv6 and lookups of it never do."""
    end = seen.tcp or seen.udp
    six = end is not None and ":" in end.address
    return not six and not (seen.dns is not None and seen.dns.query_type == "AAAA")
