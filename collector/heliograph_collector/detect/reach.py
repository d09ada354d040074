"""The reachability channel: which services cannot be reached from where, by k of n vantages.

A cell's evidence is a CUSUM of log-likelihood ratios per bin: beta-binomial with the failing rate
of a block against that of the rest of the world. So what fails everywhere is down, not blocked.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from heliograph_collector.detect.ballot import Ballot, Tally, count, established, total
from heliograph_collector.detect.blocked import Blocked
from heliograph_collector.detect.burst import alarm_log
from heliograph_collector.detect.fold import Part, cells_of, fold
from heliograph_collector.detect.incident import Incident
from heliograph_collector.detect.scope import Scope
from heliograph_collector.detect.signals import BAD, SECOND_US, Opinion, Standing, Witness
from heliograph_collector.detect.tails import beta_binomial
from heliograph_collector.detect.thresholds import THRESHOLDS, Thresholds

_MOST_NATS = 60.0  # a long block is not proven for ever: it must be able to end


def reach(
    opinions: Iterable[Opinion], since_us: int, until_us: int, limits: Thresholds = THRESHOLDS
) -> tuple[Incident, ...]:
    """What the opinions of [since, until) show, in whole bins. Order does not matter."""
    bins = _bins(opinions, since_us, until_us, limits)
    services = sorted({o.service for votes in bins for o in votes})
    return tuple(
        incident for service in services for incident in _service(service, bins, since_us, limits)
    )


def _bins(
    opinions: Iterable[Opinion], since_us: int, until_us: int, limits: Thresholds
) -> list[list[Opinion]]:
    width = int(limits.bin_s * SECOND_US)
    bins: list[list[Opinion]] = [[] for _ in range(max(0, (until_us - since_us) // width))]
    for opinion in sorted(opinions, key=lambda o: (o.at_us, o.witness.nym, o.service)):
        index = (opinion.at_us - since_us) // width
        if 0 <= index < len(bins):
            bins[index].append(opinion)
    return bins


def _service(
    service: str, bins: Sequence[Sequence[Opinion]], since_us: int, limits: Thresholds
) -> list[Incident]:
    width = int(limits.bin_s * SECOND_US)
    latest: dict[str, Opinion] = {}
    watches: dict[str, _Country] = {}
    for index, votes in enumerate(bins):
        now_us = since_us + (index + 1) * width
        latest.update({o.witness.nym: o for o in votes if o.service == service})
        fresh = _known(latest.values(), now_us, limits)
        for country in sorted({o.witness.place.country for o in fresh} | watches.keys()):
            watch = watches.setdefault(country, _Country(country, service, limits))
            watch.bin(fresh, now_us)
    return [blocked.incident() for watch in watches.values() for blocked in watch.found]


def _known(opinions: Iterable[Opinion], now_us: int, limits: Thresholds) -> list[Opinion]:
    """The newest of each vantage, if it is fresh; those who know nothing abstain."""
    since_us = now_us - int(limits.fresh_s * SECOND_US)
    return [o for o in opinions if o.at_us >= since_us and o.standing is not Standing.UNKNOWN]


def failing_rate(world: Tally, limits: Thresholds) -> float:
    """The rate that no block is needed for: the world's own, under a beta prior."""
    bad, good = limits.prior_bad, limits.prior_good
    return (bad + world.hits) / (bad + good + world.votes)


def evidence(tally: Tally, rate: float, limits: Thresholds) -> float:
    """Nats for a block in one bin: ln BB(k|n, p1) - ln BB(k|n, p0)."""
    blocked = beta_binomial(tally.hits, tally.votes, limits.p_bad, limits.spread)
    return blocked - beta_binomial(tally.hits, tally.votes, min(rate, limits.p_bad), limits.spread)


