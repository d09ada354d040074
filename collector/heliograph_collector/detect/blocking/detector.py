"""The reachability channel: which services cannot be reached from where, by k of n vantages.

A cell's evidence is a CUSUM of log-likelihood ratios per bin: beta-binomial with the failing rate
of a block against that of the rest of the world. So what fails everywhere is down, not blocked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from heliograph_collector.detect.blocking.country_service import Front, FrontState
from heliograph_collector.detect.blocking.episode import Blocked
from heliograph_collector.detect.stats.localization import cells_of
from heliograph_collector.detect.stats.voting import Tally, count, established, total
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import BAD, SECOND_US, Opinion, Standing, Witness
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

_LEAST = 2  # votes of a cell


@dataclass(frozen=True, slots=True)
class Abroad:
    """One service in one country: its fresh opinions, and the first failure of who is failing."""

    mine: Sequence[Opinion]
    first_bad: Mapping[str, Opinion]


def elsewhere(
    blocked: Blocked, home: str, abroad: Mapping[str, Abroad], now_us: int, limits: Thresholds
) -> bool:
    """Whether cells of several other countries went with it: the same minutes, the same way.

    Two neighbours may block by one order; a third in the same minutes makes it the service. Of a
    large world it takes more of them, so that their own noise does not do.
    """
    others = {name: country for name, country in abroad.items() if name != home}
    hits = [_like(blocked, country, now_us, limits) for country in others.values()]
    least = max(limits.elsewhere, limits.elsewhere_share * len(others))
    return sum(hits) >= least


def _like(blocked: Blocked, country: Abroad, now_us: int, limits: Thresholds) -> bool:
    """Whether a cell of it went; as in a confirmation a third of a cell that lies is nothing.

    Cells of one dimension alone: the narrower ones are too many for so few votes.
    """
    apart_us = int(limits.fresh_s * SECOND_US)
    since_us = blocked.started.earliest_us - apart_us
    until_us = blocked.started.latest_us + apart_us

    def hit(opinion: Opinion) -> bool:
        first = country.first_bad.get(opinion.witness.nym)
        return (
            opinion.standing in BAD
            and (opinion.layer, opinion.method) == (blocked.layer, blocked.method)
            and first is not None
            and since_us <= first.at_us <= until_us
        )

    judged = [(o.witness, hit(o)) for o in country.mine if o.standing is not Standing.DOWN]
    if sum(failing for _, failing in judged) < _LEAST:
        return False
    ballot, _ = established(judged, now_us, limits)
    return any(
        scope.fields <= 1 and tally.hits >= _LEAST and tally.share >= limits.confirm_share
        for scope, tally in cells_of(ballot).items()
    )


Voice = tuple[str, str]  # who, by which experiment
World = Callable[[int], Tally]  # the end of a bin → how the rest of the world fares then

_WORSE = (
    Standing.UNKNOWN,
    Standing.GOOD,
    Standing.DOWN,
    Standing.THROTTLED,
    Standing.PARTIAL,
    Standing.BLOCKED,
)
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
    """One service: the newest opinion of each vantage and experiment, and its countries."""

    latest: dict[Voice, Opinion] = field(default_factory=dict)
    fronts: dict[str, Front] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class ReachState:
    """All that a Reach knows, as plain values."""

    since_us: int
    waiting: list[Opinion]
    services: list[tuple[str, list[Opinion], list[FrontState]]]


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

    def state(self) -> ReachState:
        """To go on from; shares its parts with this Reach, so it must be written down at once."""
        return ReachState(
            since_us=self.since_us,
            waiting=self.waiting,
            services=[
                (name, list(s.latest.values()), [front.state() for front in s.fronts.values()])
                for name, s in self.services.items()
            ],
        )

    @classmethod
    def of(cls, state: ReachState, limits: Thresholds = THRESHOLDS) -> "Reach":
        run = cls(state.since_us, limits)
        run.waiting = state.waiting
        for name, latest, fronts in state.services:
            run.services[name] = Service(
                {(o.witness.nym, o.source): o for o in latest},
                {front.country: Front.of(front, name, limits) for front in fronts},
            )
        return run

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
            closed = True
            if self._idle():  # the collector was away: nothing can change in bins without a vote
                self.since_us += (bin_end_us - self.since_us) // self.width_us * self.width_us
            else:
                self._close(self.since_us + self.width_us)
        return closed

    def glance(self, now_us: int) -> bool:
        """Between two bins: end what is over by what has come in; whether anything was. Opinions
        stay where they are, and count in their bins."""
        ended = False
        for name, service in self.services.items():
            fronts = {c: f for c, f in service.fronts.items() if f.lasting}
            if fronts:
                votes = [o for o in self.waiting if o.service == name and o.at_us < now_us]
                ended |= self._glance(service, fronts, votes, now_us)
        return ended

    def _glance(
        self, service: Service, fronts: Mapping[str, Front], votes: list[Opinion], now_us: int
    ) -> bool:
        fresh_us = now_us - int(self.limits.fresh_s * SECOND_US)
        latest = dict(service.latest)
        new = _newer(latest, sorted(votes, key=_order))
        latest = {voice: o for voice, o in latest.items() if o.at_us >= fresh_us}
        by_country: defaultdict[str, list[Opinion]] = defaultdict(list)
        for opinion in _worst(latest, new):
            by_country[opinion.witness.place.country].append(opinion)
        tests = [o for o in votes if o.standing is not Standing.UNKNOWN]
        over = [front.glance(by_country[c], tests, now_us) for c, front in fronts.items()]
        return any(over)

    def _idle(self) -> bool:
        return not self.waiting and not any(
            service.latest or any(any(front.held) for front in service.fronts.values())
            for service in self.services.values()
        )

    def findings(self) -> tuple[Incident, ...]:
        return tuple(
            blocked.incident()
            for _, service in sorted(self.services.items())
            for front in service.fronts.values()
            for blocked in front.found
        )

    def adopt(self, said: Incident) -> None:
        """Go on with an incident that only the log still knows."""
        country = said.scope.country
        fronts = self.services.setdefault(said.service, Service()).fronts
        front = fronts.setdefault(country, Front(country, said.service, self.limits))
        front.found.append(Blocked.adopted(said, self.limits))

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
        fresh_us = end_us - int(self.limits.fresh_s * SECOND_US)
        new = _newer(service.latest, votes)
        service.latest = {v: o for v, o in service.latest.items() if o.at_us >= fresh_us}
        by_country: defaultdict[str, list[Opinion]] = defaultdict(list)
        for opinion in _worst(service.latest, new):
            by_country[opinion.witness.place.country].append(opinion)
        nyms = {nym for nym, _ in new}
        world = self._worlds(by_country)
        for country, mine in by_country.items():
            service.fronts.setdefault(country, Front(country, name, self.limits)).remember(mine)
        abroad = {
            country: Abroad(mine, service.fronts[country].first_bad)
            for country, mine in by_country.items()
        }
        for country, front in sorted(service.fronts.items()):
            rest = world(country) if self._world is None else self._world(end_us)
            rate = failing_rate(rest, self.limits)
            down = rest.votes >= self.limits.witnesses and rest.share >= self.limits.world_down
            front.bin(
                by_country.get(country, ()),
                nyms,
                end_us,
                rate,
                down=down,
                elsewhere=partial(_elsewhere, country, abroad, end_us, self.limits),
            )

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


def _elsewhere(
    home: str, abroad: Mapping[str, Abroad], now_us: int, limits: Thresholds, blocked: Blocked
) -> bool:
    return elsewhere(blocked, home, abroad, now_us, limits)


def _order(opinion: Opinion) -> tuple[int, str, str]:
    return opinion.at_us, opinion.witness.nym, opinion.standing


def _newer(latest: dict[Voice, Opinion], votes: Iterable[Opinion]) -> set[Voice]:
    """Take them in; whose newest opinion is new. What is judged again to the same end is not."""
    new = set()
    for opinion in votes:
        voice = opinion.witness.nym, opinion.source
        known = latest.get(voice)
        if known is not None and opinion.at_us < known.at_us:
            continue
        if known is None or (opinion.at_us, opinion.standing) != (known.at_us, known.standing):
            new.add(voice)
        latest[voice] = opinion
    return new


def _worst(latest: Mapping[Voice, Opinion], new: set[Voice]) -> Iterable[Opinion]:
    """One opinion of each vantage that has any. In `new` only those stay that it is made of."""
    found: dict[str, Opinion] = {}
    for voice, opinion in latest.items():
        other = found.get(opinion.witness.nym)
        if opinion.standing is Standing.UNKNOWN:
            new.discard(voice)
        elif other is None:
            found[opinion.witness.nym] = opinion
        else:
            pair = sorted((other, opinion), key=_weight)
            new.discard((pair[0].witness.nym, pair[0].source))
            found[opinion.witness.nym] = pair[1]
    return found.values()


def _weight(opinion: Opinion) -> tuple[int, int, str]:
    return _WORSE.index(opinion.standing), opinion.at_us, opinion.source


def failing_rate(world: Tally, limits: Thresholds) -> float:
    """The rate that no block is needed for: the world's own, under a beta prior."""
    bad, good = limits.prior_bad, limits.prior_good
    return (bad + world.hits) / (bad + good + world.votes)


def _failing(opinion: Opinion) -> tuple[Witness, bool]:
    return opinion.witness, opinion.standing is not Standing.GOOD
