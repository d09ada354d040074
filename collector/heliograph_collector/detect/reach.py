"""The reachability channel: which services cannot be reached from where, by k of n vantages.

A cell's evidence is a CUSUM of log-likelihood ratios per bin: beta-binomial with the failing rate
of a block against that of the rest of the world. So what fails everywhere is down, not blocked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from heliograph_collector.detect.ballot import Tally, count, total
from heliograph_collector.detect.front import Front
from heliograph_collector.detect.incident import Incident
from heliograph_collector.detect.signals import SECOND_US, Opinion, Standing, Witness
from heliograph_collector.detect.thresholds import THRESHOLDS, Thresholds

World = Callable[[int], Tally]  # the end of a bin → how the rest of the world fares then

_AHEAD_BINS = 5  # clocks may be so wrong; who says a time beyond counts at the end of it
_FORGET_US = 48 * 3_600 * SECOND_US


def reach(
    opinions: Iterable[Opinion],
    since_us: int,
    until_us: int,
    limits: Thresholds = THRESHOLDS,
    world: World | None = None,
) -> tuple[Incident, ...]:
    """What the opinions of [since, until) show, in whole bins. Order does not matter.

    `world` stands in for the opinions of everybody else where `opinions` are of one country and
    service.
    """
    run = Reach(since_us, limits, world)
    width = run.width_us
    bins: defaultdict[int, list[Opinion]] = defaultdict(list)
    for opinion in opinions:
        bins[(opinion.at_us - since_us) // width].append(opinion)
    for index in range(max(0, (until_us - since_us) // width)):
        for opinion in bins.get(index, ()):
            run.take(opinion)
        run.close(since_us + (index + 1) * width)
    return run.findings()


@dataclass(slots=True)
class Service:
    """One service: the newest opinion of each vantage, and its countries."""

    latest: dict[str, Opinion] = field(default_factory=dict)
    fronts: dict[str, Front] = field(default_factory=dict)


class Reach:
    """The same opinion by opinion, for a collector that runs. `since_us` begins the first bin."""

    def __init__(
        self, since_us: int, limits: Thresholds = THRESHOLDS, world: World | None = None
    ) -> None:
        self.limits = limits
        self.since_us = since_us  # of the bin that is open
        self.waiting: list[Opinion] = []  # of this bin and those to come
        self.services: dict[str, Service] = {}
        self._world = world

    @property
    def width_us(self) -> int:
        return int(self.limits.bin_s * SECOND_US)

    def take(self, opinion: Opinion) -> bool:
        """Whether it came in time: made in the open bin or later, or so shortly before it that it
        still counts in this one. Older ones change nothing."""
        until_us = self.since_us + self.width_us
        if opinion.at_us < until_us - int(self.limits.fresh_s * SECOND_US):
            return False
        latest_us = until_us + _AHEAD_BINS * self.width_us
        if opinion.at_us >= latest_us:
            opinion = replace(opinion, at_us=latest_us - 1)
        self.waiting.append(opinion)
        return True

    def close(self, bin_end_us: int) -> bool:
        """Judge every bin up to this end; whether there was any."""
        closed = False
        while self.since_us + self.width_us <= bin_end_us:
            self._close(self.since_us + self.width_us)
            closed = True
        return closed

    def findings(self) -> tuple[Incident, ...]:
        return tuple(
            blocked.incident()
            for _, service in sorted(self.services.items())
            for front in service.fronts.values()
            for blocked in front.found
        )

    def forget(self, before_us: int) -> None:
        """What was over by then, and who has not been heard of for two days."""
        for service in self.services.values():
            for front in service.fronts.values():
                front.forget(before_us, self.since_us - _FORGET_US)

    def _close(self, end_us: int) -> None:
        due = sorted((o for o in self.waiting if o.at_us < end_us), key=_order)
        self.waiting = [o for o in self.waiting if o.at_us >= end_us]
        votes: defaultdict[str, list[Opinion]] = defaultdict(list)
        for opinion in due:
            votes[opinion.service].append(opinion)
        for name in sorted(self.services.keys() | votes.keys()):
            service = self.services.setdefault(name, Service())
            self._judge(name, service, votes[name], end_us)
        self.since_us = end_us

    def _judge(self, name: str, service: Service, votes: list[Opinion], end_us: int) -> None:
        new = _newer(service.latest, votes)
        service.latest = _fresh(service.latest, end_us, self.limits)
        by_country: defaultdict[str, list[Opinion]] = defaultdict(list)
        for opinion in service.latest.values():
            if opinion.standing is not Standing.UNKNOWN:
                by_country[opinion.witness.place.country].append(opinion)
        world = self._worlds(by_country)
        for country in sorted(by_country.keys() | service.fronts.keys()):
            front = service.fronts.get(country)
            if front is None:
                front = service.fronts[country] = Front(country, name, self.limits)
            rest = world(country) if self._world is None else self._world(end_us)
            rate = failing_rate(rest, self.limits)
            down = rest.votes >= self.limits.witnesses and rest.share >= self.limits.world_down
            front.bin(by_country.get(country, ()), new, end_us, rate, down=down)

    def _worlds(self, by_country: Mapping[str, list[Opinion]]) -> Callable[[str], Tally]:
        """Of each country, what all others come to."""
        if self._world is not None:
            return lambda _: Tally()
        each = {name: total(count(map(_failing, some))) for name, some in by_country.items()}
        whole = Tally()
        for tally in each.values():
            whole.add(tally)

        def rest(country: str) -> Tally:
            mine = each.get(country, Tally())
            return Tally(max(0.0, whole.votes - mine.votes), max(0.0, whole.hits - mine.hits))

        return rest


def _order(opinion: Opinion) -> tuple[int, str, str]:
    return opinion.at_us, opinion.witness.nym, opinion.standing


def _newer(latest: dict[str, Opinion], votes: Iterable[Opinion]) -> frozenset[str]:
    """Take them in; whose newest opinion is new. What is judged again to the same end is not."""
    new = set()
    for opinion in votes:
        nym = opinion.witness.nym
        known = latest.get(nym)
        if known is not None and opinion.at_us < known.at_us:
            continue
        if known is None or (opinion.at_us, opinion.standing) != (known.at_us, known.standing):
            new.add(nym)
        latest[nym] = opinion
    return frozenset(new)


def _fresh(latest: Mapping[str, Opinion], end_us: int, limits: Thresholds) -> dict[str, Opinion]:
    """The newest of each vantage, if it is fresh."""
    since_us = end_us - int(limits.fresh_s * SECOND_US)
    return {nym: o for nym, o in latest.items() if o.at_us >= since_us}


def failing_rate(world: Tally, limits: Thresholds) -> float:
    """The rate that no block is needed for: the world's own, under a beta prior."""
    bad, good = limits.prior_bad, limits.prior_good
    return (bad + world.hits) / (bad + good + world.votes)


def _failing(opinion: Opinion) -> tuple[Witness, bool]:
    return opinion.witness, opinion.standing is not Standing.GOOD