@dataclass(slots=True)
class _Country:
    """One service in one country, bin by bin."""

    country: str
    service: str
    limits: Thresholds
    sums: defaultdict[Scope, float] = field(default_factory=lambda: defaultdict(float))
    last_good: dict[str, int] = field(default_factory=dict)
    first_bad: dict[str, Opinion] = field(default_factory=dict)
    held: list[tuple[Part, ...]] = field(default_factory=list)  # of the last bins
    found: list[Blocked] = field(default_factory=list)

    def bin(self, fresh: Sequence[Opinion], now_us: int) -> None:
        mine = [o for o in fresh if o.witness.place.country == self.country]
        others = [o for o in fresh if o.witness.place.country != self.country]
        self._remember(mine)
        world = total(count((o.witness, _fails(o)) for o in others))
        judged = [(o.witness, o.standing in BAD) for o in mine if o.standing is not Standing.DOWN]
        since_us = now_us - int(self.limits.bin_s * SECOND_US)
        new = count((o.witness, o.standing in BAD) for o in mine if _new(o, since_us))
        self._sum(cells_of(new), failing_rate(world, self.limits))
        down = world.votes >= self.limits.witnesses and world.share >= self.limits.world_down
        open_now = [blocked for blocked in self.found if blocked.open]
        for blocked in open_now:
            blocked.bin(mine, now_us, down=down)
        if down:  # whatever fails here says nothing of here
            self.sums.clear()
            self.held.clear()
        else:
            self._alarm(judged, now_us)

    def _remember(self, mine: Sequence[Opinion]) -> None:
        for opinion in mine:
            nym = opinion.witness.nym
            if opinion.standing in BAD:
                self.first_bad.setdefault(nym, opinion)
            elif opinion.standing is Standing.GOOD:
                self.last_good[nym] = opinion.at_us
                self.first_bad.pop(nym, None)

    def _sum(self, cells: dict[Scope, Tally], rate: float) -> None:
        """Page's CUSUM: the sum falls to 0 and no further. Without votes it stands still."""
        for scope, tally in cells.items():
            step = evidence(tally, rate, self.limits)
            self.sums[scope] = min(_MOST_NATS, max(0.0, self.sums[scope] + step))

    def _alarm(self, judged: Sequence[tuple[Witness, bool]], now_us: int) -> None:
        limits = self.limits
        needed = alarm_log(len(self.sums), limits.reach_alarms_per_year, limits.bin_s)
        everybody = count(judged)
        every = fold(everybody, limits.confirm_share, limits.burst, limits)
        loud = tuple(p for p in every if self.sums[p.scope] >= needed)
        ballot, old = established(judged, now_us, limits)
        firm = fold(ballot, limits.confirm_share, limits.votes, limits)
        self.held = [*self.held, tuple(p for p in firm if self.sums[p.scope] >= needed)][-3:]
        steady = self._steady()
        known = [b for b in self.found if b.open and b.confirmed_us is not None]
        news = tuple(p for p in loud if self._adds(p, everybody, known))
        more = tuple(p for p in steady if self._adds(p, ballot, known))
        if news or more:
            self._say(more or news, now_us)
        for blocked in self.found:
            mine = tuple(p for p in steady if blocked.touches(p))
            if blocked.open and blocked.confirmed_us is None and mine:
                blocked.confirm(mine, now_us, sure=old)

    def _adds(self, part: Part, ballot: Ballot, known: Sequence[Blocked]) -> bool:
        """Whether what is not known of it yet would bear it alone."""
        rest = Tally()
        for place, tally in ballot.items():
            if part.scope.holds(place) and not any(b.holds(place) for b in known):
                rest.add(tally)
        return rest.votes >= self.limits.burst and rest.share >= self.limits.confirm_share

    def _steady(self) -> tuple[Part, ...]:
        """Cells that were found, by these very names, in enough of the last bins."""
        newest = {part.scope: part for parts in self.held for part in parts}
        times = Counter(part.scope for parts in self.held for part in parts)
        return tuple(p for scope, p in newest.items() if times[scope] >= self.limits.hold_bins)

    def _say(self, parts: tuple[Part, ...], now_us: int) -> None:
        bad = [
            o for o in self.first_bad.values() if any(p.scope.holds(o.witness.place) for p in parts)
        ]
        goods = [self.last_good[o.witness.nym] for o in bad if o.witness.nym in self.last_good]
        since_us = now_us - int(self.limits.join_s * SECOND_US)
        young = [b for b in self.found if b.open and b.suspected_us >= since_us]
        if young:
            young[0].grow(parts)
            return
        self.found.append(
            Blocked.begin(self.country, self.service, parts, bad, goods, now_us, self.limits)
        )


def _new(opinion: Opinion, since_us: int) -> bool:
    """Evidence is counted once, in the bin in which it was made."""
    return opinion.at_us >= since_us and opinion.standing is not Standing.DOWN


def _fails(opinion: Opinion) -> bool:
    return opinion.standing is not Standing.GOOD
