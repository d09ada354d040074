"""Promote a confirmed fall: create an outage, or grow an open one to include it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.detect.level.cell_counts import is_absent, select_counted
from heliograph_collector.detect.level.cuts_in_habits import has_lasted
from heliograph_collector.detect.level.dead_link_reports import list_returned
from heliograph_collector.detect.level.fall import SAMPLE_US, LevelFall
from heliograph_collector.detect.silence.brackets import bracket_onset, bracket_return
from heliograph_collector.detect.silence.cell_members import build_part
from heliograph_collector.detect.silence.explanation import weigh_evidence
from heliograph_collector.detect.silence.merging import find_new_cells, merge_cells
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.reconsideration import reconsider
from heliograph_collector.detect.silence.silent_carriers import list_silent_carrier_votes
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.incidents.incident import HoldReason, IncidentKind, IncidentState
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import Thresholds

METHOD = "level"
_MASTS_US = 12 * HOUR_US  # for which the batteries of masts last at most; assumed
_COVERED_SHARE = 0.5  # of an ended fall's time, covered by another outage; assumed


@dataclass(frozen=True, slots=True)
class ConfirmedFall:
    """Confirmed fall, the votes of its cell, and its live or newly silent vantages."""

    fall: LevelFall
    part: AffectedCell
    fallen: Sequence[VantagePresence]
    is_power: bool = False  # masts that fail after the lines, or machines that tell of it

    def promote(
        self, outages: Sequence[OutageEpisode], presence: PresenceTracker, now_us: int
    ) -> OutageEpisode | None:
        """Let an open outage inside it grow to it; return a new outage if there is none.

        A power failure grows an open one in its place, which may only be held as one. Both are
        then explained by what the machines of either tell.
        """
        limits = presence.limits
        certainty = self._compute_certainty(limits)
        if self.fall.closed_us is not None:
            return self._open_past_outage(certainty, limits, now_us)
        failures = list_power_failures(outages, self.fall) if self.is_power else []
        if failures:
            parts = merge_cells(presence, failures[0].parts, (self.part,))
            self._grow(failures[0], parts, limits, now_us)
            return None
        inside = [
            outage
            for outage in outages
            if outage.kind is IncidentKind.SILENCE
            and not self.fall.held
            and not has_lasted(outage, self.fall.started.earliest_us)
            and all(part.scope.is_within(self.fall.scope) for part in outage.parts)
        ]
        if not inside:
            return self._open_outage(certainty, limits, now_us)
        outage = min(inside, key=attrgetter("suspected_us"))
        self._grow(outage, (self.part,), limits, now_us)
        outage.certainty = max(outage.certainty, certainty)
        return None

    def _open_outage(self, certainty: float, limits: Thresholds, now_us: int) -> OutageEpisode:
        outage = OutageEpisode(
            id=self.fall.id,
            country=self.fall.scope.country,
            parts=(self.part,),
            started=self.fall.started,
            from_us=self.fall.started.earliest_us,
            counted_us=min((v.lost_us for v in self.fallen if v.is_silent), default=0),
            suspected_us=self.fall.suspected_us,
            certainty=certainty,
            limits=limits,
            ways=len(list_silent_carrier_votes(self.fallen)),
            method=METHOD,
            held=self.fall.held,
            is_doubted=self.fall.held == (HoldReason.COMMON,),
        )
        self._add_reports(outage)
        if not outage.held:
            outage.confirm(now_us)
        return outage

    def _open_past_outage(self, certainty: float, limits: Thresholds, now_us: int) -> OutageEpisode:
        """Open an ended outage, which its people reported after their return."""
        outage = self._open_outage(certainty, limits, now_us)
        returned = list_returned(self.fallen, self.fall.started.earliest_us)
        # People went to bed before it, and it was suspected for them.
        outage.started = bracket_onset(returned, limits)
        outage.ended = bracket_return([v.back_us for v in returned], limits)
        outage.closed_us = now_us - SAMPLE_US  # when it was seen to be over, and had to last
        outage.state = IncidentState.CLOSED
        return outage

    def _grow(
        self,
        outage: OutageEpisode,
        parts: tuple[AffectedCell, ...],
        limits: Thresholds,
        now_us: int,
    ) -> None:
        """Date the cells that it adds by those that fell silent outside the outage."""
        new_cells = find_new_cells(self.fallen, [outage], limits)
        outside = [v for v in self.fallen if v.is_silent and not outage.holds(v.place)]
        later = _select_later(outside, outage, limits)
        started = bracket_onset(later, limits) if later else outage.started
        outage.from_us = min(outage.from_us, self.fall.started.earliest_us)
        outage.grow(parts, new_cells or (self.part,), started, now_us)
        outage.method = METHOD
        self._add_reports(outage)
        if outage.may_be_confirmed and not self.is_power:
            outage.confirm(now_us)

    def _add_reports(self, outage: OutageEpisode) -> None:
        """Add what its people reported before it was known; they tell it once."""
        for vantage in self.fallen:
            has_fallen = vantage.lost_us >= self.fall.started.earliest_us
            if has_fallen and vantage.report and vantage.report.until_us > vantage.heard_us:
                outage.add_replay(vantage.report)

    def _compute_certainty(self, limits: Thresholds) -> float:
        part = self.part
        most = limits.unwitnessed if part.votes >= limits.few else limits.low
        return round(min(most, part.votes * part.share / (part.votes + 1)), 3)


def _select_later(
    outside: Sequence[VantagePresence], outage: OutageEpisode, limits: Thresholds
) -> Sequence[VantagePresence]:
    """Select vantages outside an outage that fell after its last step; all if few did.

    A step reaches a few beyond its cells, which are too few for cells of their own. They would date
    by hours ago what the others lost since, and make one step of two.
    """
    step = outage.turns[-1].when if outage.turns else outage.started
    since_us = step.latest_us + int(limits.windows_s[0] * SECOND_US)
    later = [v for v in outside if v.lost_us > since_us]
    return later if 2 * len(later) > len(outside) else outside


def list_power_failures(outages: Iterable[OutageEpisode], fall: LevelFall) -> list[OutageEpisode]:
    """List open outages that may be power failures in the places of a fall.

    The first comes first. Masts have batteries for hours, and lines none.
    """
    least_us = fall.started.earliest_us - _MASTS_US
    return sorted(
        (
            outage
            for outage in outages
            if (outage.kind is IncidentKind.POWER or HoldReason.POWER in outage.held)
            and outage.from_us >= least_us
            and any(part.scope.region in ("", fall.scope.region) for part in outage.parts)
        ),
        key=attrgetter("from_us"),
    )


def is_power_told(
    fall: LevelFall, fallen: Sequence[VantagePresence], limits: Thresholds, now_us: int
) -> bool:
    """Return whether a fall is held as a power failure that its machines report."""
    if fall.held != (HoldReason.POWER,):
        return False
    since_us = fall.started.earliest_us
    silenced = [v for v in fallen if v.lost_us >= since_us]
    evidence = weigh_evidence(silenced, {}, now_us, limits, is_grid=True, since_us=since_us)
    return evidence.silent >= limits.votes and evidence.explain(limits) is IncidentKind.POWER


def promote_falls(
    falls: Sequence[ConfirmedFall],
    outages: Sequence[OutageEpisode],
    presence: PresenceTracker,
    now_us: int,
) -> list[OutageEpisode]:
    """Let open outages grow to falls; return the new outages of all other falls."""
    new_outages: list[OutageEpisode] = []
    for fall in falls:
        outage = fall.promote([*outages, *new_outages], presence, now_us)
        if outage is not None:
            new_outages.append(outage)
            reconsider(outage, presence, now_us)
        presence.exclude_from_churn(v for v in fall.fallen if v.is_silent)
    return new_outages


def select_uncovered(
    new: Iterable[OutageEpisode], outages: Sequence[OutageEpisode]
) -> list[OutageEpisode]:
    """Select new outages that are open, or over and not covered by another outage."""
    return [
        outage
        for outage in new
        if outage.is_open or not any(_covers(other, outage) for other in outages)
    ]


def _covers(outage: OutageEpisode, past: OutageEpisode) -> bool:
    """Return whether an outage covers the place and most of the time of a past one.

    A cut of minutes as a night began says nothing of the night.
    """
    is_published = outage.confirmed_us is not None and outage.state is not IncidentState.WITHDRAWN
    if not is_published or outage.country != past.country or not outage.contains(past.parts):
        return False
    if past.ended is None:
        return True
    since_us = past.started.earliest_us
    until_us = past.ended.latest_us
    outage_until_us = until_us if outage.ended is None else outage.ended.latest_us
    covered_us = min(outage_until_us, until_us) - max(outage.started.earliest_us, since_us)
    return covered_us >= _COVERED_SHARE * (until_us - since_us)


def confirm_cuts_in_faults(
    outages: Iterable[OutageEpisode], presence: PresenceTracker, now_us: int
) -> None:
    """Confirm falls held for a fault of the collector that stay dark after it."""
    for outage in outages:
        if outage.method == METHOD and outage.held == (HoldReason.COMMON,):
            inside = [v for part in outage.parts for v in presence.list_inside(part.scope)]
            counted = list(select_counted(inside, now_us, presence.limits))
            if sum_silent(counted).share >= presence.limits.confirm_share:
                outage.confirm(now_us)


def darken_outages(
    outages: Sequence[OutageEpisode], presence: PresenceTracker, now_us: int
) -> None:
    """Update the dark share of outages that the level channel found."""
    for outage in outages:
        if outage.method == METHOD:
            outage.parts = tuple(
                _darken_part(part, outage.from_us, presence, now_us) for part in outage.parts
            )


def _darken_part(
    part: AffectedCell, since_us: int, presence: PresenceTracker, now_us: int
) -> AffectedCell:
    inside = select_counted(presence.list_inside(part.scope), now_us, presence.limits)
    fallen = [v for v in inside if not is_absent(v) or v.lost_us >= since_us]
    darker = build_part(part.scope, fallen)
    return darker if darker.votes * darker.share > part.votes * part.share else part
