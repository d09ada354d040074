"""The silence channel: presence signals in, incidents out. A pure function of the signals.

Time moves from signal to signal and from timer to timer; nothing is looked at in between.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count as counter

from heliograph_collector.detect import gates
from heliograph_collector.detect.churn import FLAT
from heliograph_collector.detect.dark import Dark
from heliograph_collector.detect.incident import Incident
from heliograph_collector.detect.roster import Roster, Seat, Status, hits
from heliograph_collector.detect.signals import (
    SECOND_US,
    Arrival,
    Fault,
    Goodbye,
    Lost,
    Presence,
    Replay,
)
from heliograph_collector.detect.suspicion import Case, Outcome
from heliograph_collector.detect.thresholds import THRESHOLDS, Thresholds

_FOLLOW_US = 10 * SECOND_US


@dataclass(frozen=True, slots=True)
class Blind:
    """We could not tell, from … until …, because …"""

    since_us: int
    until_us: int
    why: str
    country: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    incidents: tuple[Incident, ...]
    blind: tuple[Blind, ...]


def watch(
    signals: Iterable[Presence | Fault | Replay],
    until_us: int,
    limits: Thresholds = THRESHOLDS,
    week: Sequence[float] = FLAT,
) -> Findings:
    """What the signals up to a moment show. Order does not matter; the same in, the same out."""
    run = Watch(limits, week)
    for signal in sorted(signals, key=_order):
        if signal.at_us > until_us:
            break
        run.take(signal)
    run.until(until_us)
    return run.findings()


def _order(signal: Presence | Fault | Replay) -> tuple[int, int, str]:
    """Of one moment the faults first, then who left, then who came."""
    rank = 0 if isinstance(signal, Fault) else 2 if isinstance(signal, Arrival) else 1
    nym = signal.witness.nym if isinstance(signal, Arrival) else getattr(signal, "nym", "")
    return signal.at_us, rank, nym


@dataclass(slots=True)
class _Blackout:
    """A fault of ours and whom it touched."""

    fault: Fault
    until_us: int
    affected: list[Seat]


class Watch:
    """The same, signal by signal in order of time, for a collector that runs."""

    def __init__(self, limits: Thresholds = THRESHOLDS, week: Sequence[float] = FLAT) -> None:
        self._limits = limits
        self._roster = Roster(limits, week)
        self._cases: dict[str, Case] = {}
        self._darks: list[Dark] = []
        self._fresh: defaultdict[str, deque[Seat]] = defaultdict(deque)
        self._blackouts: list[_Blackout] = []
        self._blind: list[Blind] = []
        self._timers: list[tuple[int, int, str, object]] = []
        self._set: set[tuple[str, str]] = set()
        self._number = counter()

    def take(self, signal: Presence | Fault | Replay) -> None:
        """Signals must come in order of time."""
        self.until(signal.at_us)
        if isinstance(signal, Lost):
            self._lost(signal)
        elif isinstance(signal, Arrival):
            self._touched(self._roster.arrive(signal), signal.at_us)
        elif isinstance(signal, Goodbye):
            self._roster.goodbye(signal)
        elif isinstance(signal, Fault):
            self._fault(signal)
        else:
            self._replay(signal)

    def until(self, now_us: int) -> None:
        """Let time pass: what falls due is looked at."""
        while self._timers and self._timers[0][0] <= now_us:
            at_us, _, name, what = heapq.heappop(self._timers)
            if name == "settle" and isinstance(what, _Blackout):
                self._settle(what, at_us)
            elif isinstance(what, str):
                self._set.discard((name, what))
                (self._look if name == "look" else self._follow)(what, at_us)

    def findings(self) -> Findings:
        return Findings(tuple(dark.incident() for dark in self._darks), tuple(self._blind))

    def _timer(self, at_us: int, name: str, what: object) -> None:
        heapq.heappush(self._timers, (at_us, next(self._number), name, what))

    def _once(self, at_us: int, name: str, country: str) -> None:
        if (name, country) not in self._set:
            self._set.add((name, country))
            self._timer(at_us, name, country)

    def _lost(self, signal: Lost) -> None:
        seat = self._roster.lose(signal)
        if seat is None:
            return
        for blackout in self._blackouts:
            if signal.at_us <= blackout.until_us and hits(blackout.fault, seat):
                seat.deferred = True
                blackout.affected.append(seat)
                return
        self._silent(seat)

    def _silent(self, seat: Seat) -> None:
        country = seat.witness.place.country
        self._fresh[country].append(seat)
        if len(self._fresh[country]) >= self._limits.burst:
            self._once(seat.lost_us + int(self._limits.tick_s * SECOND_US), "look", country)
        self._touched(seat, seat.lost_us)

    def _touched(self, seat: Seat, at_us: int) -> None:
        country = seat.witness.place.country
        if country in self._cases:
            self._once(at_us + int(self._limits.tick_s * SECOND_US), "look", country)
        if any(dark.open and dark.country == country for dark in self._darks):
            self._once(at_us + _FOLLOW_US, "follow", country)

    def _fault(self, fault: Fault) -> None:
        until_us = fault.until_us + int(self._limits.grace_s * SECOND_US)
        blackout = _Blackout(fault, until_us, self._roster.suspend(fault))
        self._blackouts = [b for b in self._blackouts if b.until_us >= fault.at_us]
        self._blackouts.append(blackout)
        self._blind.append(Blind(fault.at_us, until_us, fault.why.value, fault.country))
        for fresh in self._fresh.values():
            self._defer(fresh, blackout)
        self._timer(until_us, "settle", blackout)

    def _defer(self, fresh: deque[Seat], blackout: _Blackout) -> None:
        """Silences found since shortly before the fault may be its first signs."""
        since_us = blackout.fault.at_us - int(self._limits.beat_s * SECOND_US)
        for seat in [s for s in fresh if s.heard_us >= since_us and hits(blackout.fault, s)]:
            if seat.status is Status.SILENT:
                seat.deferred = True
                blackout.affected.append(seat)
                fresh.remove(seat)

    def _settle(self, blackout: _Blackout, now_us: int) -> None:
        unique = list({id(seat): seat for seat in blackout.affected}.values())
        for seat in self._roster.settle(unique, blackout.fault, now_us):
            self._silent(seat)

    def _look(self, country: str, now_us: int) -> None:
        fresh = self._fresh[country]
        since_us = now_us - int(max(self._limits.windows_s) * SECOND_US)
        while fresh and fresh[0].lost_us < since_us:
            fresh.popleft()
        burst = [s for s in fresh if s.status is Status.SILENT and not s.deferred]
        case = self._cases.get(country)
        if case is None:
            case = Case.begin(self._roster, country, burst, now_us)
            if case is None:
                return
            self._cases[country] = case
            for due_us in case.deadlines(self._limits):
                self._timer(due_us, "look", country)
        outcome = case.look(self._roster, self._darks, now_us)
        if outcome is Outcome.BLIND:
            self._blind.append(Blind(case.found_us, now_us, gates.COMMON, country))
        if outcome is not Outcome.PENDING:
            del self._cases[country]
            if outcome is Outcome.SETTLED:
                fresh.clear()
            self._once(now_us + _FOLLOW_US, "follow", country)

    def _follow(self, country: str, now_us: int) -> None:
        soon = [
            dark.follow(self._roster, now_us)
            for dark in self._darks
            if dark.open and dark.country == country and country not in self._cases
        ]
        if any(soon) or country in self._cases:
            self._once(now_us + _FOLLOW_US, "follow", country)

    def _replay(self, signal: Replay) -> None:
        seat = self._roster.seats.get(signal.nym)
        for dark in self._darks:
            over_us = dark.ended.latest_us if dark.ended else signal.at_us
            nearby = seat is not None and dark.holds(seat.witness.place)
            dark.hear(signal, nearby and signal.since_us <= over_us)
