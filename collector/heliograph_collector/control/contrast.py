"""What the rest of the world sees of the same target at the same time, a bounded memory of it.

Two questions are asked of it. Does it fail in many unrelated countries at once, where it worked
before? Then it is an outage, and nobody's censorship. And where there is no control: do enough
vantages elsewhere reach it to stand in for one?
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Measurement, Observation
from heliograph_collector.control.keys import OBSERVATIONS_KEPT, WINDOW_US, Key, key_of, weight
from heliograph_collector.store.rows import UNPLACED, Contrast, Role, Taken

DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
FEWEST = 3  # vantages, countries and networks that reach a target, to stand in for a control
OUTSIDE_IN = "outside_in"  # held against what anybody inside finds, by whichever experiment
HOP = re.compile(r"redirect-\d{1,2}")  # a page's chain is one endpoint

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


@dataclass(slots=True)
class _Seen:
    """The last that one vantage found, and when each endpoint last worked there."""

    taken: Taken
    ends: dict[str, bool]
    worked_us: dict[str, int] = field(default_factory=dict)


class World:
    """Volunteers' latest results by target and vantage; the oldest make room."""

    def __init__(self, *, observations: int = OBSERVATIONS_KEPT) -> None:
        self._kept: dict[Key, OrderedDict[str, _Seen]] = {}
        self._order: OrderedDict[tuple[Key, str], int] = OrderedDict()
        self._room = observations
        self._summaries: dict[tuple[Key, str, int], _Summary] = {}

    def update(self, taken: Taken) -> bool:
        """Whether it changes what this vantage says of any endpoint."""
        if taken.role is not Role.VOLUNTEER or taken.link is not Link.ONLINE or taken.time_bad:
            return False
        key, nym = key_of(taken.measurement), taken.nym
        before = self._kept.get(key, OrderedDict()).get(nym)
        if before is not None and before.taken.started_us > taken.started_us:
            return False
        ends = outcomes(taken.measurement)
        worked = dict(before.worked_us) if before else {}
        worked |= {label: taken.started_us for label, good in ends.items() if good}
        self._put(key, nym, _Seen(taken, ends, worked))
        self._summaries.clear()
        return before is None or before.ends != ends

    def contrast(self, taken: Taken) -> Mapping[str, Contrast]:
        """By endpoint, what vantages of other countries say near that moment."""
        return self._summary(taken).contrast

    def stand_in(self, taken: Taken) -> Taken | None:
        """Somebody elsewhere who reached all of it, if several others did, each in a country and
        a network of their own; the nearest in time."""
        good = self._summary(taken).good
        return min(good, key=lambda t: (abs(t.started_us - taken.started_us), t.nym), default=None)

    def _summary(self, taken: Taken) -> "_Summary":
        """The same for all of one country and minute, until somebody says something new."""
        measurement = taken.measurement
        at = (key_of(measurement), taken.vantage.country, taken.started_us // MINUTE_US)
        if at not in self._summaries:
            self._summaries[at] = _summed(list(self._elsewhere(taken)), measurement.experiment)
        return self._summaries[at]

    def _elsewhere(self, taken: Taken) -> Iterator[_Seen]:
        country = taken.vantage.country
        middle_us = taken.started_us // MINUTE_US * MINUTE_US
        for key in self._keys(taken.measurement):
            for seen in self._kept.get(key, OrderedDict()).values():
                near = abs(seen.taken.started_us - middle_us) <= WINDOW_US
                if near and seen.taken.vantage.country not in (country, UNPLACED):
                    yield seen

    def _keys(self, measurement: Measurement) -> Iterable[Key]:
        key = key_of(measurement)
        if measurement.experiment != OUTSIDE_IN:
            return (key,)
        return [k for k in self._kept if k[0] == key[0] and k[1] != OUTSIDE_IN]

    def _put(self, key: Key, nym: str, seen: _Seen) -> None:
        self._drop(key, nym)
        self._kept.setdefault(key, OrderedDict())[nym] = seen
        self._order[key, nym] = weight(seen.taken.measurement)
        self._room -= self._order[key, nym]
        while self._room < 0 and len(self._order) > 1:
            self._drop(*next(iter(self._order)))

    def _drop(self, key: Key, nym: str) -> None:
        self._room += self._order.pop((key, nym), 0)
        some = self._kept.get(key, OrderedDict())
        some.pop(nym, None)
        if not some:
            self._kept.pop(key, None)


@dataclass(frozen=True, slots=True)
class _Vote:
    taken: Taken
    good: bool
    fell: bool


@dataclass(frozen=True, slots=True)
class _Summary:
    contrast: Mapping[str, Contrast]
    good: tuple[Taken, ...]  # who may stand in for a control


def _summed(some: Sequence[_Seen], experiment: str) -> _Summary:
    votes: dict[str, list[_Vote]] = {}
    for seen in some:
        for label, good in seen.ends.items():
            at_us = seen.worked_us.get(label, -DAY_US)
            fell = not good and seen.taken.started_us - at_us <= DAY_US
            votes.setdefault(label, []).append(_Vote(seen.taken, good, fell))
    whole = [s.taken for s in some if s.ends and all(s.ends.values())]
    whole = [t for t in whole if t.measurement.experiment == experiment]
    enough = min(_spread(whole)) >= FEWEST
    return _Summary({k: _counted(v) for k, v in votes.items()}, tuple(whole) if enough else ())


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


def _counted(votes: Sequence[_Vote]) -> Contrast:
    """A network whose vantages disagree votes for nothing."""
    by_network: dict[str, set[bool]] = {}
    for vote in votes:
        by_network.setdefault(vote.taken.prefix, set()).add(vote.good)
    clear = [v for v in votes if len(by_network[v.taken.prefix]) == 1]
    reached = _spread(v.taken for v in clear if v.good)
    failed = _spread(v.taken for v in clear if not v.good)
    fell = _spread(v.taken for v in clear if v.fell)
    return Contrast(
        reached_vantages=min(reached[:2]),
        reached_countries=reached[2],
        failed_vantages=min(failed[:2]),
        failed_countries=failed[2],
        fell_vantages=min(fell[:2]),
        fell_countries=fell[2],
    )


def _spread(some: Iterable[Taken]) -> tuple[int, int, int]:
    """Vantages, networks, countries."""
    there = list(some)
    return (
        len({t.nym for t in there}),
        len({t.prefix for t in there}),
        len({t.vantage.country for t in there}),
    )
