"""The silence channel: presence signals in, incidents out. A pure function of the signals.

Time moves from signal to signal and from timer to timer; nothing is looked at in between.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.candidate import Case, Outcome
from heliograph_collector.detect.silence.outage import Dark
from heliograph_collector.detect.silence.presence_tracker import Roster, Seat, Status, hits
from heliograph_collector.detect.stats.churn import FLAT, Record
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import (
    SECOND_US,
    Arrival,
    Fault,
    Goodbye,
    Lost,
    Presence,
    Replay,
    Why,
)
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

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


def _due(timer: tuple[int, int, str, object]) -> tuple[int, int]:
    return timer[0], timer[1]


@dataclass(slots=True)
class _Blackout:
    """A fault of ours and whom it touched."""

    fault: Fault
    until_us: int
    affected: list[Seat]

    def goes_on_as(self, fault: Fault) -> bool:
        """Whether this is the same fault, told again because it lasts."""
        mine = self.fault
        return (mine.at_us, mine.why, mine.country, mine.carrier) == (
            fault.at_us,
            fault.why,
            fault.country,
            fault.carrier,
        )


@dataclass(slots=True, kw_only=True)
class WatchState:
    """All that a Watch knows, as plain values. Seats and incidents are named by nym and place."""

    seats: list[Seat]
    pools: list[tuple[str, str, Record]]
    fresh: dict[str, list[str]]
    blackouts: list[tuple[Fault, int, list[str]]]
    darks: list[Dark]
    cases: list[tuple[Case, int]]  # with its incident's place in `darks`, -1 for none
    blind: list[Blind]
    timers: list[tuple[int, int, str, str, int]]  # when, number, name, country, blackout or -1
    set: list[tuple[str, str]]
    number: int
    fired_us: int


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
        self._number = 0
        self.fired_us = 0  # when the last timer fell due

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
            self.fired_us = at_us
            if isinstance(what, _Blackout):
                self._settle(what, at_us)
            elif isinstance(what, str):
                self._set.discard((name, what))
                (self._look if name == "look" else self._follow)(what, at_us)

    def findings(self) -> Findings:
        return Findings(tuple(dark.incident() for dark in self._darks), tuple(self._blind))

    def adopt(self, said: Incident) -> None:
        """Go on with an incident that only the log still knows."""
        self._darks.append(Dark.adopted(said, self._limits))

    def forget(self, before_us: int, blind_us: int) -> None:
        """Incidents that were over by then, and blind times."""
        self._darks = [d for d in self._darks if d.open or (d.closed_us or 0) >= before_us]
        self._blind = [b for b in self._blind if b.until_us >= blind_us]

    @property
    def blind(self) -> Sequence[Blind]:
        return self._blind

    def country_of(self, nym: str) -> str:
        """ "" for one that was never here."""
        seat = self._roster.seats.get(nym)
        return seat.witness.place.country if seat else ""

    def state(self) -> WatchState:
        """To go on from; shares its parts with this Watch, so it must be written down at once."""
        places = {id(b): at for at, b in enumerate(self._blackouts)}
        said = {id(dark): at for at, dark in enumerate(self._darks)}
        return WatchState(
            seats=list(self._roster.seats.values()),
            pools=[(*where, record) for where, record in self._roster.pools.items()],
            fresh={c: [s.witness.nym for s in fresh] for c, fresh in self._fresh.items() if fresh},
            blackouts=[
                (b.fault, b.until_us, [s.witness.nym for s in b.affected]) for b in self._blackouts
            ],
            darks=self._darks,
            cases=[(case, said.get(id(case.dark), -1)) for case in self._cases.values()],
            blind=self._blind,
            timers=[self._timer_state(timer, places) for timer in sorted(self._timers, key=_due)],
            set=sorted(self._set),
            number=self._number,
            fired_us=self.fired_us,
        )

    def _timer_state(
        self, timer: tuple[int, int, str, object], places: Mapping[int, int]
    ) -> tuple[int, int, str, str, int]:
        at_us, number, name, what = timer
        if isinstance(what, str):
            return at_us, number, name, what, -1
        return at_us, number, name, "", places[id(what)]

    @classmethod
    def of(cls, state: WatchState, limits: Thresholds = THRESHOLDS) -> "Watch":
        """One that goes on from there as the other would have. Raises KeyError, IndexError."""
        run = cls(limits)
        run._roster.seat_again(state.seats)
        run._roster.pools.update({(country, access): r for country, access, r in state.pools})
        seats = run._roster.seats
        for country, nyms in state.fresh.items():
            run._fresh[country].extend(seats[nym] for nym in nyms)
        run._blackouts = [
            _Blackout(fault, until_us, [seats[nym] for nym in nyms])
            for fault, until_us, nyms in state.blackouts
        ]
        run._darks, run._blind = state.darks, state.blind
        for case, at in state.cases:
            case.dark = state.darks[at] if at >= 0 else None
            run._cases[case.country] = case
        for at_us, number, name, country, blackout in state.timers:
            what = country if blackout < 0 else run._blackouts[blackout]
            run._timers.append((at_us, number, name, what))
        run._set = set(state.set)
        heapq.heapify(run._timers)
        run._number, run.fired_us = state.number, state.fired_us
        return run

    def live(self, country: str) -> int:
        """How many vantages of it are here, or would be if it were not dark there."""
        if any(dark.open and dark.country == country for dark in self._darks):
            return len(self._roster.countries[country])
        return self._roster.live[Scope(country)]

    def _timer(self, at_us: int, name: str, what: object) -> None:
        self._number += 1
        heapq.heappush(self._timers, (at_us, self._number, name, what))

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
        if fault.why is Why.RESTART and fault.at_us == fault.until_us and not self._roster.seats:
            return  # the first start ever: nobody is awaited
        until_us = fault.until_us + int(self._limits.grace_s * SECOND_US)
        told = Blind(fault.at_us, until_us, fault.why.value, fault.country)
        self._blackouts = [b for b in self._blackouts if b.until_us >= fault.at_us]
        blackout = next((b for b in self._blackouts if b.goes_on_as(fault)), None)
        if blackout is None:
            blackout = _Blackout(fault, until_us, self._roster.suspend(fault))
            self._blackouts.append(blackout)
            self._blind.append(told)
        else:
            before = replace(told, until_us=blackout.until_us)
            self._blind = [told if b == before else b for b in self._blind]
            blackout.until_us = max(until_us, blackout.until_us)
        for fresh in self._fresh.values():
            self._defer(fresh, blackout)
        self._timer(blackout.until_us, "settle", blackout)

    def _defer(self, fresh: deque[Seat], blackout: _Blackout) -> None:
        """Silences found since shortly before the fault may be its first signs."""
        since_us = blackout.fault.at_us - int(self._limits.beat_s * SECOND_US)
        for seat in [s for s in fresh if s.heard_us >= since_us and hits(blackout.fault, s)]:
            if seat.status is Status.SILENT:
                seat.deferred = True
                blackout.affected.append(seat)
                fresh.remove(seat)

    def _settle(self, blackout: _Blackout, now_us: int) -> None:
        if now_us < blackout.until_us:
            return  # it went on; its last telling settles it
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
            self._blind.append(Blind(case.found_us, now_us, confounders.COMMON, country))
        if outcome is not Outcome.PENDING:
            del self._cases[country]
            if outcome is Outcome.SETTLED:
                fresh.clear()
            self._once(now_us + _FOLLOW_US, "follow", country)

    def _follow(self, country: str, now_us: int) -> None:
        here = [d for d in self._darks if d.open and d.country == country]
        soon = [
            dark.follow(self._roster, now_us, [other for other in here if other is not dark])
            for dark in here
            if country not in self._cases
        ]
        if any(soon) or country in self._cases:
            self._once(now_us + _FOLLOW_US, "follow", country)

    def _replay(self, signal: Replay) -> None:
        seat = self._roster.seats.get(signal.nym)
        for dark in self._darks:
            over_us = dark.ended.latest_us if dark.ended else signal.at_us
            nearby = seat is not None and dark.holds(seat.witness.place)
            dark.hear(signal, nearby and signal.since_us <= over_us)
