"""Presence tracker: the status and the churn of every vantage.

Theory of operation. A vantage is live from its arrival. A goodbye makes it away, and a loss makes
it silent. A restart of the collector makes live vantages awaited, because their losses cannot be
seen; an arrival makes them live, and `resolve_fault` makes the missing ones silent. It receives
losses; ingest/presence.py notices them.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.brackets import BlindGap
from heliograph_collector.detect.silence.control_sessions import ControlTracker
from heliograph_collector.detect.silence.country_tally import (
    CountryTally,
    FallenTally,
    SilenceTally,
)
from heliograph_collector.detect.silence.vantage_presence import (
    PresenceStatus,
    VantagePresence,
    affects,
)
from heliograph_collector.detect.stats.churn import (
    ChurnRecord,
    blend_rate,
    pool_rate,
    silence_chance,
)
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import is_established
from heliograph_collector.model.scope import Scope, scopes_of
from heliograph_collector.model.seniority import find_seniority
from heliograph_collector.model.signals import (
    Fault,
    Goodbye,
    LinkTest,
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

# A look costs in proportion to the country, so its looks are spaced in proportion. Assumed.
_VANTAGES_A_SECOND = 250
_UNHEARD_US = 600 * SECOND_US  # in which a block of ours may have begun with our fault; assumed
_LONGEST_TICK_S = 10.0  # a third of `hold_s`, so that a large country waits no longer


@dataclass(slots=True)
class PresenceTracker:
    """The vantages by country, with live counts by cell and churn by pool."""

    limits: Thresholds = THRESHOLDS
    vantages: dict[str, VantagePresence] = field(default_factory=dict)
    countries: defaultdict[str, dict[str, VantagePresence]] = field(
        default_factory=partial(defaultdict, dict)
    )
    live_counts: Counter[Scope] = field(default_factory=Counter)
    live_cell_counts: Counter[str] = field(default_factory=Counter)  # cells with a live vantage
    pools: defaultdict[tuple[str, str], ChurnRecord] = field(
        default_factory=partial(defaultdict, ChurnRecord)
    )
    tallies: defaultdict[str, dict[str, FallenTally]] = field(
        default_factory=partial(defaultdict, dict)
    )  # by country and carrier
    silence_tallies: defaultdict[str, dict[str, SilenceTally]] = field(
        default_factory=partial(defaultdict, dict)
    )
    gaps: Sequence[BlindGap] = ()  # of our coverage, in which no return could be seen
    controls: ControlTracker = field(default_factory=ControlTracker)
    # By country: vantages awaited since a start, without any news
    unwatched: defaultdict[str, dict[str, VantagePresence]] = field(
        default_factory=partial(defaultdict, dict)
    )
    places: defaultdict[str, dict[VantageLocation, dict[str, VantagePresence]]] = field(
        default_factory=partial(defaultdict, dict)
    )  # by country

    def note_change(self, vantage: VantagePresence) -> None:
        """Count a vantage whose status, loss, deferral, line or age changed."""
        if vantage.status is PresenceStatus.AWAITED:
            self.unwatched[vantage.place.country][vantage.witness.nym] = vantage
        else:
            self.unwatched[vantage.place.country].pop(vantage.witness.nym, None)
        if not self.tallies[vantage.place.country]:
            self.tally(vantage.place.country)  # counts it
        for tally in self._list_tallies(vantage.place.country):
            tally.note_change(vantage.witness.nym, vantage)

    def _list_tallies(self, country: str) -> tuple[CountryTally, ...]:
        return (*self.tallies[country].values(), *self.silence_tallies[country].values())

    def silence_tally(self, country: str, carrier: str = "") -> SilenceTally:
        """Return the tally of a country's own silences by a carrier; "" is any."""
        tally = self.silence_tallies[country].get(carrier)
        if tally is None:
            tally = self.silence_tallies[country][carrier] = SilenceTally(self.limits, carrier)
            for vantage in self.list_country(country):
                tally.note_change(vantage.witness.nym, vantage)
        return tally

    def tally(self, country: str, carrier: str = "") -> FallenTally:
        """Return the tally of a country by a carrier; "" is any."""
        tally = self.tallies[country].get(carrier)
        if tally is None:
            tally = self.tallies[country][carrier] = FallenTally(self.limits, carrier)
            for vantage in self.list_country(country):
                tally.note_change(vantage.witness.nym, vantage)
        return tally

    def defer(self, vantage: VantagePresence) -> None:
        """Defer a silence that a fault of the collector may explain."""
        vantage.deferred = True
        self.note_change(vantage)

    def restore(self, restored: Iterable[VantagePresence]) -> None:
        """Restore the vantages of a checkpoint."""
        for vantage in restored:
            self.vantages[vantage.witness.nym] = vantage
            self._enter_place(vantage)
            self.note_change(vantage)
            if vantage.is_expected:
                self._count_live(vantage, +1)

    def void_unheard(self, report: OfflineReport) -> OfflineReport:
        """Return a report without an answer from long before our fault was over.

        It shows why nobody was heard in the fault; a cut may have begun since, unseen.
        """
        vantage = self.vantages.get(report.nym)
        measured_us = report.measured_us or report.since_us
        is_void = vantage is not None and report.online and measured_us < vantage.unheard_us
        return replace(report, online=None) if is_void else report

    def note_report(self, report: OfflineReport) -> VantagePresence | None:
        """Keep a report with its vantage; return None if that is not established."""
        vantage = self.vantages.get(report.nym)
        if vantage is None or not is_established(vantage.witness, report.at_us, self.limits):
            return None
        vantage.note_report(report)
        return vantage

    def note_link_test(self, test: LinkTest) -> VantagePresence | None:
        """Keep a test of hosts abroad; return its vantage if it is the first or says another."""
        vantage = self.vantages.get(test.nym)
        return vantage if vantage is not None and vantage.note_link_test(test) else None

    def on_arrival(self, signal: VantageArrival) -> VantagePresence | None:
        """Record an arrival; another location starts a new presence.

        One new, or new in its country, has none until it comes as an older one (`MAX_SESSION_S`).
        """
        vantage = self.vantages.get(signal.witness.nym)
        witness = vantage.date_stay(signal.witness, signal.at_us) if vantage else signal.witness
        if not find_seniority(witness.first_us, signal.at_us, self.limits).has_vote:
            return None if vantage is None else self._leave_country(vantage, witness, signal.at_us)
        if vantage is None:
            vantage = self.vantages[witness.nym] = VantagePresence(witness, PresenceStatus.AWAY)
        elif vantage.place != witness.place:
            self._mark_away(vantage, signal.at_us)
            self._leave_place(vantage)
        vantage.note_return(signal)
        vantage.witness = witness
        self._enter_place(vantage)
        if vantage.status in (PresenceStatus.SILENT, PresenceStatus.AWAY):
            self._count_live(vantage, +1)
            vantage.since_us = signal.at_us
        if vantage.deferred:  # our fault: no sign that its country fell silent, or flaps
            vantage.lost_us = vantage.rejoined_us = 0
        vantage.status = PresenceStatus.LIVE
        vantage.deferred = False
        vantage.floor = 0.0
        self.note_change(vantage)
        return vantage

    def _leave_country(
        self, vantage: VantagePresence, witness: VantageRef, at_us: int
    ) -> VantagePresence | None:
        """Mark a vantage without a vote away; return it if it is back from a silence abroad."""
        is_back = vantage.is_silent and vantage.place.country != witness.place.country
        vantage.abroad_us = at_us if is_back else vantage.abroad_us
        self._mark_away(vantage, at_us)
        return vantage if is_back else None

    def on_goodbye(self, signal: Goodbye) -> None:
        vantage = self.vantages.get(signal.nym)
        if vantage is not None:
            self._mark_away(vantage, signal.at_us)
            vantage.left_us = signal.at_us

    def on_lost(self, signal: VantageLoss) -> VantagePresence | None:
        """Record a loss; return None if the vantage is unknown, not live or back again.

        One that came by another carrier since the lost one was heard stays live, and is rerouted.
        """
        vantage = self.vantages.get(signal.nym)
        if vantage is None or not vantage.is_expected or vantage.since_us > signal.heard_us:
            return None
        if vantage.is_live and vantage.moved_us > signal.heard_us:
            vantage.mark_evaded(signal.heard_us, signal.at_us)
            self.note_change(vantage)
            return vantage
        self._record_presence(vantage, signal.heard_us, losses=1)
        self._count_live(vantage, -1)
        if signal.prefix:
            vantage.witness = replace(vantage.witness, prefix=signal.prefix)
        vantage.note_power(signal.on_battery, signal.at_us)
        vantage.mark_silent(signal.heard_us, signal.at_us, signal.closed_us)
        self.note_change(vantage)
        return vantage

    def suspend(self, fault: Fault) -> list[VantagePresence]:
        """Return the live vantages that a fault affects; a start makes them awaited."""
        affected = [s for s in self.vantages.values() if s.is_live and affects(fault, s)]
        if fault.is_start:
            for vantage in affected:
                vantage.status = PresenceStatus.AWAITED
                vantage.heard_us = fault.at_us
                self.note_change(vantage)
        return affected

    def resolve_fault(
        self, affected: Iterable[VantagePresence], fault: Fault, now_us: int
    ) -> list[VantagePresence]:
        """Mark vantages that did not return from a fault as silent now; return them.

        Their `floor` is the share missing in other countries, 0.5 if too few of these are known.
        """
        present_vantages = [s for s in affected if s.status is not PresenceStatus.AWAY]
        missing_vantages = [
            s for s in present_vantages if s.status is PresenceStatus.AWAITED or s.deferred
        ]
        present_by_country = Counter(s.place.country for s in present_vantages)
        missing_by_country = Counter(s.place.country for s in missing_vantages)
        for vantage in missing_vantages:
            country = vantage.place.country
            others_count = len(present_vantages) - present_by_country[country]
            others_missing = len(missing_vantages) - missing_by_country[country]
            is_known = others_count >= self.limits.witnesses
            vantage.floor = (others_missing + 1) / (others_count + 2) if is_known else 0.5
            heard_us = vantage.heard_us
            if vantage.status is PresenceStatus.AWAITED:
                self._count_live(vantage, -1)
                heard_us = max(fault.at_us, heard_us)
            vantage.mark_silent(heard_us, now_us)
            vantage.deferred = False
            vantage.unheard_us = fault.until_us - _UNHEARD_US
            self.note_change(vantage)
        return missing_vantages

    def exclude_from_churn(self, confirmed_silent: Iterable[VantagePresence]) -> None:
        """Remove silences of a confirmed incident from the churn records."""
        for vantage in confirmed_silent:
            vantage.own.losses = max(0.0, vantage.own.losses - 1)
            pool = self._pool(vantage.witness)
            pool.losses = max(0.0, pool.losses - 1)

    def pool_rate(self, country: str, access: str) -> float:
        """Return how often vantages of this access fall silent by themselves, a day."""
        return pool_rate(self.pools[country, access], self.limits)

    def max_pool_rate(self, country: str) -> float:
        """Return the highest rate of the country's pools."""
        return max(self._list_pool_rates(country), default=self.limits.usual_per_day)

    def measure_spread(self, country: str, since_us: int) -> int:
        """Return the time from `since_us` until four fifths of the silences; 0 if none."""
        times_us = [vantage.lost_us for vantage in self.list_silent(country, since_us)]
        return quantile(times_us, 0.8) - since_us if times_us else 0

    def min_pool_chance(self, country: str, window_s: float) -> float:
        """Return the lowest chance of the country's pools, for screening."""
        new = ChurnRecord()
        rates = [blend_rate(new, mean, self.limits) for mean in self._list_pool_rates(country)]
        return silence_chance(min(rates, default=self.limits.usual_per_day), window_s)

    def _list_pool_rates(self, country: str) -> list[float]:
        own = [pool for (pool_country, _), pool in self.pools.items() if pool_country == country]
        return [pool_rate(pool, self.limits) for pool in own]

    def list_country(self, country: str) -> Collection[VantagePresence]:
        """Return all vantages of a country, also those that are away."""
        return self.countries[country].values()

    def next_look_us(self, country: str, changed_us: int) -> int:
        """Return when a country that changed at this time is evaluated."""
        scale = len(self.countries[country]) / _VANTAGES_A_SECOND
        tick_s = min(_LONGEST_TICK_S, self.limits.tick_s * max(1.0, scale))
        return changed_us + int(tick_s * SECOND_US)

    def list_fallen(self, country: str, since_us: int) -> list[VantagePresence]:
        """List vantages lost since a time outside faults, including those that are back."""
        return [v for v in self.list_country(country) if v.lost_us >= since_us and not v.deferred]

    def list_silent(self, country: str, since_us: int) -> list[VantagePresence]:
        """List the silent vantages that were lost since a time."""
        lost = map(self.vantages.__getitem__, self.tally(country).list_lost(since_us))
        return [vantage for vantage in lost if vantage.is_silent]

    def list_abroad(self, country: str, since_us: int) -> list[VantagePresence]:
        """List the vantages lost since a time that are back in another country; not phones.

        Near a border phones roam: it is their own network's cut that makes them.
        """
        return [
            v
            for v in self.list_country(country)
            if v.is_abroad and v.lost_us >= since_us and v.place.access != "mobile"
        ]

    def list_recent(self, country: str, since_us: int) -> list[VantagePresence]:
        """List the vantages that are live, or fell silent since a time and not in a fault."""
        return [
            v
            for v in self.list_country(country)
            if v.is_live or (v.is_silent and not v.deferred and v.lost_us >= since_us)
        ]

    def list_inside(self, scope: Scope) -> Iterator[VantagePresence]:
        """Yield all vantages of a cell, also those that are away."""
        for place, members in self.places[scope.country].items():
            if scope.includes(place):
                yield from members.values()

    def _enter_place(self, vantage: VantagePresence) -> None:
        place = vantage.place
        self.countries[place.country][vantage.witness.nym] = vantage
        self.places[place.country].setdefault(place, {})[vantage.witness.nym] = vantage

    def _leave_place(self, vantage: VantagePresence) -> None:
        place = vantage.place
        name = vantage.witness.nym
        del self.countries[place.country][name]
        del self.places[place.country][place][name]
        if not self.places[place.country][place]:
            del self.places[place.country][place]
        for tally in self._list_tallies(place.country):
            tally.note_change(name, None)

    def _mark_away(self, vantage: VantagePresence, at_us: int) -> None:
        if vantage.is_expected:
            self._record_presence(vantage, at_us, losses=0)
            self._count_live(vantage, -1)
        vantage.status = PresenceStatus.AWAY
        vantage.deferred = False
        vantage.floor = 0.0
        self.note_change(vantage)

    def _record_presence(self, vantage: VantagePresence, until_us: int, losses: int) -> None:
        vantage.own.add(losses, until_us - vantage.since_us, self.limits.memory_days)
        self._pool(vantage.witness).add(losses, until_us - vantage.since_us)

    def _pool(self, witness: VantageRef) -> ChurnRecord:
        return self.pools[witness.place.country, witness.place.access]

    def _count_live(self, vantage: VantagePresence, step: int) -> None:
        for scope in scopes_of(vantage.place):
            was_live = self.live_counts[scope] > 0
            self.live_counts[scope] += step
            self.live_cell_counts[scope.country] += (self.live_counts[scope] > 0) - was_live
