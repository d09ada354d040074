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
    key_of,
    weight,
)
from heliograph_collector.model.records import UNPLACED, Contrast, Role, Taken

DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
BIN_US = 5 * MINUTE_US
SAMPLE = 24  # vantages of a country that are remembered for one target: its word, at any size
FEWEST = 3  # vantages, countries and networks that reach a target, to stand in for a control
OUTSIDE_IN = "outside_in"  # held against what anybody inside finds, by whichever experiment
HOP = re.compile(r"redirect-\d{1,2}")  # a page's chain is one endpoint

_Moment = tuple[Key, str, int]  # target, country, minute
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
    """What volunteers found lately, by target, country and vantage; the oldest makes room.

    Of a large country a sample is kept, always of the same vantages: else ten thousand of them
    would push each other out before anybody could tell that something worked a minute ago.
    """

    def __init__(self, *, observations: int = OBSERVATIONS_KEPT) -> None:
        self._kept: dict[Key, dict[str, dict[str, list[_Seen]]]] = {}
        self._order: deque[tuple[Key, _Seen]] = deque()
        self._room = observations
        self._samples = _Samples(observations)
        self._summaries: dict[_Moment, _Summary] = {}
        self._stand_ins: dict[_Moment, Taken | None] = {}
        self._said: dict[tuple[Key, str], Counter[tuple[str, str]]] = {}  # by country, last

    def update(self, taken: Taken) -> bool:
        """Whether it may change what others mean: its country says something else than before."""
        if taken.role is not Role.VOLUNTEER or taken.link is not Link.ONLINE or taken.time_bad:
            return False
        key = key_of(taken.measurement)
        line = self._line(key, taken)
        if line is None:
            return False
        at = bisect_right(line, taken.started_us, key=_by_time)
        before = line[at - 1] if at else None
        seen = _seen(taken, before)
        place = (key, taken.vantage.country)
        late = at < len(line)  # what is known of its time is not what is known of now
        line.insert(at, seen)
        self._order.append((key, seen))
        self._room -= seen.weight
        if seen.good:
            self._samples.put(key, taken)
        while self._room < 0 and len(self._order) > 1:
            self._forget(*self._order.popleft())
        self._summaries.clear()
        self._stand_ins.clear()
        if late:
            return before is None or before.ends != seen.ends
        said, self._said[place] = self._said.get(place), self._told(place)
        return said != self._said[place]

    def contrast(self, taken: Taken) -> Mapping[str, Contrast]:
        """By endpoint, what vantages of other countries say near that moment.

        It is reckoned when somebody looks: most verdicts never do.
        """
        return _Asked(lambda: self._summary(taken).contrast)

    def stand_in(self, taken: Taken) -> Taken | None:
        """Somebody elsewhere who reached all of it, if several others did, each in a country and
        a network of their own; the nearest in time to the minute."""
        at = _moment(taken)
        if at not in self._stand_ins:
            good = self._summary(taken).good
            near = sorted(good, key=lambda s: (abs(s.started_us - at[2] * MINUTE_US), s.nym))
            samples = (self._samples.get(at[0], seen) for seen in near)
            self._stand_ins[at] = next((found for found in samples if found), None)
        return self._stand_ins[at]

    def _summary(self, taken: Taken) -> "_Summary":
        """The same for all of one country and minute, until somebody says something new."""
        at = _moment(taken)
        if at not in self._summaries:
            self._summaries[at] = _summed(list(self._elsewhere(*at)))
        return self._summaries[at]

    def _elsewhere(self, key: Key, country: str, minute: int) -> Iterator[_Seen]:
        """Of each vantage what it found nearest to this minute, and within a control's reach."""
        at_us = minute * MINUTE_US
        for one in self._keys(key):
            for where, lines in self._kept.get(one, {}).items():
                if where in (country, UNPLACED):
                    continue
                nearest = (_nearest(line, at_us) for line in lines.values())
                yield from (s for s in nearest if abs(s.started_us - at_us) <= WINDOW_US)

    def _line(self, key: Key, taken: Taken) -> list[_Seen] | None:
        """Where it is written down; None when the country's sample does without this vantage."""
        lines = self._kept.setdefault(key, {}).setdefault(taken.vantage.country, {})
        if taken.nym not in lines and len(lines) >= SAMPLE:
            last = max(lines, key=lambda nym: (_gone(lines[nym], taken.started_us), _lot(nym)))
            if not _gone(lines[last], taken.started_us) and _lot(taken.nym) > _lot(last):
                return None
            for seen in list(lines[last]):
                self._forget(key, seen)
        return lines.setdefault(taken.nym, [])

    def _told(self, place: tuple[Key, str]) -> Counter[tuple[str, str]]:
        """What one country says now of each endpoint, no further than anybody counts."""
        lines = self._kept.get(place[0], {}).get(place[1], {})
        latest = [line[-1] for line in lines.values() if line]
        said = Counter((label, "up" if up else "") for s in latest for label, up in s.ends.items())
        said.update((label, "fell") for s in latest for label in s.ends if s.fell(label))
        said["", "whole"] = sum(s.good for s in latest)
        return Counter({word: min(times, FEWEST) for word, times in said.items()})

    def _keys(self, key: Key) -> Iterable[Key]:
        if key[1] != OUTSIDE_IN:
            return (key,)
        return [k for k in self._kept if k[0] == key[0] and k[1] != OUTSIDE_IN]

    def _forget(self, key: Key, seen: _Seen) -> None:
        """Once; what the sample has let go of already is passed over."""
        countries = self._kept.get(key, {})
        lines = countries.get(seen.country, {})
        line = lines.get(seen.nym, [])
        if not any(one is seen for one in line):
            return
        self._room += seen.weight
        line[:] = [one for one in line if one is not seen]
        if not line:
            del lines[seen.nym]
        if not lines:
            del countries[seen.country]
            self._said.pop((key, seen.country), None)
        if not countries:
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


def _gone(line: Sequence[_Seen], at_us: int) -> bool:
    """Whoever has not been heard for an hour makes room for those who are here."""
    return line[-1].started_us + STALE_US < at_us


@lru_cache(maxsize=65_536)
def _lot(nym: str) -> bytes:
    """Drawn once for each vantage: who is in a sample is nobody's choice, and stays."""
    return hashlib.blake2b(nym.encode(), digest_size=8).digest()


@dataclass(frozen=True)
class _Summary:
    some: tuple[_Seen, ...]
    good: tuple[_Seen, ...]  # one of whom may stand in for a control

    @cached_property
    def contrast(self) -> Mapping[str, Contrast]:
        """A network whose vantages disagree of an endpoint votes for nothing there."""
        labels = {label for seen in self.some for label in seen.ends}
        return {
            label: _counted(label, [s for s in self.some if label in s.ends]) for label in labels
        }


class _Asked(Mapping[str, Contrast]):
    """A mapping that is made when it is first looked into."""

    def __init__(self, make: Callable[[], Mapping[str, Contrast]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Mapping[str, Contrast]:
        return self._make()

    def __getitem__(self, label: str) -> Contrast:
        return self._made[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def _moment(taken: Taken) -> _Moment:
    return key_of(taken.measurement), taken.vantage.country, taken.started_us // MINUTE_US


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
    good = tuple(s for s in some if s.good)
    return _Summary(tuple(some), good if min(_spread(good)) >= FEWEST else ())


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
