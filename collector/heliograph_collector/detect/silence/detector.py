"""Silence detector: presence signals in, incidents out. Pure.

Theory of operation. Time advances from signal to signal and from timer to timer, and nothing is
evaluated in between: the same signals give the same incidents. In each country:

1. A loss without goodbye is a new silence, but new vantages have no vote. `burst` of them schedule
   an evaluation ("look").
2. If chance does not explain them, an OutageCandidate opens. It is evaluated at its deadlines and
   after each change, until it is settled, dropped or gated (candidate.py).
3. The candidate's OutageEpisode is evaluated ("follow") 10 s after each change while it is open:
   parts return or go dark again, or all of it is over (outage.py).

A fault of the collector opens a FaultPeriod and a coverage gap. Losses found until `grace_s` after
it are deferred, as they prove nothing. A timer ("settle") then counts who is missing as lost then.
"""

from collections import defaultdict, deque
from collections.abc import Iterable

from heliograph.units import SECOND_US
from heliograph_collector.detect.level import fall, presence_level, promotion
from heliograph_collector.detect.level.cuts_in_habits import learn_withdrawn_nights
from heliograph_collector.detect.level.sleepers_in_faults import drop_sleepers
from heliograph_collector.detect.silence import blocked_entrances, burst_test, evasion, voters
from heliograph_collector.detect.silence.candidate import CandidateOutcome, OutageCandidate
from heliograph_collector.detect.silence.candidate_evaluation import evaluate_candidate
from heliograph_collector.detect.silence.detector_state import (
    CoverageGap,
    Findings,
    SilenceDetectorState,
)
from heliograph_collector.detect.silence.fault_period import (
    FaultPeriod,
    compute_grace_us,
    put_gap,
    select_pending,
)
from heliograph_collector.detect.silence.joint_causes import split_outages
from heliograph_collector.detect.silence.merging import select_outside
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.outage_record import build_incident, restore_outage
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.reconsideration import reconsider
from heliograph_collector.detect.silence.timers import Timer, TimerQueue
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.incidents.incident import HoldReason, Incident
from heliograph_collector.model.entrances import BlockedEntrance
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    DetectorSignal,
    Fault,
    FaultReason,
    Goodbye,
    LinkTest,
    OfflineReport,
    VantageArrival,
    VantageLoss,
    VantageRef,
    sort_signals,
)
from heliograph_collector.model.thresholds import THRESHOLDS

__all__ = ["CoverageGap", "Findings", "SilenceDetector", "SilenceDetectorState", "detect_silence"]

_WAIT_US = 30 * SECOND_US  # between evaluations of a candidate that waits for returns; assumed
_FOLLOW_US = 10 * SECOND_US  # from a change to the evaluation of open outages; assumed
# After it a lost carrier has been tried again, and stays dead: a retry and a heartbeat.
_RETRY_STEP_US = 15 * SECOND_US  # assumed
_RETRY_US = int((THRESHOLDS.retry_s + THRESHOLDS.beat_s + THRESHOLDS.tick_s) * SECOND_US)


def detect_silence(signals: Iterable[DetectorSignal], until_us: int) -> Findings:
    """Detect outages in the signals up to a time; the order of signals is free."""
    detector = SilenceDetector()
    for signal in sort_signals(s for s in signals if s.at_us <= until_us):
        detector.on_signal(signal)
    detector.advance_to(until_us)
    return detector.findings()


