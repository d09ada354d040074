"""Outage candidate: a burst of silences that chance does not explain.

Theory of operation. A candidate opens when `find_bursts` names a cell, and it is pending until:

- settled: after `hold_s` (`hold_low_s` in a cell of few votes) `confirm_share` of the cell's votes
  are still silent. Its outage is confirmed, merged with an outage that it extends, or held because
  it looks like a power failure. After `give_up_s` a cell that lacks only votes settles too: its
  outage stays suspected.
- dropped: after `give_up_s` no cell stands out. Its outage is withdrawn.
- gated: after `give_up_s` a confounder still explains the silences: other countries fall silent
  too, or one carrier alone does. Its outage is withdrawn, and the time is a coverage gap.

While it is pending, a cell of which `suspect_share` is silent is published as suspected. It waits
because short disturbances end within `hold_s`, and because a fault of the collector may reach other
countries later (`spread_hold_s`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.burst_test import burst_tail, find_bursts, tail_limit
from heliograph_collector.detect.silence.outage import OutageEpisode, bracket_onset
from heliograph_collector.detect.silence.presence_tracker import (
    PresenceStatus,
    PresenceTracker,
    VantagePresence,
    count_silent,
    select_established,
    select_voting,
)
from heliograph_collector.detect.stats.localization import attach_persons, localize, narrow_cells
from heliograph_collector.detect.stats.voting import is_established
from heliograph_collector.incidents.incident import IncidentState, incident_id
from heliograph_collector.model.scope import AffectedCell, enclosing_scope
from heliograph_collector.model.thresholds import Thresholds


class CandidateOutcome(Enum):
    """The result of one evaluation; all but PENDING end the candidate."""

    PENDING = 1
    SETTLED = 2
    DROPPED = 3
    GATED = 4  # explained by a confounder


@dataclass(slots=True)
class OutageCandidate:
    """A candidate of one country; silences since `from_us` belong to it."""

    country: str
    found_us: int  # time of the burst test
    burst_us: int  # first silence of the burst
    from_us: int
    window_s: float
    dark: OutageEpisode | None = None  # the outage that it has published
    gated: bool = False

    @classmethod
    def from_burst(
        cls,
        presence: PresenceTracker,
        country: str,
        silences: Sequence[VantagePresence],
        now_us: int,
    ) -> "OutageCandidate | None":
        """Open a candidate; return None if chance explains the silences."""
        limits = presence.limits
        if len(silences) < limits.burst:
            return None
        for window_s in limits.windows_s:
            since_us = now_us - int(window_s * SECOND_US)
            recent = [s for s in silences if s.lost_us >= since_us]
            if find_bursts(presence, country, recent, window_s):
                burst_us = min(s.lost_us for s in recent)
                return cls(country, now_us, burst_us, burst_us, window_s)
        return None

    def hold_us(self, limits: Thresholds) -> int:
        """Return the time from which the hold is counted.

        It is the burst's first silence, but at most a heartbeat before the burst test, because
        silences of one cut are detected within a heartbeat of each other.
        """
        return max(self.burst_us, self.found_us - int(limits.beat_s * SECOND_US))

    def deadlines(self, limits: Thresholds) -> tuple[int, ...]:
        """Return the times of evaluations without a new signal."""
        holds = sorted({limits.hold_s, 45.0, limits.hold_low_s, 90.0, 120.0, 150.0})
        dues = [self.hold_us(limits) + int(s * SECOND_US) for s in holds]
        return (*dues, self.found_us + int(limits.give_up_s * SECOND_US))

    def evaluate(
        self, presence: PresenceTracker, outages: list[OutageEpisode], now_us: int
    ) -> CandidateOutcome:
        """Evaluate the candidate; a new episode is appended to `outages`."""
        return _Evaluation(self, presence, outages, now_us).decide()


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
        self._outages = outages
        self._now_us = now_us
        self._is_late = now_us - candidate.found_us >= self._limits.give_up_s * SECOND_US
        self._others = [  # other outages of the country
            o for o in outages if o is not candidate.dark and o.country == candidate.country
        ]
        since_us = now_us - int(self._limits.join_s * SECOND_US)
        self._extended = [  # open outages that this one may extend
            o for o in self._others if o.is_open and max(o.grown_us, o.suspected_us) >= since_us
        ]
        candidate.from_us = min([candidate.burst_us, *(o.from_us for o in self._extended)])
        vantages = [
            s
            for s in presence.list_country(candidate.country)
            if s.is_live or (s.is_silent and not s.deferred and s.lost_us >= candidate.from_us)
        ]
        # All vantages with a vote make a suspicion; only established ones confirm.
        self._vantages = select_voting(vantages, now_us, self._limits)
        self._deciding, self._is_established = select_established(
            self._vantages, now_us, self._limits, self._limits.votes
        )

    def decide(self) -> CandidateOutcome:
        candidate = self._candidate
        limits = self._limits
        elapsed_s = (self._now_us - candidate.hold_us(limits)) / SECOND_US
        since_us = candidate.burst_us - int(limits.spread_s * SECOND_US)
        common_fault = confounders.has_common_mode(self._presence, candidate.country, since_us)
        candidate.gated = common_fault is True or confounders.is_one_carrier(self._deciding, limits)
        if candidate.gated:
            return self._withdraw_if_late(CandidateOutcome.GATED)
        if self._is_established and elapsed_s >= limits.hold_s and self._is_confined():
            votes = count_silent(self._deciding)
            cells = localize(votes, limits.confirm_share, limits.votes, limits)
            is_low = any(cell.votes < limits.few for cell in cells)
            cells = self._attach_persons(self._select_significant(cells, self._deciding))
            if cells and (elapsed_s >= limits.hold_low_s or not is_low):
                confidence = self._compute_confidence(cells, common_fault)
                outage = self._update_outage(cells, confidence, self._deciding)
                self._presence.exclude_from_churn(_list_silent(cells, self._vantages))
                is_power = confounders.is_power_failure(cells, self._deciding, limits)
                self._settle_outage(outage, narrow_cells(cells, votes), is_power)
                return CandidateOutcome.SETTLED
        return self._suspect()

    def _is_confined(self) -> bool:
        """Return whether no other countries begin too, or `spread_hold_s` has passed."""
        burst_us = self._candidate.burst_us
        if (self._now_us - burst_us) / SECOND_US >= self._limits.spread_hold_s:
            return True
        return not confounders.is_spreading(self._presence, self._candidate.country, burst_us)

    def _suspect(self) -> CandidateOutcome:
        limits = self._limits
        share = limits.confirm_share if self._is_late else limits.suspect_share
        cells = self._attach_persons(
            self._select_significant(
                localize(count_silent(self._vantages), share, limits.burst, limits), self._vantages
            )
        )
        if not cells or any(o.is_open and o.contains(cells) for o in self._others):
            return self._withdraw_if_late(CandidateOutcome.DROPPED)
        outage = self._update_outage(cells, limits.low, self._vantages)
        if not self._is_late:
            return CandidateOutcome.PENDING
        is_few = any(cell.votes < limits.votes for cell in cells)
        outage.held = (confounders.FEW if is_few else confounders.YOUNG,)
        return CandidateOutcome.SETTLED

    def _withdraw_if_late(self, outcome: CandidateOutcome) -> CandidateOutcome:
        if not self._is_late:
            return CandidateOutcome.PENDING
        outage = self._candidate.dark
        if outage is not None:
            outage.state = IncidentState.WITHDRAWN
            outage.closed_us = self._now_us
        return outcome

    def _select_significant(
        self, affected: Sequence[AffectedCell], vantages: Sequence[VantagePresence]
    ) -> tuple[AffectedCell, ...]:
        """Return the cells that stand out by this burst.

        Cells of the candidate's own outage have stood out before and are not tested again.
        """
        candidate = self._candidate
        if candidate.dark is not None and candidate.dark.contains(affected):
            return tuple(affected)
        new_silences = [s for s in vantages if s.is_silent and s.lost_us >= candidate.burst_us]
        cell_count = self._presence.live_cell_counts[candidate.country]
        window_s = candidate.window_s + (self._now_us - candidate.found_us) / SECOND_US
        return tuple(
            cell
            for cell in affected
            if burst_tail(self._presence, cell.scope, new_silences, window_s)
            <= tail_limit(cell.scope, cell_count, self._limits)
        )

    def _attach_persons(self, cells: Sequence[AffectedCell]) -> tuple[AffectedCell, ...]:
        established = [
            v for v in self._vantages if is_established(v.witness, self._now_us, self._limits)
        ]
        return attach_persons(cells, count_silent(established))

    def _compute_confidence(
        self, cells: Sequence[AffectedCell], common_fault: bool | None
    ) -> float:
        limits = self._limits
        votes = sum(cell.votes for cell in cells)
        agreement = sum(cell.votes * cell.share for cell in cells) / (votes + 1)
        caps = [limits.most, agreement]
        caps += [limits.low] if votes < limits.few else []
        caps += [limits.unwitnessed] if common_fault is None else []
        return round(min(caps), 3)

    def _update_outage(
        self,
        cells: tuple[AffectedCell, ...],
        confidence: float,
        vantages: Sequence[VantagePresence],
    ) -> OutageEpisode:
        """Update the candidate's outage, or open it."""
        candidate = self._candidate
        silent = _list_silent(cells, vantages)
        burst_times_us = [s.heard_us for s in silent if s.lost_us >= candidate.burst_us]
        started = bracket_onset(burst_times_us or [s.heard_us for s in silent], self._limits)
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
                confidence=confidence,
                limits=self._limits,
            )
            self._outages.append(outage)
        outage.parts = cells
        outage.started = started
        outage.confidence = confidence
        outage.grown_us = self._now_us
        return outage

    def _settle_outage(
        self, own: OutageEpisode, narrowed_cells: tuple[AffectedCell, ...], is_power: bool
    ) -> None:
        """Merge the outage into one that holds or precedes it, or confirm it."""
        enclosing = self._find_enclosing(own)
        if enclosing is not None:
            self._outages.remove(own)
            if enclosing.had_reopened(narrowed_cells):  # else these are late losses of its cut
                enclosing.resume(narrowed_cells, own.started, self._now_us)
        elif self._extended:
            earliest = self._extended[0]
            earliest.parts = _merge_cells(self._presence, earliest.parts, own.parts)
            earliest.grown_us = self._now_us
            earliest.confidence = max(earliest.confidence, own.confidence)
            if earliest.state is IncidentState.SUSPECTED and not is_power:
                earliest.confirm(self._now_us)
            self._outages.remove(own)
        elif is_power:
            own.held = (confounders.POWER,)
        else:
            own.confirm(self._now_us)

    def _find_enclosing(self, own: OutageEpisode) -> OutageEpisode | None:
        """Find the narrowest outage that holds it, open or closed within `resume_s`."""
        since_us = self._now_us - int(self._limits.resume_s * SECOND_US)
        enclosing = [
            outage
            for outage in self._others
            if outage.contains(own.parts)
            and (
                outage.is_open
                or (outage.state is IncidentState.CLOSED and (outage.closed_us or 0) >= since_us)
            )
        ]
        return max(enclosing, key=_narrowness, default=None)


