"""One service in one country, bin by bin: what its votes come to, cell by cell."""

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from heliograph_collector.detect.blocking.episode import Blocked
from heliograph_collector.detect.silence.burst_test import alarm_log
from heliograph_collector.detect.stats.localization import cells_of, fold
from heliograph_collector.detect.stats.tails import beta_binomial
from heliograph_collector.detect.stats.voting import Ballot, Tally, count, established
from heliograph_collector.incidents.incident import State
from heliograph_collector.incidents.scope import Part, Scope
from heliograph_collector.model.signals import BAD, SECOND_US, Opinion, Standing, Witness
from heliograph_collector.model.thresholds import Thresholds

Elsewhere = Callable[[Blocked], bool]  # whether other countries fail with it

_MOST_NATS = 60.0  # a long block is not proven for ever: it must be able to end


def evidence(tally: Tally, rate: float, limits: Thresholds) -> float:
    """Nats for a block in one bin: ln BB(k|n, p1) - ln BB(k|n, p0)."""
    blocked = beta_binomial(tally.hits, tally.votes, limits.p_bad, limits.spread)
    return blocked - beta_binomial(tally.hits, tally.votes, min(rate, limits.p_bad), limits.spread)


@dataclass(slots=True, kw_only=True)
class FrontState:
    """A Front's memory as plain values."""

    country: str
    sums: list[tuple[Scope, float]]
    last_good: dict[str, int]
    first_bad: dict[str, Opinion]
    held: list[tuple[Part, ...]]
    found: list[Blocked]


