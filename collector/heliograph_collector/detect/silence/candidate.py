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
)
from heliograph_collector.detect.stats.localization import localize, narrow_cells
from heliograph_collector.detect.stats.voting import count_votes, established_votes
from heliograph_collector.incidents.incident import IncidentState, incident_id
from heliograph_collector.model.scope import AffectedCell, enclosing_scope
from heliograph_collector.model.signals import VantageRef
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
            recent = [vantage for vantage in silences if vantage.lost_us >= since_us]
            if find_bursts(presence, country, recent, window_s, now_us):
                burst_us = min(vantage.lost_us for vantage in recent)
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
        limits = presence.limits
        elapsed_s = (now_us - self.hold_us(limits)) / SECOND_US
        recent_outages = self._recent_outages(outages, now_us, presence)
        self.from_us = min([self.burst_us, *(outage.from_us for outage in recent_outages)])
        vantages = presence.select(self.country, self._is_participant)
        apart_us = int(limits.spread_s * SECOND_US)
        common_fault = confounders.has_common_mode(presence, self.country, self.burst_us - apart_us)
        self.gated = common_fault is True or confounders.is_one_carrier(vantages, limits)
        is_late = now_us - self.found_us >= limits.give_up_s * SECOND_US
        if self.gated:
            return (
                self._withdraw(now_us, CandidateOutcome.GATED)
                if is_late
                else CandidateOutcome.PENDING
            )
        votes, is_established = established_votes(_votes(vantages), now_us, limits)
        if elapsed_s >= limits.hold_s and self._is_confined(presence, now_us):
            cells = localize(votes, limits.confirm_share, limits.votes, limits)
            is_low = any(part.votes < limits.few for part in cells)
            cells = self._significant_cells(presence, cells, vantages, now_us)
            if cells and (elapsed_s >= limits.hold_low_s or not is_low):
                is_power = confounders.is_power_failure(cells, vantages, limits)
                confidence = self._confidence(presence, cells, common_fault, is_established)
                self._open_outage(presence, outages, cells, vantages, now_us, confidence)
                presence.exclude_from_churn(
                    s
                    for s in vantages
                    if s.status is PresenceStatus.SILENT and _is_in_cells(cells, s)
                )
                self._assign_outage(
                    presence, recent_outages, outages, narrow_cells(cells, votes), now_us, is_power
                )
                return CandidateOutcome.SETTLED
        return self._suspect(presence, outages, vantages, now_us, is_late)

    def _is_confined(self, presence: PresenceTracker, now_us: int) -> bool:
        """Return whether no other countries begin too, or `spread_hold_s` has passed."""
        waited_s = (now_us - self.burst_us) / SECOND_US
        if waited_s >= presence.limits.spread_hold_s:
            return True
        return not confounders.is_spreading(presence, self.country, self.burst_us)

    def _suspect(
        self,
        presence: PresenceTracker,
        outages: list[OutageEpisode],
        vantages: Sequence[VantagePresence],
        now_us: int,
        is_late: bool,
    ) -> CandidateOutcome:
        limits = presence.limits
        share = limits.confirm_share if is_late else limits.suspect_share
        cells = localize(count_votes(_votes(vantages)), share, limits.burst, limits)
        cells = self._significant_cells(presence, cells, vantages, now_us)
        if not cells or self._is_covered(outages, cells):
            return (
                self._withdraw(now_us, CandidateOutcome.DROPPED)
                if is_late
                else CandidateOutcome.PENDING
            )
        self._open_outage(presence, outages, cells, vantages, now_us, limits.low)
        if is_late and self.dark:
            self.dark.held = (confounders.FEW,)
        return CandidateOutcome.SETTLED if is_late else CandidateOutcome.PENDING

    def _is_participant(self, vantage: VantagePresence) -> bool:
        return vantage.status is PresenceStatus.LIVE or (
            vantage.status is PresenceStatus.SILENT
            and not vantage.deferred
            and vantage.lost_us >= self.from_us
        )

    def _recent_outages(
        self, outages: Sequence[OutageEpisode], now_us: int, presence: PresenceTracker
    ) -> list[OutageEpisode]:
        """Return open outages of the country that this one may extend."""
        since_us = now_us - int(presence.limits.join_s * SECOND_US)
        return [
            outage
            for outage in outages
            if outage.is_open
            and outage is not self.dark
            and outage.country == self.country
            and max(outage.grown_us, outage.suspected_us) >= since_us
        ]

    def _significant_cells(
        self,
        presence: PresenceTracker,
        affected: Sequence[AffectedCell],
        vantages: Sequence[VantagePresence],
        now_us: int,
    ) -> tuple[AffectedCell, ...]:
        """Return the cells that stand out by this burst.

        Cells of the candidate's own outage have stood out before and are not tested again.
        """
        if self.dark is not None and self.dark.contains(affected):
            return tuple(affected)
        new_silences = [
            s for s in vantages if s.status is PresenceStatus.SILENT and s.lost_us >= self.burst_us
        ]
        limits = presence.limits
        cell_count = presence.live_cell_counts[self.country]
        window_s = self.window_s + (now_us - self.found_us) / SECOND_US
        return tuple(
            part
            for part in affected
            if burst_tail(presence, part.scope, new_silences, window_s, now_us)
            <= tail_limit(part.scope, cell_count, limits)
        )

    def _confidence(
        self,
        presence: PresenceTracker,
        cells: Sequence[AffectedCell],
        common_fault: bool | None,
        is_established: bool,
    ) -> float:
        limits = presence.limits
        votes = sum(cell.votes for cell in cells)
        agreement = sum(cell.votes * cell.share for cell in cells) / (votes + 1)
        caps = [limits.most, agreement]
        caps += [limits.low] if votes < limits.few or not is_established else []
        caps += [limits.unwitnessed] if common_fault is None else []
        return round(min(caps), 3)

    def _open_outage(
        self,
        presence: PresenceTracker,
        outages: list[OutageEpisode],
        cells: tuple[AffectedCell, ...],
        vantages: Sequence[VantagePresence],
        now_us: int,
        confidence: float,
    ) -> None:
        silent = [
            s for s in vantages if s.status is PresenceStatus.SILENT and _is_in_cells(cells, s)
        ]
        heard_times_us = [s.heard_us for s in silent]
        burst_times_us = [s.heard_us for s in silent if s.lost_us >= self.burst_us]
        started = bracket_onset(burst_times_us or heard_times_us, presence.limits)
        if self.dark is None:
            self.dark = OutageEpisode(
                id=incident_id("silence", "", enclosing_scope(p.scope for p in cells), started),
                country=self.country,
                parts=cells,
                started=started,
                from_us=self.burst_us,
                suspected_us=now_us,
                confidence=confidence,
                limits=presence.limits,
            )
            outages.append(self.dark)
        outage = self.dark
        outage.parts = cells
        outage.started = started
        outage.confidence = confidence
        outage.grown_us = now_us

    def _is_covered(self, outages: Sequence[OutageEpisode], cells: Sequence[AffectedCell]) -> bool:
        """Return whether another open outage contains the cells."""
        return any(
            outage.is_open
            and outage is not self.dark
            and outage.country == self.country
            and outage.contains(cells)
            for outage in outages
        )

    def _assign_outage(
        self,
        presence: PresenceTracker,
        recent_outages: Sequence[OutageEpisode],
        outages: list[OutageEpisode],
        narrowed_cells: tuple[AffectedCell, ...],
        now_us: int,
        is_power: bool,
    ) -> None:
        """Merge the outage into one that holds or precedes it, or confirm it."""
        own = self.dark
        if own is None:
            return
        enclosing = self._enclosing_outage(outages, own, now_us)
        if enclosing is not None:
            outages.remove(own)
            if enclosing.had_reopened(narrowed_cells):  # else these are late losses of its cut
                enclosing.resume(narrowed_cells, own.started, now_us)
        elif recent_outages:
            earliest = recent_outages[0]
            earliest.parts = _merge_cells(presence, earliest.parts, own.parts)
            earliest.grown_us = now_us
            earliest.confidence = max(earliest.confidence, own.confidence)
            if earliest.state is IncidentState.SUSPECTED and not is_power:
                earliest.confirm(now_us)
            outages.remove(own)
        elif is_power:
            own.held = (confounders.POWER,)
        else:
            own.confirm(now_us)

    def _enclosing_outage(
        self, outages: Sequence[OutageEpisode], own: OutageEpisode, now_us: int
    ) -> OutageEpisode | None:
        """Return the narrowest outage that holds it, open or closed within `resume_s`."""
        since_us = now_us - int(own.limits.resume_s * SECOND_US)
        enclosing = [
            outage
            for outage in outages
            if outage is not own
            and outage.country == self.country
            and outage.contains(own.parts)
            and (
                outage.is_open
                or (outage.state is IncidentState.CLOSED and (outage.closed_us or 0) >= since_us)
            )
        ]
        return max(
            enclosing,
            key=lambda d: (min(p.scope.named_fields for p in d.parts), d.suspected_us),
            default=None,
        )

    def _withdraw(self, now_us: int, outcome: CandidateOutcome) -> CandidateOutcome:
        if self.dark is not None:
            self.dark.state = IncidentState.WITHDRAWN
            self.dark.closed_us = now_us
        return outcome


