"""Evaluate an outage candidate: confirm it, let it wait, or withdraw it.

Theory of operation. candidate.py names the outcomes. One evaluation asks, in this order:

1. Does a fault of ours explain it: do other countries, or others by the same way, fall silent too?
   It waits, and is withdrawn when it is late (gated).
2. Is one carrier silent where others live? It is a block of the collector.
3. Is it held for long enough? Do agents evade it? It is a block. Else the cells that are still
   silent are confirmed, unless sessions flap, are renewed, or the carrier may be at fault.
4. Otherwise it stays suspected while cells stand out, and is dropped when it is late.
"""

from collections.abc import Iterable, Sequence

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence import (
    confounders,
    country_comparison,
    entrance_view,
    failing_carriers,
    late_networks,
    merging,
    renewal,
    silent_carriers,
)
from heliograph_collector.detect.silence.brackets import bracket_onset, select_at_pace
from heliograph_collector.detect.silence.burst_test import (
    select_significant,
)
from heliograph_collector.detect.silence.candidate import CandidateOutcome, OutageCandidate
from heliograph_collector.detect.silence.cell_members import select_silent
from heliograph_collector.detect.silence.daily_routine import are_off_by_routine, confirm_or_hold
from heliograph_collector.detect.silence.evasion import EvasionTest, collect_reports, note_moves
from heliograph_collector.detect.silence.other_causes import list_beside, list_extended
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.reconsideration import reconsider
from heliograph_collector.detect.silence.slow_parts import are_like_rest
from heliograph_collector.detect.silence.steadiness import are_steady, is_flapping
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.voluntary_end import find_voluntary_end
from heliograph_collector.detect.silence.voters import CountryVoters
from heliograph_collector.detect.stats.localization import localize, narrow_cells
from heliograph_collector.detect.stats.voting import sum_votes
from heliograph_collector.detect.stats.whole_parts import name_whole_parts
from heliograph_collector.incidents.incident import (
    HoldReason,
    IncidentKind,
    IncidentState,
    incident_id,
)
from heliograph_collector.model.scope import AffectedCell, enclosing_scope


def evaluate_candidate(
    candidate: OutageCandidate,
    presence: PresenceTracker,
    outages: list[OutageEpisode],
    now_us: int,
) -> CandidateOutcome:
    """Evaluate a candidate; a new episode is appended to `outages`."""
    return _Evaluation(candidate, presence, outages, now_us).decide()