def _list_silent(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence]
) -> list[VantagePresence]:
    return [
        s for s in vantages if s.is_silent and any(cell.scope.includes(s.place) for cell in cells)
    ]


def _narrowness(outage: OutageEpisode) -> tuple[int, int]:
    return min(cell.scope.named_fields for cell in outage.parts), outage.suspected_us


def _count_named_fields(cell: AffectedCell) -> int:
    return cell.scope.named_fields


def _merge_cells(
    presence: PresenceTracker,
    first_cells: Sequence[AffectedCell],
    second_cells: Sequence[AffectedCell],
) -> tuple[AffectedCell, ...]:
    """Merge cells, without those that lie in another by scope or by their vantages.

    For example, an operator with only mobile vantages is no second part beside the mobile cell.
    """
    merged: list[AffectedCell] = []
    for cell in sorted([*second_cells, *first_cells], key=_count_named_fields):
        if not any(_is_inside(presence, cell, merged_cell) for merged_cell in merged):
            merged.append(cell)
    return tuple(merged)


def _is_inside(presence: PresenceTracker, cell: AffectedCell, outer: AffectedCell) -> bool:
    if cell.scope.is_within(outer.scope):
        return True
    locations = {
        s.place
        for s in presence.list_country(cell.scope.country)
        if s.status is not PresenceStatus.AWAY and cell.scope.includes(s.place)
    }
    return bool(locations) and all(map(outer.scope.includes, locations))