def _votes(vantages: Sequence[VantagePresence]) -> list[tuple[VantageRef, bool]]:
    return [(vantage.witness, vantage.status is PresenceStatus.SILENT) for vantage in vantages]


def _is_in_cells(cells: Sequence[AffectedCell], vantage: VantagePresence) -> bool:
    return any(cell.scope.includes(vantage.witness.place) for cell in cells)


def _merge_cells(
    presence: PresenceTracker,
    first_cells: Sequence[AffectedCell],
    second_cells: Sequence[AffectedCell],
) -> tuple[AffectedCell, ...]:
    """Merge cells, without those that lie in another by scope or by their vantages.

    For example, an operator with only mobile vantages is no second part beside the mobile cell.
    """
    all_cells = sorted([*second_cells, *first_cells], key=lambda cell: cell.scope.named_fields)
    merged: list[AffectedCell] = []
    for cell in all_cells:
        if not any(_is_inside(presence, cell, merged_cell) for merged_cell in merged):
            merged.append(cell)
    return tuple(merged)


def _is_inside(presence: PresenceTracker, cell: AffectedCell, outer: AffectedCell) -> bool:
    if cell.scope.is_within(outer.scope):
        return True
    members = presence.select(
        cell.scope.country,
        lambda s: s.status is not PresenceStatus.AWAY and cell.scope.includes(s.witness.place),
    )
    return bool(members) and all(outer.scope.includes(s.witness.place) for s in members)
