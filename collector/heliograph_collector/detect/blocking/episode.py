"""One blocked service under way: what kind of blocking, at which layer, and when it is over."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import Tally, count, total
from heliograph_collector.incidents import cause_hints
from heliograph_collector.incidents.incident import Bracket, Incident, Kind, State, identity
from heliograph_collector.incidents.scope import Part, Scope, join
from heliograph_collector.model.signals import BAD, SECOND_US, Opinion, Place, Standing
from heliograph_collector.model.thresholds import Thresholds

_KINDS = {
    Standing.BLOCKED: Kind.BLOCKING,
    Standing.THROTTLED: Kind.THROTTLING,
    Standing.PARTIAL: Kind.PARTIAL,
}
DOWN = "down_elsewhere"
ELSEWHERE = "elsewhere"


@dataclass(slots=True, kw_only=True)
class Blocked:
    id: str
    service: str
    parts: tuple[Part, ...]
    started: Bracket
    suspected_us: int
    limits: Thresholds
    kind: Kind
    layer: str
    method: str
    confidence: float
    state: State = State.SUSPECTED
    confirmed_us: int | None = None
    closed_us: int | None = None
    ended: Bracket | None = None
    held: tuple[str, ...] = ()
    elsewhere_us: int | None = None  # when it was last seen to fail in other countries too
    wary: bool = False  # it was over a short while ago
    _clear: int = 0  # bins in a row
    _bad: dict[str, int] = field(default_factory=dict)  # last bad of each
    _good: dict[str, int] = field(default_factory=dict)  # first good after it
    _lately: list[Opinion] = field(default_factory=list)  # made within the last clear_span_s

    @classmethod
    def begin(
        cls,
        country: str,
        service: str,
        parts: tuple[Part, ...],
        bad: Sequence[Opinion],
        goods: Sequence[int],
        now_us: int,
        limits: Thresholds,
    ) -> "Blocked":
        """`bad`: each vantage's first failure, `goods`: their last successes before."""
        firsts = [o.at_us for o in bad] or [now_us]
        latest = quantile(firsts, 0.9)
        started = Bracket(quantile(goods, 0.1) if goods else min(firsts), latest)
        kind, layer, method = causes(bad)
        scope = join(p.scope for p in parts)
        return cls(
            id=identity("reach", service, scope, started),
            service=service,
            parts=parts,
            started=started,
            suspected_us=now_us,
            limits=limits,
            kind=kind,
            layer=layer,
            method=method,
            confidence=limits.low,
        )

    @classmethod
    def adopted(cls, said: Incident, limits: Thresholds) -> "Blocked":
        """One that is known from the log alone."""
        return cls(
            id=said.id,
            service=said.service,
            parts=said.parts,
            started=said.started,
            suspected_us=said.suspected_us,
            limits=limits,
            kind=said.kind,
            layer=said.layer,
            method=said.method,
            confidence=said.confidence,
            state=said.state,
            confirmed_us=said.confirmed_us,
        )

    @property
    def open(self) -> bool:
        return self.state in (State.SUSPECTED, State.CONFIRMED)

    def touches(self, part: Part) -> bool:
        """Whether this cell is one of mine, holds one or lies in one."""
        return self.covers(part) or any(mine.scope.within(part.scope) for mine in self.parts)

    def holds(self, place: Place) -> bool:
        return any(part.scope.holds(place) for part in self.parts)

    def names(self, scope: Scope) -> bool:
        return any(scope.within(part.scope) for part in self.parts)

    def covers(self, part: Part) -> bool:
        return self.names(part.scope)

    def grow(self, parts: tuple[Part, ...]) -> None:
        """Until it is confirmed the newest look is the best one; then it only widens."""
        if self.confirmed_us is None:
            self.parts = parts
            return
        kept = [p for p in self.parts if not any(p.scope.within(new.scope) for new in parts)]
        self.parts = (*parts, *kept)

    def confirm(self, parts: tuple[Part, ...], now_us: int, *, sure: bool) -> None:
        self.parts, self.held = parts, ()
        self.state, self.confirmed_us = State.CONFIRMED, now_us
        votes = sum(part.votes for part in self.parts)
        agreed = sum(part.votes * part.share for part in self.parts) / (votes + 1)
        few = votes < self.limits.few or not sure
        self.confidence = round(min(self.limits.low if few else self.limits.most, agreed), 3)

    def bin(
        self, country: Sequence[Opinion], new: AbstractSet[str], now_us: int, *, down: bool
    ) -> None:
        """One more bin of its country's opinions; `new`: who made theirs for it; `down`: the rest
        of the world fails as well."""
        inside = self._inside(country)
        young_us = int(self.limits.fresh_s * SECOND_US)
        if down and now_us - (self.confirmed_us or now_us) <= young_us:
            self.state, self.closed_us, self.held = State.WITHDRAWN, now_us, (DOWN,)
            return
        self._note(inside)
        seen = _tally(inside)
        self._lately = self._heard((o for o in inside if o.witness.nym in new), now_us)
        if seen.votes < self.limits.witnesses:
            return  # silence is no recovery
        failing = [o for o in inside if o.standing in BAD]
        if seen.share >= self.limits.confirm_share:
            self.kind, self.layer, self.method = causes(failing)
        self._clear = self._clear + 1 if seen.share <= self.limits.clear_share else 0
        needed = self.limits.wary_bins if self.wary else self.limits.clear_bins
        quick = self._clear and not self.wary and self._well(self._lately)
        if self._clear >= needed or quick:
            self._end(now_us)

    def glance(self, country: Sequence[Opinion], tests: Sequence[Opinion], now_us: int) -> None:
        """Between two bins: over, if the newest tests alone show it. Else nothing is changed."""
        inside = self._inside(country)
        seen = _tally(inside)
        if self.wary or seen.votes < self.limits.witnesses or seen.share > self.limits.clear_share:
            return
        if self._well(self._heard(self._inside(tests), now_us)):
            self._note(inside)
            self._end(now_us)

    def fails_elsewhere(self, now_us: int) -> None:
        """It began in other countries at once: it is held, or taken back while it is new."""
        if self.confirmed_us is None:
            self.elsewhere_us, self.held = now_us, (ELSEWHERE,)
        elif now_us - self.confirmed_us <= int(self.limits.fresh_s * SECOND_US):
            self.state, self.closed_us, self.held = State.WITHDRAWN, now_us, (ELSEWHERE,)

    def doubted(self, now_us: int) -> bool:
        """Whether it still may be the service's own fault: not every site is well at once."""
        if self.elsewhere_us is None:
            return False
        return now_us - self.elsewhere_us <= int(self.limits.elsewhere_s * SECOND_US)

    def incident(self) -> Incident:
        return Incident(
            id=self.id,
            kind=self.kind,
            state=self.state,
            parts=self.parts,
            started=self.started,
            suspected_us=self.suspected_us,
            confidence=self.confidence,
            confirmed_us=self.confirmed_us,
            ended=self.ended,
            closed_us=self.closed_us,
            service=self.service,
            layer=self.layer,
            method=self.method,
            held=self.held,
            hints=cause_hints.on_the_hour(self.started),
        )

    def _inside(self, country: Iterable[Opinion]) -> list[Opinion]:
        return [o for o in country if self.holds(o.witness.place)]

    def _heard(self, new: Iterable[Opinion], now_us: int) -> list[Opinion]:
        """Of those so far and these, what was tested lately."""
        since_us = now_us - int(self.limits.clear_span_s * SECOND_US)
        judged = (o for o in (*self._lately, *new) if o.standing is not Standing.DOWN)
        return [o for o in judged if o.at_us >= since_us]

    def _well(self, tests: Sequence[Opinion]) -> bool:
        """Whether the newest tests alone show it: more likely by far of a service that fails one
        time in twenty-five than of one that fails every other time. One failure in it counts."""
        limits = self.limits
        bad = {o.witness.nym for o in tests if o.standing in BAD}
        lately = total(count((o.witness, o.witness.nym in bad) for o in tests))
        rate = limits.prior_bad / (limits.prior_bad + limits.prior_good)
        good = (lately.votes - lately.hits) * math.log((1 - rate) / 0.5)
        return good + lately.hits * math.log(rate / 0.5) >= limits.clear_nats

    def _note(self, inside: Iterable[Opinion]) -> None:
        for opinion in inside:
            nym = opinion.witness.nym
            if opinion.standing in BAD:
                self._bad[nym] = opinion.at_us
                self._good.pop(nym, None)
            elif opinion.standing is Standing.GOOD and nym in self._bad:
                self._good.setdefault(nym, opinion.at_us)

    def _end(self, now_us: int) -> None:
        backs = [(self._bad[nym], at_us) for nym, at_us in self._good.items()]
        if backs:
            self.ended = Bracket(
                quantile([bad for bad, _ in backs], 0.1), quantile([good for _, good in backs], 0.9)
            )
        self.closed_us = now_us
        confirmed = self.confirmed_us is not None
        self.state = State.CLOSED if confirmed else State.WITHDRAWN


def _tally(inside: Iterable[Opinion]) -> Tally:
    judged = ((o.witness, o.standing in BAD) for o in inside if o.standing is not Standing.DOWN)
    return total(count(judged))


def causes(bad: Iterable[Opinion]) -> tuple[Kind, str, str]:
    """(kind, layer, method) that most failing vantages name; a tie goes to the worse kind."""
    counted = Counter(o.standing for o in bad)
    order = (Standing.BLOCKED, Standing.PARTIAL, Standing.THROTTLED)
    worst = max(order, key=lambda s: counted[s])
    ways = Counter((o.layer, o.method) for o in bad if o.standing is worst)
    layer, method = max(sorted(ways), key=lambda way: ways[way], default=("", ""))
    return _KINDS[worst], layer, method