class SilenceDetector:
    """The incremental detector, which reads signals in order of time."""

    def __init__(self) -> None:
        self._limits = THRESHOLDS
        self._presence = PresenceTracker()
        self._candidates: dict[str, OutageCandidate] = {}
        self._outages: list[OutageEpisode] = []
        self._recent_silences: defaultdict[str, deque[VantagePresence]] = defaultdict(deque)
        self._fault_periods: list[FaultPeriod] = []
        self.coverage_gaps: list[CoverageGap] = []
        self._timers = TimerQueue()
        self._levels = presence_level.PresenceLevels()
        self.fired_us = 0  # due time of the last timer that fired

    def on_signal(self, signal: DetectorSignal) -> None:
        """Handle one signal; signals must come in order of time."""
        self.advance_to(signal.at_us)
        if self._presence.controls.take(signal):
            return
        if isinstance(signal, VantageLoss):
            self._on_lost(signal)
        elif isinstance(signal, VantageArrival):
            self._on_change(self._presence.on_arrival(signal), signal.at_us)
        elif isinstance(signal, Goodbye):
            self._presence.on_goodbye(signal)
        elif isinstance(signal, Fault):
            self._on_fault(signal)
        elif isinstance(signal, LinkTest):
            self._on_change(self._presence.note_link_test(signal), signal.at_us)
        else:
            self._on_replay(self._presence.void_unheard(signal))

    def advance_to(self, now_us: int) -> None:
        """Advance the clock and fire due timers."""
        while (timer := self._timers.pop_due(now_us)) is not None:
            at_us, _, name, target = timer
            self.fired_us = at_us
            if isinstance(target, FaultPeriod):
                self._resolve_fault_period(target, at_us)
            else:
                handlers = {"look": self._evaluate, "level": self._evaluate_levels}
                handlers.get(name, self._follow_outages)(target, at_us)

    def findings(self) -> Findings:
        outages = [build_incident(outage) for outage in self._outages]
        falls = [level.to_incident() for level in self._levels.list_falls()]
        return Findings(tuple(fall.join_channels(outages, falls)), tuple(self.coverage_gaps))

    def restore(self, incident: Incident) -> None:
        """Restore an incident from the log, without its silent vantages."""
        self._outages.append(restore_outage(incident, self._limits))

    def forget(self, before_us: int, gaps_before_us: int) -> None:
        """Drop incidents and coverage gaps that ended before these times."""
        self._outages = [d for d in self._outages if d.is_open or (d.closed_us or 0) >= before_us]
        self.coverage_gaps = [b for b in self.coverage_gaps if b.until_us >= gaps_before_us]
        self._levels.forget(before_us)

    def list_blocked(self, since_us: int) -> list[BlockedEntrance]:
        """List open or recently ended blocks of the collector, and dead entrances."""
        return blocked_entrances.list_blocked(self._outages, self._presence.controls, since_us)

    def list_live(self) -> list[VantageRef]:
        """List the live vantages."""
        return [v.witness for v in self._presence.vantages.values() if v.is_live]

    def find_vantage(self, pseudonym: str) -> VantagePresence | None:
        """Return a vantage as it is now, None if it is unknown."""
        return self._presence.vantages.get(pseudonym)

    def list_inside(self, scope: Scope) -> Iterable[VantagePresence]:
        """List the vantages of a cell, also those that are away."""
        return self._presence.list_inside(scope)

    def state(self) -> SilenceDetectorState:
        """Return the state to save at once, because it shares parts with the detector."""
        period_index = {id(p): index for index, p in enumerate(self._fault_periods)}
        outage_index = {id(outage): index for index, outage in enumerate(self._outages)}
        return SilenceDetectorState(
            vantages=list(self._presence.vantages.values()),
            controls=self._presence.controls,
            pools=[(*where, record) for where, record in self._presence.pools.items()],
            recent_silences={c: _list_nyms(s) for c, s in self._recent_silences.items() if s},
            blackouts=[(p.fault, p.until_us, _list_nyms(p.affected)) for p in self._fault_periods],
            outages=self._outages,
            candidates=[(c, outage_index.get(id(c.dark), -1)) for c in self._candidates.values()],
            coverage_gaps=self.coverage_gaps,
            timers=[
                (at_us, number, name, target, -1)
                if isinstance(target, str)
                else (at_us, number, name, "", period_index[id(target)])
                for at_us, number, name, target in sorted(self._timers.pending)
            ],
            scheduled=sorted(self._timers.scheduled),
            timer_number=self._timers.number,
            fired_us=self.fired_us,
            levels=list(self._levels.cells.items()),
            falls=self._levels.past,
        )

    @classmethod
    def from_state(cls, state: SilenceDetectorState) -> "SilenceDetector":
        """Restore a detector. Raises KeyError, IndexError."""
        detector = cls()
        detector._presence.restore(state.vantages)
        detector._presence.controls = state.controls
        detector._presence.pools.update({(c, access): record for c, access, record in state.pools})
        vantages = detector._presence.vantages
        for country, pseudonyms in state.recent_silences.items():
            detector._recent_silences[country].extend(map(vantages.__getitem__, pseudonyms))
        detector._fault_periods = [
            FaultPeriod(fault, until_us, [vantages[pseudonym] for pseudonym in pseudonyms])
            for fault, until_us, pseudonyms in state.blackouts
        ]
        detector._outages = state.outages
        detector.coverage_gaps = state.coverage_gaps
        for candidate, index in state.candidates:
            if index >= 0:
                candidate.dark = state.outages[index]
            detector._candidates[candidate.country] = candidate
        timers: list[Timer] = [
            (at_us, number, name, country if period < 0 else detector._fault_periods[period])
            for at_us, number, name, country, period in state.timers
        ]
        detector._timers = TimerQueue(timers, set(state.scheduled), state.timer_number)
        detector._levels = presence_level.PresenceLevels(dict(state.levels), state.falls)
        detector.fired_us = state.fired_us
        return detector

    def count_live(self, country: str) -> int:
        """Count live vantages; during an open outage count all known vantages."""
        if self._open_outages(country):
            return len(self._presence.list_country(country))
        return self._presence.live_counts[Scope(country)]

    def _open_outages(self, country: str) -> list[OutageEpisode]:
        return [o for o in self._outages if o.is_open and o.country == country]

    def _recent_outages(self, country: str, now_us: int) -> list[OutageEpisode]:
        """List open and recently closed outages, whose cause may yet become known."""
        since_us = now_us - int(self._limits.resume_s * SECOND_US)
        return [
            o
            for o in self._outages
            if o.country == country and (o.is_open or (o.closed_us or 0) >= since_us)
        ]

    def _schedule_after_retry(self, at_us: int, country: str) -> None:
        """Evaluate again once a lost carrier was tried in vain, together with others."""
        due_us = (at_us // _RETRY_STEP_US + 1) * _RETRY_STEP_US + _RETRY_US
        self._timers.schedule(due_us, f"retry {due_us}", country)

    def _on_lost(self, signal: VantageLoss) -> None:
        if (vantage := self._presence.on_lost(signal)) is None:
            return
        for period in self._fault_periods:
            if period.explains(signal, vantage):
                if vantage.is_silent:
                    self._presence.defer(vantage)
                    period.affected.append(vantage)
                return
        self._on_silent(vantage)

    def _on_silent(self, vantage: VantagePresence) -> None:
        country = vantage.place.country
        self._recent_silences[country].append(vantage)
        if len(self._recent_silences[country]) >= self._limits.burst:
            look_us = self._presence.next_look_us(country, vantage.lost_us)
            self._timers.schedule(look_us, "look", country)
        self._on_change(vantage, vantage.lost_us)

    def _on_change(self, vantage: VantagePresence | None, at_us: int) -> None:
        if vantage is None:
            return
        country = vantage.place.country
        self._timers.schedule(fall.next_sample_us(at_us), "level", country)
        if country in self._candidates:
            self._timers.schedule(self._presence.next_look_us(country, at_us), "look", country)
        if self._recent_outages(country, at_us):
            self._timers.schedule(at_us + _FOLLOW_US, "follow", country)
            if vantage.is_live:
                self._schedule_after_retry(at_us + vantage.telling_us, country)

    def _on_fault(self, fault: Fault) -> None:
        if fault.is_start and fault.at_us == fault.until_us and not self._presence.vantages:
            return  # the first start ever: no vantage is expected
        until_us = fault.until_us + compute_grace_us(fault, self._limits)
        self.coverage_gaps = put_gap(self.coverage_gaps, fault, until_us)
        if fault.why is FaultReason.HOST:
            return  # missing vantages elsewhere are found without delay
        targets = self._timers.list_targets()
        self._fault_periods = select_pending(self._fault_periods, targets, fault.at_us)
        period = next((p for p in self._fault_periods if p.is_continued_by(fault)), None)
        if period is None:
            period = FaultPeriod(fault, until_us, self._presence.suspend(fault))
            self._fault_periods.append(period)
        else:
            period.until_us = max(until_us, period.until_us)
        if fault.why is not FaultReason.TAKEOVER:
            for silences in self._recent_silences.values():
                period.defer(self._presence, silences)
        for due_us in (*period.list_reviews_us(fault), period.until_us):
            self._timers.add(due_us, "settle", period)

    def _resolve_fault_period(self, period: FaultPeriod, now_us: int) -> None:
        if now_us < period.until_us:  # a review, or of a fault that continued
            self.coverage_gaps = period.review_gaps(self.coverage_gaps, now_us)
            for country in voters.end_wait(self._presence) if period.is_takeover else ():
                self._timers.schedule(now_us, "look", country)
            return
        if period.hand_over(self._fault_periods):
            return
        settled = period.list_settled(now_us)
        self.coverage_gaps = period.review_gaps(self.coverage_gaps, now_us)
        missing = self._presence.resolve_fault(settled, period.fault, now_us)
        cells = self._levels.cells
        for vantage in drop_sleepers(missing, self._presence, cells, period.fault.at_us, now_us):
            self._on_silent(vantage)
        if (next_us := period.next_look_us(now_us)) is not None:
            self._timers.add(next_us, "settle", period)

    def _evaluate(self, country: str, now_us: int) -> None:
        silences = self._recent_silences[country]
        since_us = now_us - int(max(self._limits.windows_s) * SECOND_US)
        while silences and silences[0].lost_us < since_us:
            silences.popleft()
        candidate = self._candidates.get(country)
        if candidate is None:
            burst = evasion.select_losses(silences)
            candidate = OutageCandidate.from_burst(self._presence, country, burst, now_us)
            if candidate is None or self._may_be_habit(candidate, now_us):
                return
            self._candidates[country] = candidate
            for due_us in candidate.deadlines(self._limits):
                self._timers.add(due_us, "look", country)
        if self._may_be_habit(candidate, now_us):
            outcome = candidate.withdraw(now_us)
        else:
            outcome = evaluate_candidate(candidate, self._presence, self._outages, now_us)
        if outcome is not CandidateOutcome.PENDING:
            self._end_candidate(candidate, outcome, now_us)
        elif candidate.is_late(now_us, self._limits):
            self._timers.schedule(now_us + _WAIT_US, "look", country)

    def _end_candidate(
        self, candidate: OutageCandidate, outcome: CandidateOutcome, now_us: int
    ) -> None:
        country = candidate.country
        if outcome is CandidateOutcome.GATED:
            gap = CoverageGap(candidate.found_us, now_us, HoldReason.COMMON, country)
            self.coverage_gaps.append(gap)
        del self._candidates[country]
        if outcome is CandidateOutcome.SETTLED:
            self._keep_outside(country, now_us)
            sample_us = fall.next_sample_us(now_us)  # no habit holds a cut
            self._timers.schedule(sample_us, "level", country)
        elif burst_test.is_too_new(self._recent_silences[country], now_us):
            self._timers.schedule(self._presence.next_look_us(country, now_us), "look", country)
        self._timers.schedule(now_us + _FOLLOW_US, "follow", country)

    def _keep_outside(self, country: str, now_us: int) -> None:
        """Keep the silences that no open outage holds: another part may be falling silent."""
        outages = self._open_outages(country)
        outside = deque(select_outside(outages, self._recent_silences[country]))
        self._recent_silences[country] = outside
        if len(outside) >= self._limits.burst and any(o.grown_us == now_us for o in outages):
            self._timers.schedule(self._presence.next_look_us(country, now_us), "look", country)

    def _may_be_habit(self, candidate: OutageCandidate, now_us: int) -> bool:
        outages = self._open_outages(candidate.country)
        where = self._presence, candidate.country
        return self._levels.may_be_habit(*where, candidate.burst_us, now_us, outages)

    def _evaluate_levels(self, country: str, now_us: int) -> None:
        candidate = self._candidates.get(country)
        draft = None if candidate is None else candidate.dark
        outages = [o for o in self._open_outages(country) if o is not draft]
        self._presence.gaps = self.coverage_gaps
        learn_withdrawn_nights(self._levels.cells, self._recent_outages(country, now_us))
        new_outages = self._levels.evaluate(self._presence, country, now_us, outages)
        self._outages += promotion.select_uncovered(new_outages, self._outages)
        is_new = any(outage.confirmed_us == now_us for outage in self._open_outages(country))
        if is_new or self._levels.is_falling(country):
            self._timers.schedule(fall.next_sample_us(now_us), "level", country)

    def _follow_outages(self, country: str, now_us: int) -> None:
        candidate = self._candidates.get(country)
        for outage in (recent := self._recent_outages(country, now_us)):
            if candidate is None or outage is not candidate.dark:
                reconsider(outage, self._presence, now_us, recent)
        self._outages += split_outages(recent, self._presence, now_us)
        self._presence.gaps = self.coverage_gaps
        outages = self._open_outages(country) if candidate is None else []
        needs_follow_up = candidate is not None
        for outage in outages:
            others = [o for o in outages if o is not outage]
            needs_follow_up |= outage.follow(self._presence, now_us, others)
        if needs_follow_up:
            self._timers.schedule(now_us + _FOLLOW_US, "follow", country)

    def _on_replay(self, signal: OfflineReport) -> None:
        if (vantage := self._presence.note_report(signal)) is None:
            return
        if evasion.tells_unseen_loss(vantage, signal):
            self._on_lost(VantageLoss(signal.at_us, signal.nym, signal.since_us))
        country = vantage.place.country
        if (candidate := self._candidates.get(country)) and signal.until_us >= candidate.burst_us:
            candidate.replays[signal.nym] = signal
        for outage in self._outages:
            over_us = outage.ended.latest_us if outage.ended else signal.at_us
            if outage.holds(vantage.place) and signal.since_us <= over_us:
                outage.add_replay(signal)
                reconsider(outage, self._presence, signal.at_us, self._outages)
        if self._recent_outages(country, signal.at_us):
            self._schedule_after_retry(signal.at_us, country)


def _list_nyms(vantages: Iterable[VantagePresence]) -> list[str]:
    return [vantage.witness.nym for vantage in vantages]
