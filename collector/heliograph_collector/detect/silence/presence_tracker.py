"""Who is live, who fell silent and since when, and how often each does so by itself."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from heliograph_collector.detect.stats.churn import FLAT, Record, chance, hour_of_week, per_day
from heliograph_collector.incidents.scope import Scope, scopes_of
from heliograph_collector.model.signals import Arrival, Fault, Goodbye, Lost, Why, Witness
from heliograph_collector.model.thresholds import Thresholds


class Status(Enum):
    LIVE = 1
    SILENT = 2
    AWAY = 3  # said goodbye, or was given up: no voter
    AWAITED = 4  # was live when we went blind, not back yet


@dataclass(slots=True, eq=False)
class Seat:
    """One vantage. `floor`: the chance of this silence that a fault of ours leaves it."""

    witness: Witness
    status: Status = Status.LIVE
    since_us: int = 0  # live since
    heard_us: int = 0
    lost_us: int = 0
    back_us: int = 0  # live again after a silence, since
    deferred: bool = False  # its silence began in a fault of ours
    floor: float = 0.0
    own: Record = field(default_factory=Record)


@dataclass(slots=True)
class Roster:
    limits: Thresholds
    week: Sequence[float] = FLAT
    seats: dict[str, Seat] = field(default_factory=dict)
    countries: defaultdict[str, dict[str, Seat]] = field(default_factory=lambda: defaultdict(dict))
    live: Counter[Scope] = field(default_factory=Counter)
    cells: Counter[str] = field(default_factory=Counter)  # of a country, with anybody live
    pools: defaultdict[tuple[str, str], Record] = field(default_factory=lambda: defaultdict(Record))

    def seat_again(self, seats: Iterable[Seat]) -> None:
        """Put back who was here, as they were."""
        for seat in seats:
            self.seats[seat.witness.nym] = seat
            self.countries[seat.witness.place.country][seat.witness.nym] = seat
            if seat.status in (Status.LIVE, Status.AWAITED):
                self._tally(seat, +1)

    def arrive(self, signal: Arrival) -> Seat:
        witness = signal.witness
        seat = self.seats.get(witness.nym)
        if seat is None:
            seat = self.seats[witness.nym] = Seat(witness, Status.AWAY)
        elif seat.witness.place != witness.place:
            self._leave(seat, signal.at_us)
            del self.countries[seat.witness.place.country][witness.nym]
        seat.witness = witness
        self.countries[witness.place.country][witness.nym] = seat
        if seat.status is Status.SILENT:
            seat.back_us = signal.at_us
        if seat.status in (Status.SILENT, Status.AWAY):
            self._tally(seat, +1)
            seat.since_us = signal.at_us
        seat.status, seat.deferred, seat.floor = Status.LIVE, False, 0.0
        return seat

    def goodbye(self, signal: Goodbye) -> Seat | None:
        seat = self.seats.get(signal.nym)
        if seat is not None:
            self._leave(seat, signal.at_us)
        return seat

    def lose(self, signal: Lost) -> Seat | None:
        """None when it was back already, or never here."""
        seat = self.seats.get(signal.nym)
        if seat is None or seat.status not in (Status.LIVE, Status.AWAITED):
            return None
        if seat.since_us > signal.heard_us:
            return None
        self._present(seat, signal.heard_us, losses=1)
        self._tally(seat, -1)
        seat.status = Status.SILENT
        seat.heard_us, seat.lost_us = signal.heard_us, signal.at_us
        return seat

    def suspend(self, fault: Fault) -> list[Seat]:
        """Those whose presence nobody knows from the fault on: after a restart, everybody live."""
        affected = [s for s in self.seats.values() if s.status is Status.LIVE and hits(fault, s)]
        if fault.why is Why.RESTART:
            for seat in affected:
                seat.status, seat.heard_us = Status.AWAITED, fault.at_us
        return affected

    def settle(self, affected: Iterable[Seat], fault: Fault, now_us: int) -> list[Seat]:
        """Who did not come back from a fault of ours is silent as of now, if others came back."""
        every = [s for s in affected if s.status is not Status.AWAY]
        gone = [s for s in every if s.status is Status.AWAITED or s.deferred]
        all_in = Counter(s.witness.place.country for s in every)
        gone_in = Counter(s.witness.place.country for s in gone)
        for seat in gone:
            country = seat.witness.place.country
            others = len(every) - all_in[country]
            missing = len(gone) - gone_in[country]
            known = others >= self.limits.witnesses
            seat.floor = (missing + 1) / (others + 2) if known else 0.5
            if seat.status is Status.AWAITED:
                self._tally(seat, -1)
                seat.heard_us = max(fault.at_us, seat.heard_us)
            seat.status, seat.deferred, seat.lost_us = Status.SILENT, False, now_us
        return gone

    def forgive(self, seats: Iterable[Seat]) -> None:
        """Silences of a confirmed incident are nobody's own habit."""
        for seat in seats:
            seat.own.losses = max(0.0, seat.own.losses - 1)
            pool = self._pool(seat.witness)
            pool.losses = max(0.0, pool.losses - 1)

    def chance(self, seat: Seat, window_s: float, now_us: int) -> float:
        """That it falls silent within the window though nothing is the matter."""
        rate = per_day(seat.own, self._pool(seat.witness), self.limits)
        return max(seat.floor, chance(rate * self.week[hour_of_week(now_us)], window_s))

    def pool_chance(self, country: str, window_s: float) -> float:
        """The least of the country's pools, for a first glance."""
        rates = [
            per_day(Record(), pool, self.limits)
            for (where, _), pool in self.pools.items()
            if where == country
        ]
        return chance(min(rates, default=self.limits.usual_per_day), window_s)

    def of(self, country: str, keep: Callable[[Seat], bool]) -> list[Seat]:
        return [seat for seat in self.countries[country].values() if keep(seat)]

    def _leave(self, seat: Seat, at_us: int) -> None:
        if seat.status in (Status.LIVE, Status.AWAITED):
            self._present(seat, at_us, losses=0)
            self._tally(seat, -1)
        seat.status, seat.deferred, seat.floor = Status.AWAY, False, 0.0

    def _present(self, seat: Seat, until_us: int, losses: int) -> None:
        seat.own.add(losses, until_us - seat.since_us, self.limits.memory_days)
        self._pool(seat.witness).add(losses, until_us - seat.since_us)

    def _pool(self, witness: Witness) -> Record:
        return self.pools[witness.place.country, witness.place.access]

    def _tally(self, seat: Seat, step: int) -> None:
        for scope in scopes_of(seat.witness.place):
            before = self.live[scope]
            self.live[scope] = before + step
            self.cells[scope.country] += (before + step > 0) - (before > 0)


def hits(fault: Fault, seat: Seat) -> bool:
    """Whether a fault of ours touches this vantage."""
    return fault.country in ("", seat.witness.place.country) and fault.carrier in (
        "",
        seat.witness.carrier,
    )
