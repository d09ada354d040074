"""One silence under way: what of it is dark, what came back and went again, and when it is over."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.presence_tracker import Roster, Seat, Status
from heliograph_collector.detect.stats.localization import fold, narrowed
from heliograph_collector.detect.stats.tails import quantile, upper_tail
from heliograph_collector.detect.stats.voting import count, total
from heliograph_collector.incidents import cause_hints
from heliograph_collector.incidents.incident import Bracket, Incident, Kind, State, Turn, Way
from heliograph_collector.incidents.scope import Part, Scope
from heliograph_collector.model.signals import SECOND_US, Place, Replay
from heliograph_collector.model.thresholds import Thresholds

_STRAGGLE_US = 1_800 * SECOND_US  # so long after an opening the late ones belong to it
_CLEARING_US = 600 * SECOND_US


@dataclass(slots=True, kw_only=True)
class Dark:
    id: str
    country: str
    parts: tuple[Part, ...]
    started: Bracket
    from_us: int  # silences since then belong to it
    suspected_us: int
    confidence: float
    limits: Thresholds
    state: State = State.SUSPECTED
    confirmed_us: int | None = None
    grown_us: int = 0
    ended: Bracket | None = None
    closed_us: int | None = None
    turns: list[Turn] = field(default_factory=list)
    held: tuple[str, ...] = ()
    replays: list[Replay] = field(default_factory=list)
    needed: float = 0.0  # votes that must be heard before it is over, where the silent are unknown
    _clear_us: int | None = None
    _last: tuple[Part, ...] = ()
    _back: tuple[int, int] | None = None  # (looked at, first return) of an opening not yet sure

    @property
    def open(self) -> bool:
        return self.state in (State.SUSPECTED, State.CONFIRMED)

    def holds(self, place: Place) -> bool:
        return any(part.scope.holds(place) for part in self.parts)

    def contains(self, parts: Sequence[Part]) -> bool:
        return all(any(p.scope.within(mine.scope) for mine in self.parts) for p in parts)

    def confirm(self, at_us: int) -> None:
        self.state, self.confirmed_us, self.held = State.CONFIRMED, at_us, ()

    def came_back(self, parts: Sequence[Part]) -> bool:
        """Whether some of it was known to be back: then a cut there is a new one."""
        return not self.open or any(
            turn.way is Way.OPENING
            for turn in (self._latest(part.scope) for part in parts)
            if turn is not None
        )

    def _latest(self, scope: Scope) -> Turn | None:
        """The last turn that touches this cell."""
        for turn in reversed(self.turns):
            if any(p.scope.within(scope) or scope.within(p.scope) for p in turn.parts):
                return turn
        return None

    def resume(self, parts: tuple[Part, ...], when: Bracket, at_us: int) -> None:
        """Dark again; if it was over, that was an opening."""
        if self.ended is not None and self.closed_us is not None:
            self.turns.append(Turn(Way.OPENING, self.parts, self.ended, self.closed_us))
            self.state, self.ended, self.closed_us = State.CONFIRMED, None, None
        self.turns.append(Turn(Way.CUT, parts, when, at_us))
        self._clear_us, self._back = None, None

    @classmethod
    def adopted(cls, said: Incident, limits: Thresholds) -> "Dark":
        """One that is known from the log alone: who is silent in it was forgotten."""
        votes = sum(part.votes for part in said.parts)
        return cls(
            id=said.id,
            country=said.scope.country,
            parts=said.parts,
            started=said.started,
            from_us=said.started.earliest_us,
            suspected_us=said.suspected_us,
            confidence=said.confidence,
            limits=limits,
            state=said.state,
            confirmed_us=said.confirmed_us,
            turns=list(said.turns),
            needed=votes * (1.0 - limits.confirm_share),
        )

    def follow(self, roster: Roster, now_us: int, others: Sequence["Dark"] = ()) -> bool:
        """Look at it again; whether it must be looked at soon, with or without a new signal.

        `others`: incidents of this country that are under way too.
        """
        if now_us <= self.started.latest_us:
            return False  # an adopted one, and rows of before it
        inside = self._inside(roster)
        people = [s for s in inside if s.witness.place.access != "hosting"]
        silent = count((s.witness, s.status is Status.SILENT) for s in people)
        least = min(float(self.limits.votes), *(part.votes for part in self.parts))
        dark = fold(silent, self.limits.confirm_share, least, self.limits)
        if not dark:
            heard = total(count((s.witness, s.status is Status.LIVE) for s in people))
            return heard.hits >= self.needed and self._clearing(inside, now_us)
        self._clear_us, self._last = None, dark
        return self._opening(inside, now_us, roster, others)

    def hear(self, replay: Replay, nearby: bool) -> None:
        """Word from the dark may settle what was held for doubt about the power."""
        if not nearby or replay.until_us < self.started.earliest_us:
            return
        self.replays.append(replay)
        told = cause_hints.power_or_network(self.replays)
        if self.state is State.SUSPECTED and confounders.POWER in self.held and told:
            if told == ("network_cut",):
                self.confirm(replay.at_us)
            else:
                self._over(State.WITHDRAWN, replay.at_us)

    def incident(self) -> Incident:
        return Incident(
            id=self.id,
            kind=Kind.SILENCE,
            state=self.state,
            parts=self.parts,
            started=self.started,
            suspected_us=self.suspected_us,
            confidence=self.confidence,
            confirmed_us=self.confirmed_us,
            ended=self.ended,
            closed_us=self.closed_us,
            turns=tuple(self.turns),
            held=self.held,
            hints=(
                *cause_hints.on_the_hour(self.started),
                *cause_hints.power_or_network(self.replays),
            ),
        )

    def _inside(self, roster: Roster) -> list[Seat]:
        holds = cache(self.holds)  # many seats, few places
        return roster.of(
            self.country,
            lambda s: (
                (
                    s.status is Status.LIVE
                    or (s.status is Status.SILENT and s.lost_us >= self.from_us)
                )
                and holds(s.witness.place)
            ),
        )

    def _clearing(self, inside: Sequence[Seat], now_us: int) -> bool:
        if self._clear_us is None:
            self._clear_us = now_us
        if now_us - self._clear_us < self.limits.clear_s * SECOND_US:
            return True
        since_us = self._clear_us - _CLEARING_US
        last = [s for s in inside if any(p.scope.holds(s.witness.place) for p in self._last)]
        backs = [s.back_us for s in last if s.status is Status.LIVE and s.back_us >= since_us]
        self.ended = returned(backs or [self._clear_us], self.limits)
        over = State.CLOSED if self.confirmed_us is not None else State.WITHDRAWN
        self._over(over, now_us)
        return False

    def _over(self, state: State, now_us: int) -> None:
        self.state, self.closed_us, self._back, self._clear_us = state, now_us, None, None

    def _opening(
        self, inside: Sequence[Seat], now_us: int, roster: Roster, others: Sequence["Dark"]
    ) -> bool:
        """Recovery of a part is found like onset: more return than would by chance, and stay."""
        if self._back is None:
            backs = self._returning(inside, now_us)
            silent = {s.witness.prefix for s in inside if s.status is Status.SILENT}
            networks = {s.witness.prefix for s in backs}
            chances = [self.limits.back_chance] * len(silent | networks)
            enough = len(networks) >= self.limits.burst
            if enough and upper_tail(chances, len(networks)) <= self.limits.back_alpha:
                self._back = now_us, min(s.back_us for s in backs)
            return self._back is not None
        looked_us, first_us = self._back
        if now_us - looked_us < self.limits.back_hold_s * SECOND_US:
            return True
        self._back = None
        turn = self._opened(inside, first_us, now_us)
        if turn is not None:
            parts = tuple(_without(part, others, roster) for part in turn.parts)
            self.turns.append(replace(turn, parts=parts))
        return False

    def _opened(self, inside: Sequence[Seat], first_us: int, now_us: int) -> Turn | None:
        held = [s for s in inside if s.status is Status.SILENT or s.back_us >= first_us]
        ballot = count((s.witness, s.status is Status.LIVE) for s in held)
        parts = fold(ballot, self.limits.back_share, self.limits.witnesses, self.limits)
        if not parts:
            return None
        backs = [s.back_us for s in held if s.status is Status.LIVE]
        when = returned(backs, self.limits)
        return Turn(Way.OPENING, narrowed(parts, ballot), when, now_us)

    def _returning(self, inside: Sequence[Seat], now_us: int) -> list[Seat]:
        since_us = now_us - int(self.limits.back_window_s * SECOND_US)
        return [
            s
            for s in inside
            if s.status is Status.LIVE
            and s.back_us >= max(since_us, self.started.latest_us)
            and not self._told(s.witness.place, now_us)
        ]

    def _told(self, place: Place, now_us: int) -> bool:
        """Whether an opening that is already known explains a return here."""
        for turn in reversed(self.turns):
            for part in turn.parts:
                if part.scope.holds(place):
                    whole = part.share >= self.limits.confirm_share
                    late = now_us - turn.seen_us < _STRAGGLE_US
                    return turn.way is Way.OPENING and (whole or late)
        return False


def _without(part: Part, others: Sequence[Dark], roster: Roster) -> Part:
    """Less the cells that another incident holds dark: its silent are in no ballot of this one."""
    limits = roster.limits
    found = set(part.beyond)
    for theirs in (theirs for other in others for theirs in other.parts):
        scope = part.scope.both(theirs.scope)
        if scope is None or scope == part.scope:
            continue  # its own votes say that it is back
        there = total(count((s.witness, s.status is Status.SILENT) for s in _people(roster, scope)))
        if there.votes >= limits.votes and there.share >= limits.confirm_share:
            found.add(scope)
    return replace(part, beyond=tuple(sorted(found)))


def _people(roster: Roster, scope: Scope) -> list[Seat]:
    return roster.of(
        scope.country,
        lambda s: (
            s.status in (Status.LIVE, Status.SILENT)
            and scope.holds(s.witness.place)
            and (scope.access == "hosting" or s.witness.place.access != "hosting")
        ),
    )


def returned(backs: Sequence[int], limits: Thresholds) -> Bracket:
    """The network was back before the first of them were, by at most an agent's wait."""
    early = quantile(backs, 0.1)
    return Bracket(early - int(limits.retry_s * SECOND_US), early)


def fell(heards: Sequence[int], limits: Thresholds) -> Bracket:
    """Last good, first bad, without the tenth at either end, who may have left by chance."""
    beat_us = int(limits.beat_s * SECOND_US)
    return Bracket(quantile(heards, 0.1), quantile(heards, 0.9) + beat_us)