@dataclass(slots=True)
class Front:
    country: str
    service: str
    limits: Thresholds
    sums: dict[Scope, float] = field(default_factory=dict)  # of every cell seen so far
    last_good: dict[str, int] = field(default_factory=dict)
    first_bad: dict[str, Opinion] = field(default_factory=dict)
    held: list[tuple[Part, ...]] = field(default_factory=list)  # of the last bins
    found: list[Blocked] = field(default_factory=list)

    def state(self) -> FrontState:
        return FrontState(
            country=self.country,
            sums=list(self.sums.items()),
            last_good=self.last_good,
            first_bad=self.first_bad,
            held=self.held,
            found=self.found,
        )

    @classmethod
    def of(cls, state: FrontState, service: str, limits: Thresholds) -> "Front":
        return cls(
            state.country,
            service,
            limits,
            dict(state.sums),
            state.last_good,
            state.first_bad,
            state.held,
            state.found,
        )

    def bin(
        self,
        mine: Sequence[Opinion],
        new: AbstractSet[str],
        now_us: int,
        rate: float,
        *,
        down: bool,
        elsewhere: Elsewhere = lambda _: False,
    ) -> None:
        """`mine`: the fresh opinions; `new`: who made theirs for this bin; `rate`: that of failing
        in the rest of the world; `down`: half of it fails; `remember` comes first."""
        counted = [o for o in mine if o.witness.nym in new and o.standing is not Standing.DOWN]
        self._sum(self._cells(count((o.witness, o.standing in BAD) for o in counted)), rate)
        open_now = [blocked for blocked in self.found if blocked.open]
        for blocked in open_now:
            blocked.bin(mine, new, now_us, down=down)
            if blocked.open and elsewhere(blocked):
                blocked.fails_elsewhere(now_us)
        if down:  # whatever fails here says nothing of here
            self.sums.clear()
            self.held.clear()
            return
        needed = alarm_log(len(self.sums), self.limits.reach_alarms_per_year, self.limits.bin_s)
        loud = max(self.sums.values(), default=0.0) >= needed
        if loud or any(self.held):
            self._alarm(mine, now_us, needed, elsewhere)

    @property
    def lasting(self) -> bool:
        """Whether a confirmed block goes on here."""
        return any(b.open and b.confirmed_us is not None for b in self.found)

    def glance(self, mine: Sequence[Opinion], tests: Sequence[Opinion], now_us: int) -> bool:
        """Between two bins; `mine`: the fresh opinions, `tests`: all since the last bin. Whether a
        block was over."""
        lasting = [b for b in self.found if b.open and b.confirmed_us is not None]
        for blocked in lasting:
            blocked.glance(mine, tests, now_us)
        return any(not blocked.open for blocked in lasting)

    def forget(self, over_us: int, heard_us: int) -> None:
        """Blocks over before `over_us`, and who was last heard of before `heard_us`."""
        self.found = [b for b in self.found if b.open or (b.closed_us or 0) >= over_us]
        self.last_good = {n: at for n, at in self.last_good.items() if at >= heard_us}
        if not any(b.open for b in self.found):
            self.first_bad = {n: o for n, o in self.first_bad.items() if o.at_us >= heard_us}

    def remember(self, mine: Sequence[Opinion]) -> None:
        """Since when each fails; of every country before any is judged."""
        for opinion in mine:
            nym = opinion.witness.nym
            if opinion.standing in BAD:
                self.first_bad.setdefault(nym, opinion)
            elif opinion.standing is Standing.GOOD:
                self.last_good[nym] = opinion.at_us
                self.first_bad.pop(nym, None)

    def _cells(self, ballot: Ballot) -> dict[Scope, Tally]:
        """What the bin's votes come to. A block that is confirmed is evidence for its own cells,
        not for others that share some of its votes."""
        known = [b for b in self.found if b.open and b.confirmed_us is not None]
        cells = cells_of(ballot)
        if not known:
            return cells
        rest = {p: t for p, t in ballot.items() if not any(b.holds(p) for b in known)}
        others = cells_of(rest)
        return {
            scope: tally if any(b.names(scope) for b in known) else others.get(scope, Tally())
            for scope, tally in cells.items()
        }

    def _sum(self, cells: dict[Scope, Tally], rate: float) -> None:
        """Page's CUSUM: the sum falls to 0 and no further. Without votes it stands still."""
        for scope, tally in cells.items():
            before = self.sums.setdefault(scope, 0.0)
            if before > 0.0 or tally.hits:  # else it stays where it is: no hit is never evidence
                step = evidence(tally, rate, self.limits)
                self.sums[scope] = min(_MOST_NATS, max(0.0, before + step))

    def _alarm(
        self, mine: Sequence[Opinion], now_us: int, needed: float, elsewhere: Elsewhere
    ) -> None:
        limits = self.limits
        judged: list[tuple[Witness, bool]] = [
            (o.witness, o.standing in BAD) for o in mine if o.standing is not Standing.DOWN
        ]
        everybody = count(judged)
        loud = self._loud(everybody, limits.burst, needed)
        ballot, old = established(judged, now_us, limits)
        firm = fold(ballot, limits.confirm_share, limits.votes, limits)
        self.held = [*self.held, tuple(p for p in firm if self.sums.get(p.scope, 0.0) >= needed)][
            -3:
        ]
        steady = self._steady()
        known = [b for b in self.found if b.open and b.confirmed_us is not None]
        news = tuple(p for p in loud if self._adds(p, everybody, known))
        more = tuple(p for p in steady if self._adds(p, ballot, known))
        if news or more:
            self._say(more or news, now_us)
        for blocked in self.found:
            its = tuple(p for p in steady if blocked.touches(p))
            if not blocked.open or blocked.confirmed_us is not None or not its:
                continue
            if elsewhere(blocked):
                blocked.fails_elsewhere(now_us)
            elif not blocked.doubted(now_us):
                blocked.confirm(its, now_us, sure=old)

    def _loud(self, ballot: Ballot, least: float, needed: float) -> tuple[Part, ...]:
        """Of the cells that explain the ballot, those with so much evidence."""
        parts = fold(ballot, self.limits.confirm_share, least, self.limits)
        return tuple(p for p in parts if self.sums.get(p.scope, 0.0) >= needed)

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
        found = Blocked.begin(self.country, self.service, parts, bad, goods, now_us, self.limits)
        found.wary = self._again(parts, now_us)
        self.found.append(found)

    def _again(self, parts: tuple[Part, ...], now_us: int) -> bool:
        """Whether a block here was over only a short while ago."""
        since_us = now_us - int(self.limits.wary_s * SECOND_US)
        return any(
            b.state is State.CLOSED
            and (b.closed_us or 0) >= since_us
            and any(b.touches(part) for part in parts)
            for b in self.found
        )
