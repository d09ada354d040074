"""A burst of silences that chance does not make: watched until it holds, or does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.burst_test import alpha, standing_out, tail
from heliograph_collector.detect.silence.outage import Dark, fell
from heliograph_collector.detect.silence.presence_tracker import Roster, Seat, Status
from heliograph_collector.detect.stats.localization import fold, narrowed
from heliograph_collector.detect.stats.voting import count, established
from heliograph_collector.incidents.incident import State, identity
from heliograph_collector.incidents.scope import Part, join
from heliograph_collector.model.signals import SECOND_US, Witness
from heliograph_collector.model.thresholds import Thresholds


class Outcome(Enum):
    PENDING = 1
    SETTLED = 2
    DROPPED = 3
    BLIND = 4  # given up because of a gate


@dataclass(slots=True)
class Case:
    """Of one country. `from_us`: silences since then are part of it."""

    country: str
    found_us: int
    burst_us: int
    from_us: int
    window_s: float
    dark: Dark | None = None  # what has been said of it
    gated: bool = False

    @classmethod
    def begin(
        cls, roster: Roster, country: str, fresh: Sequence[Seat], now_us: int
    ) -> "Case | None":
        """None where chance would do."""
        limits = roster.limits
        if len(fresh) < limits.burst:
            return None
        for window_s in limits.windows_s:
            since_us = now_us - int(window_s * SECOND_US)
            new = [seat for seat in fresh if seat.lost_us >= since_us]
            if standing_out(roster, country, new, window_s, now_us):
                burst_us = min(seat.lost_us for seat in new)
                return cls(country, now_us, burst_us, burst_us, window_s)
        return None

    def hold_us(self, limits: Thresholds) -> int:
        """From when it must hold: the burst's first silence, at most a heartbeat before it stood
        out. Those of one cut are found within a heartbeat of each other."""
        return max(self.burst_us, self.found_us - int(limits.beat_s * SECOND_US))

    def deadlines(self, limits: Thresholds) -> tuple[int, ...]:
        """When to look again whatever comes."""
        holds = sorted({limits.hold_s, 45.0, limits.hold_low_s, 90.0, 120.0, 150.0})
        dues = [self.hold_us(limits) + int(s * SECOND_US) for s in holds]
        return (*dues, self.found_us + int(limits.give_up_s * SECOND_US))

    def look(self, roster: Roster, darks: list[Dark], now_us: int) -> Outcome:
        """Judge it anew; what is found goes into `darks`."""
        limits = roster.limits
        held_s = (now_us - self.hold_us(limits)) / SECOND_US
        earlier = self._joining(darks, now_us, roster)
        self.from_us = min([self.burst_us, *(dark.from_us for dark in earlier)])
        base = roster.of(self.country, self._takes_part)
        apart_us = int(limits.spread_s * SECOND_US)
        witnessed = confounders.common_mode(roster, self.country, self.burst_us - apart_us)
        self.gated = witnessed is True or confounders.one_carrier(base, limits)
        late = now_us - self.found_us >= limits.give_up_s * SECOND_US
        if self.gated:
            return self._withdraw(now_us, Outcome.BLIND) if late else Outcome.PENDING
        ballot, old = established(_votes(base), now_us, limits)
        if held_s >= limits.hold_s and self._clear(roster, now_us):
            parts = fold(ballot, limits.confirm_share, limits.votes, limits)
            low = any(part.votes < limits.few for part in parts)
            parts = self._sure(roster, parts, base, now_us)
            if parts and (held_s >= limits.hold_low_s or not low):
                power = confounders.looks_like_power(parts, base, limits)
                sure = self._confidence(roster, parts, witnessed, old)
                self._say(roster, darks, parts, base, now_us, sure)
                roster.forgive(s for s in base if s.status is Status.SILENT and _in(parts, s))
                self._resolve(roster, earlier, darks, narrowed(parts, ballot), now_us, power)
                return Outcome.SETTLED
        return self._suspect(roster, darks, base, now_us, late)

    def _clear(self, roster: Roster, now_us: int) -> bool:
        """Whether it is known how the rest of the world fares."""
        waited_s = (now_us - self.burst_us) / SECOND_US
        if waited_s >= roster.limits.spread_hold_s:
            return True
        return not confounders.spreading(roster, self.country, self.burst_us)

    def _suspect(
        self, roster: Roster, darks: list[Dark], base: Sequence[Seat], now_us: int, late: bool
    ) -> Outcome:
        limits = roster.limits
        share = limits.confirm_share if late else limits.suspect_share
        parts = fold(count(_votes(base)), share, limits.burst, limits)
        parts = self._sure(roster, parts, base, now_us)
        if not parts or self._covered(darks, parts):
            return self._withdraw(now_us, Outcome.DROPPED) if late else Outcome.PENDING
        self._say(roster, darks, parts, base, now_us, limits.low)
        if late and self.dark:
            self.dark.held = (confounders.FEW,)
        return Outcome.SETTLED if late else Outcome.PENDING

    def _takes_part(self, seat: Seat) -> bool:
        return seat.status is Status.LIVE or (
            seat.status is Status.SILENT and not seat.deferred and seat.lost_us >= self.from_us
        )

    def _joining(self, darks: Sequence[Dark], now_us: int, roster: Roster) -> list[Dark]:
        """Incidents here so young that this may be their growth."""
        since_us = now_us - int(roster.limits.join_s * SECOND_US)
        return [
            dark
            for dark in darks
            if dark.open
            and dark is not self.dark
            and dark.country == self.country
            and max(dark.grown_us, dark.suspected_us) >= since_us
        ]

    def _sure(
        self, roster: Roster, parts: Sequence[Part], base: Sequence[Seat], now_us: int
    ) -> tuple[Part, ...]:
        """Only cells that stand out by this burst; what once did need not do so for ever."""
        if self.dark is not None and self.dark.contains(parts):
            return tuple(parts)
        fresh = [s for s in base if s.status is Status.SILENT and s.lost_us >= self.burst_us]
        limits = roster.limits
        cells = roster.cells[self.country]
        window_s = self.window_s + (now_us - self.found_us) / SECOND_US
        return tuple(
            part
            for part in parts
            if tail(roster, part.scope, fresh, window_s, now_us) <= alpha(part.scope, cells, limits)
        )

    def _confidence(
        self, roster: Roster, parts: Sequence[Part], witnessed: bool | None, old: bool
    ) -> float:
        limits = roster.limits
        votes = sum(part.votes for part in parts)
        agreed = sum(part.votes * part.share for part in parts) / (votes + 1)
        caps = [limits.most, agreed]
        caps += [limits.low] if votes < limits.few or not old else []
        caps += [limits.unwitnessed] if witnessed is None else []
        return round(min(caps), 3)

    def _say(
        self,
        roster: Roster,
        darks: list[Dark],
        parts: tuple[Part, ...],
        base: Sequence[Seat],
        now_us: int,
        confidence: float,
    ) -> None:
        dead = [s for s in base if s.status is Status.SILENT and _in(parts, s)]
        heards = [s.heard_us for s in dead]
        fresh = [s.heard_us for s in dead if s.lost_us >= self.burst_us]
        when = fell(fresh or heards, roster.limits)
        if self.dark is None:
            self.dark = Dark(
                id=identity("silence", "", join(p.scope for p in parts), when),
                country=self.country,
                parts=parts,
                started=when,
                from_us=self.burst_us,
                suspected_us=now_us,
                confidence=confidence,
                limits=roster.limits,
            )
            darks.append(self.dark)
        dark = self.dark
        dark.parts, dark.started, dark.confidence = parts, when, confidence
        dark.grown_us = now_us

    def _covered(self, darks: Sequence[Dark], parts: Sequence[Part]) -> bool:
        """A part of what is known to be dark goes dark again: nothing new is suspected."""
        return any(
            dark.open
            and dark is not self.dark
            and dark.country == self.country
            and dark.contains(parts)
            for dark in darks
        )

    def _resolve(
        self,
        roster: Roster,
        earlier: Sequence[Dark],
        darks: list[Dark],
        narrow: tuple[Part, ...],
        now_us: int,
        power: bool,
    ) -> None:
        """It is part of an incident that is known, its growth, or one of its own."""
        mine = self.dark
        if mine is None:
            return
        known = self._known(darks, mine, now_us)
        if known is not None:
            darks.remove(mine)
            if known.came_back(narrow):  # else these are its stragglers
                known.resume(narrow, mine.started, now_us)
        elif earlier:
            first = earlier[0]
            first.parts = _together(roster, first.parts, mine.parts)
            first.grown_us = now_us
            first.confidence = max(first.confidence, mine.confidence)
            if first.state is State.SUSPECTED and not power:
                first.confirm(now_us)
            darks.remove(mine)
        elif power:
            mine.held = (confounders.POWER,)
        else:
            mine.confirm(now_us)

    def _known(self, darks: Sequence[Dark], mine: Dark, now_us: int) -> Dark | None:
        """The narrowest incident that holds it, under way or over only a short while."""
        since_us = now_us - int(mine.limits.resume_s * SECOND_US)
        holding = [
            dark
            for dark in darks
            if dark is not mine
            and dark.country == self.country
            and dark.contains(mine.parts)
            and (dark.open or (dark.state is State.CLOSED and (dark.closed_us or 0) >= since_us))
        ]
        return max(
            holding,
            key=lambda d: (min(p.scope.fields for p in d.parts), d.suspected_us),
            default=None,
        )

    def _withdraw(self, now_us: int, outcome: Outcome) -> Outcome:
        if self.dark is not None:
            self.dark.state, self.dark.closed_us = State.WITHDRAWN, now_us
        return outcome


def _votes(base: Sequence[Seat]) -> list[tuple[Witness, bool]]:
    return [(seat.witness, seat.status is Status.SILENT) for seat in base]


def _in(parts: Sequence[Part], seat: Seat) -> bool:
    return any(part.scope.holds(seat.witness.place) for part in parts)


def _together(roster: Roster, one: Sequence[Part], two: Sequence[Part]) -> tuple[Part, ...]:
    """Both, without what lies within another: by its name, or by everybody whom it holds.

    An operator all of whose vantages are mobile is no second part beside the mobiles.
    """
    every = sorted([*two, *one], key=lambda part: part.scope.fields)
    kept: list[Part] = []
    for part in every:
        if not any(_inside(roster, part, other) for other in kept):
            kept.append(part)
    return tuple(kept)


def _inside(roster: Roster, part: Part, other: Part) -> bool:
    if part.scope.within(other.scope):
        return True
    held = roster.of(
        part.scope.country,
        lambda s: s.status is not Status.AWAY and part.scope.holds(s.witness.place),
    )
    return bool(held) and all(other.scope.holds(s.witness.place) for s in held)