class _Evaluation:
    """One evaluation of a candidate: its vantages and the outages of its country."""

    def __init__(
        self,
        candidate: OutageCandidate,
        presence: PresenceTracker,
        outages: list[OutageEpisode],
        now_us: int,
    ) -> None:
        self._candidate = candidate
        self._presence = presence
        self._limits = presence.limits
        self._now_us = now_us
        self._burst_us = candidate.burst_us
        self._is_late = candidate.is_late(now_us, self._limits)
        where = presence, candidate.country, candidate.burst_us
        note_moves(*where)
        silent = presence.list_silent(*where[1:])
        candidate.replays |= collect_reports(*where)
        candidate.has_closed |= any(vantage.closed_us for vantage in silent)
        self._evasion = EvasionTest(*where, candidate.replays, now_us, outages)
        lost_by = {vantage.lost_by for vantage in silent if not vantage.deferred}
        self._all_others = merging.list_others(outages, candidate.dark, candidate.country, ())
        self._others = [outage for outage in self._all_others if outage.explains(lost_by)]
        self._extended = list_extended(self._others, presence, candidate.burst_us, now_us)
        self._open = merging.OpenOutages(outages, self._others, self._extended, presence, now_us)
        candidate.from_us = min([candidate.burst_us, *(o.from_us for o in self._extended)])
        beside = list_beside(self._others, self._extended, presence, candidate.from_us)
        self._voters = CountryVoters(*where[:2], candidate.from_us, now_us, beside)
        self._is_transit = False  # our way to some countries may be broken
        self._is_renewal = False  # sessions may have been ended to begin again
        self._is_doubtful = False  # it may be the carrier: others live here, or it fails elsewhere
        self._is_lasting = False  # a fault of ours may last for networks that come back one by one

    def decide(self) -> CandidateOutcome:
        candidate = self._candidate
        limits = self._limits
        since_us = candidate.burst_us - int(limits.spread_s * SECOND_US)
        where = self._presence, candidate.country, since_us
        latest = country_comparison.compare_countries(*where, apart=self._evasion.apart)
        held_us = self._now_us - candidate.burst_us
        witnesses = country_comparison.keep_comparison(candidate.witnesses, latest, held_us)
        candidate.witnesses = witnesses
        self._is_transit = witnesses.may_be_transit
        is_waiting = self._is_transit and self._evasion.may_be_transit(self._voters)
        is_common = witnesses.is_hit and not confounders.are_others_back(*where, self._now_us)
        has_fallen = entrance_view.have_ways_fallen(*where[:2], candidate.burst_us, self._now_us)
        candidate.gated = has_fallen or (is_waiting if self._is_transit else is_common)
        if has_fallen or (candidate.gated and not self._is_transit):
            return self._withdraw_if_late(CandidateOutcome.GATED)
        is_ours = witnesses.is_hit and not self._is_transit
        if candidate.gated or (is_ours and confounders.may_return_slowly(*where, self._now_us)):
            self._is_late = False  # it stays suspected until the wait has passed
            is_blocked = self._is_transit and self._evasion.is_lasting and self._find_rerouted()
            return CandidateOutcome.SETTLED if is_blocked else self._suspect()
        blocked = self._voters.find_blocked_carrier(self._burst_us)
        self._is_lasting = is_ours and late_networks.may_be_late(*where)
        self._is_doubtful = blocked is not None and blocked.nearby_share >= limits.told_share / 2
        if blocked is not None and blocked.living_share >= limits.told_share:
            return self._decide_blocked(blocked, since_us)
        is_doubted = self._is_doubtful or self._is_lasting
        if self._is_held_long_enough(limits.hold_s) and not is_doubted:
            if not self._is_transit and self._evasion.is_known and self._find_rerouted():
                return CandidateOutcome.SETTLED
            if (outcome := self._confirm(witnesses, since_us)) is not None:
                return outcome
            self._is_late &= not self._is_renewal and not self._evasion.is_possible
        return self._suspect()

    def _is_held_long_enough(self, hold_s: float) -> bool:
        held_us = self._now_us - self._candidate.hold_us(self._limits)
        return self._voters.is_established and held_us >= hold_s * SECOND_US

    def _confirm(
        self, witnesses: country_comparison.CountryComparison, since_us: int
    ) -> CandidateOutcome | None:
        """Confirm the cells that are still silent; None if there are none, or too early."""
        limits = self._limits
        votes = self._voters.deciding_votes
        cells = localize(votes, limits.confirm_share, limits.votes, limits)
        where = self._presence, self._candidate.country, self._burst_us
        if not cells or confounders.is_spreading(*where, self._now_us):
            return None
        everybody = self._voters.all_voters, self._voters.deciding
        if merging.have_fallen_beside(self._others, cells, *everybody, limits):
            return None
        is_low = any(cell.votes < limits.few for cell in cells)
        cells = self._select_significant(cells, self._voters.deciding)
        is_early = is_low and not self._is_held_long_enough(limits.hold_low_s)
        held_us = self._now_us - self._candidate.hold_us(limits)
        is_early |= merging.lacks_lines(cells, self._voters.deciding, held_us, limits)
        if sum_votes(votes).votes - sum(c.votes for c in cells) >= limits.votes:
            is_early |= not self._is_held_long_enough(renewal.PART_HOLD_S)
        if not cells or is_early or self._is_flapping(cells) or self._may_be_renewal(cells):
            return None
        if are_like_rest(cells, self._presence, self._all_others, self._burst_us, self._now_us):
            return None
        self._is_doubtful = self._may_be_carrier(witnesses, since_us)
        if self._is_doubtful or self._evasion.doubts(cells, self._voters):
            return None
        certainty = confounders.compute_certainty(cells, witnesses, limits)
        cells = name_whole_parts(cells, votes, limits)
        outage = self._update_outage(cells, certainty, self._voters.deciding)
        self._date_onset(outage)
        inside = [s for s in self._voters.deciding if outage.holds(s.place)]
        votes_by_way = silent_carriers.list_silent_carrier_votes(inside)
        outage.is_joint = witnesses.may_be_transit
        outage.ways = len(votes_by_way)
        outage.second_way = sum(votes_by_way[1:2])
        self._presence.exclude_from_churn(select_silent(cells, self._voters.all_voters))
        new_cells = merging.find_new_cells(self._voters.deciding, self._extended, limits)
        persons = self._voters.attach_persons(new_cells or narrow_cells(cells, votes))
        self._settle_outage(outage, persons)
        return CandidateOutcome.SETTLED

    def _is_flapping(self, cells: Sequence[AffectedCell]) -> bool:
        voters = self._voters.all_voters
        return is_flapping(cells, voters, self._burst_us, self._all_others, self._now_us)

    def _may_be_carrier(
        self, witnesses: country_comparison.CountryComparison, since_us: int
    ) -> bool:
        """Return whether one carrier is silent that fails elsewhere too, or did at first."""
        is_kept = any(outage.held == (HoldReason.CARRIER,) for outage in self._extended)
        if not is_kept and not witnesses.are_several:
            return False
        where = self._presence, self._candidate.country
        carrier = failing_carriers.find_only_carrier(*where, self._candidate.from_us)
        is_down = is_kept or failing_carriers.is_carrier_down(*where, since_us, carrier, witnesses)
        return bool(carrier) and is_down

    def _may_be_renewal(self, cells: Sequence[AffectedCell]) -> bool:
        """Return whether sessions may have been ended to begin again, or still end."""
        voters = self._voters.deciding
        times_us = self._burst_us, self._now_us
        abroad = self._presence.list_abroad(self._candidate.country, self._burst_us)
        reason = find_voluntary_end(cells, voters, *times_us, abroad)
        self._is_renewal = (
            reason != ""
            or not are_steady(cells, voters, *times_us)
            or renewal.may_have_ended(cells, voters, *times_us)
            or renewal.may_be_renewal(cells, voters, self._others, *times_us)
        )
        if reason and self._candidate.dark is not None:
            self._candidate.dark.held = (reason,)
        return self._is_renewal

    def _decide_blocked(
        self, blocked: confounders.BlockedCarrier, since_us: int
    ) -> CandidateOutcome:
        """Decide that one carrier is blocked here, unless it fails elsewhere too."""
        if are_off_by_routine(blocked.cells, self._voters.deciding):
            return self._suspect()
        where = self._presence, self._candidate.country
        users = country_comparison.compare_countries(*where, since_us, blocked.carrier)
        view = entrance_view.view_entrance(*where, blocked.carrier, self._burst_us)
        if users.is_hit or view is entrance_view.EntranceView.FELL:
            return self._withdraw_if_late(CandidateOutcome.GATED)
        may_follow = failing_carriers.are_beginning_elsewhere(
            *where, since_us, self._now_us, [blocked.carrier]
        )
        if may_follow and self._evasion.is_early:
            return CandidateOutcome.PENDING  # it may fail in one country after another
        group = [s for s in self._voters.deciding if s.witness.carrier == blocked.carrier]
        cells = self._select_significant(blocked.cells, group)
        if not cells or not self._is_held_long_enough(self._limits.hold_low_s):
            return self._withdraw_if_late(CandidateOutcome.DROPPED)
        witnesses = country_comparison.CountryComparison(is_known=True)
        certainty = confounders.compute_certainty(cells, witnesses, self._limits)
        outage = self._update_outage(cells, certainty, group)
        outage.carrier = blocked.carrier
        silenced = select_silent(cells, group)
        return self._publish_blocked(
            outage, silenced, is_seen=view is entrance_view.EntranceView.LIVES
        )

    def _publish_blocked(
        self, own: OutageEpisode, silenced: Iterable[VantagePresence], *, is_seen: bool
    ) -> CandidateOutcome:
        self._presence.exclude_from_churn(silenced)
        block = self._open.merge_block(own)
        if block is own:
            own.explain_as(IncidentKind.COLLECTOR_BLOCKED, self._now_us, is_seen=is_seen)
        if is_seen and (block is own or block.state is IncidentState.SUSPECTED):
            block.confirm(self._now_us)
        return CandidateOutcome.SETTLED

    def _find_rerouted(self) -> bool:
        """Tell of a block that agents evaded before their silence could be confirmed."""
        found = self._evasion.find(self._voters)
        if found is not None:
            outage = self._update_outage(found.cells, self._limits.low, found.silenced)
            outage.evidence = found.evidence
            outage.replays = dict(self._candidate.replays)
            silenced = [s for s in found.silenced if outage.holds(s.place)]
            self._publish_blocked(outage, silenced, is_seen=found.is_seen)
        return found is not None

    def _suspect(self) -> CandidateOutcome:
        limits = self._limits
        share = limits.confirm_share if self._is_late else limits.suspect_share
        if not self._voters.may_have_cells(share):
            return self._withdraw_if_late(CandidateOutcome.DROPPED)
        cells = self._select_significant(
            localize(self._voters.votes, share, limits.burst, limits), self._voters.all_voters
        )
        is_known = merging.are_explained(self._others, cells)
        if not cells or is_known or self._is_flapping(cells):
            return self._withdraw_if_late(CandidateOutcome.DROPPED)
        parts = name_whole_parts(cells, self._voters.votes, limits)
        outage = self._update_outage(parts, limits.low, self._voters.all_voters)
        if not self._is_late:
            return CandidateOutcome.PENDING
        if self._find_rerouted():
            return CandidateOutcome.SETTLED
        if self._evasion.is_undecided:
            return CandidateOutcome.PENDING
        if any(cell.votes < limits.votes for cell in cells):
            outage.held = (HoldReason.FEW,)
        else:
            is_lone = merging.is_one_line(cells, self._voters.deciding, limits)
            may_be_ours = self._is_lasting or (
                self._evasion.is_doubted and self._voters.is_established
            )
            reason = HoldReason.CARRIER if self._is_doubtful or may_be_ours else HoldReason.YOUNG
            reason = HoldReason.COMMON if self._is_lasting else reason
            outage.held = (HoldReason.ONE_LINE if is_lone else reason,)
            outage.is_doubted = may_be_ours and not self._is_doubtful and not is_lone
        self._open.publish(outage)
        return CandidateOutcome.SETTLED

    def _withdraw_if_late(self, outcome: CandidateOutcome) -> CandidateOutcome:
        if not self._is_late:
            return CandidateOutcome.PENDING
        if self._is_transit:
            outcome = CandidateOutcome.GATED  # they are back in time: our fault, not a block
        if outcome is CandidateOutcome.DROPPED and self._find_rerouted():
            return CandidateOutcome.SETTLED
        self._candidate.withdraw(self._now_us)
        return outcome

    def _select_significant(
        self, affected: Sequence[AffectedCell], vantages: Sequence[VantagePresence]
    ) -> tuple[AffectedCell, ...]:
        """Return the cells that stand out in this burst, or did before in its outage."""
        candidate = self._candidate
        if candidate.dark is not None and candidate.dark.contains(affected):
            return tuple(affected)
        fallen = [s for s in vantages if s.is_silent and s.lost_us >= candidate.burst_us]
        window_s = candidate.window_s + (self._now_us - candidate.found_us) / SECOND_US
        return select_significant(affected, self._presence, fallen, window_s)

    def _update_outage(
        self, cells: tuple[AffectedCell, ...], certainty: float, vantages: Sequence[VantagePresence]
    ) -> OutageEpisode:
        """Update the candidate's outage, or open it."""
        candidate = self._candidate
        cells = self._voters.attach_persons(cells)
        fallen = [s for s in vantages if s.lost_us >= candidate.burst_us]
        silent = select_silent(cells, vantages) or fallen
        burst = [s for s in silent if s.lost_us >= candidate.burst_us]
        started = bracket_onset(burst or silent, self._limits)
        outage = candidate.dark
        if outage is None:
            scope = enclosing_scope(p.scope for p in cells)
            outage = candidate.dark = OutageEpisode(
                id=incident_id("silence", "", scope, started, (s.witness.nym for s in silent)),
                country=candidate.country,
                parts=cells,
                started=started,
                from_us=candidate.burst_us,
                suspected_us=self._now_us,
                certainty=certainty,
                limits=self._limits,
            )
            if not self._extended:
                self._open.publish(outage)
        outage.parts = cells
        outage.started = started
        outage.certainty = certainty
        outage.grown_us = self._now_us
        return outage

    def _date_onset(self, outage: OutageEpisode) -> None:
        """Date a fade by all that fell at the pace of its burst, which was found late."""
        since_us = self._burst_us - int(self._limits.join_s * SECOND_US)
        silent = self._presence.list_silent(self._candidate.country, since_us)
        fallen = select_silent(outage.parts, silent)
        paced = select_at_pace(fallen, self._burst_us, self._limits)
        if any(vantage.lost_us < self._burst_us for vantage in paced):
            outage.started = bracket_onset(paced, self._limits)

    def _settle_outage(self, own: OutageEpisode, narrowed_cells: tuple[AffectedCell, ...]) -> None:
        """Merge the outage into one that holds or precedes it, or confirm it."""
        settled = self._open.merge(own, narrowed_cells)
        if settled is None:
            return
        if settled.may_be_confirmed:
            confirm_or_hold(settled, own.parts, self._voters.deciding, self._presence, self._now_us)
        settled.replays.update(self._candidate.replays)
        reconsider(settled, self._presence, self._now_us)
