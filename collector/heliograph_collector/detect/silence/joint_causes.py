"""Split an outage that is a power failure in some regions and a cut in others.

Theory of operation. What falls silent in one minute is one outage at first. Its people tell of its
cause when they are back, and a cause belongs to places: where machines of some regions began again,
or went to their batteries, and none of others did, though all of these measured in the silence, the
grid failed in the former alone. Lines are compared, because phones have batteries. In a failure
some machines are laptops, which measure behind a dead router; in a cut of hours some people restart
theirs. So the regions must differ by more than chance makes of either. The outage keeps the regions
of its kind, and the others become an outage beside it, with their own end.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from heliograph_collector.detect.silence.brackets import bracket_onset, bracket_return
from heliograph_collector.detect.silence.explanation import weigh_evidence
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.reconsideration import reconsider
from heliograph_collector.detect.silence.silence_evidence import SilenceEvidence
from heliograph_collector.detect.silence.unevaded_cells import split_unevaded_cells
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.localization import localize
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.detect.stats.voting import count_votes, is_established
from heliograph_collector.incidents.incident import (
    IncidentKind,
    IncidentState,
    PhaseChange,
    PhaseDirection,
    incident_id,
)
from heliograph_collector.model.scope import AffectedCell, enclosing_scope
from heliograph_collector.model.thresholds import Thresholds

# Assumed, all of them:
_CHANCE = 1e-4  # that regions of one cause differ so
_FAILED_SHARE = 0.34  # of a region's lines with evidence, whose power failed
_RESTARTED = 0.05  # of machines in a cut, which people restart


@dataclass(frozen=True, slots=True)
class _Region:
    """A region's established silent people, and the evidence of its lines."""

    people: Sequence[VantagePresence]
    lines: SilenceEvidence

    @property
    def tellers(self) -> float:
        return self.lines.powerless + self.lines.powered

    @property
    def has_failed(self) -> bool:
        return self.lines.powerless >= max(2.0, _FAILED_SHARE * self.tellers)

    @property
    def had_power(self) -> bool:
        return self.tellers > 0 and self.lines.powerless <= _RESTARTED * self.tellers


def split_outages(
    outages: Sequence[OutageEpisode], presence: PresenceTracker, now_us: int
) -> list[OutageEpisode]:
    """Split off the parts of a country's outages with other causes, as new outages.

    Args:
        outages: Those that are open, or were until lately.
        presence: The tracked vantages.
        now_us: The time of the evaluation.
    """
    new = split_unevaded_cells([o for o in outages if o.is_open], presence, now_us)
    confirmed = (o for o in outages if o.confirmed_us and o.state is not IncidentState.WITHDRAWN)
    for outage in confirmed:
        new += _split_by_power(outage, presence, now_us)
    return new


def _split_by_power(
    outage: OutageEpisode, presence: PresenceTracker, now_us: int
) -> list[OutageEpisode]:
    limits = outage.limits
    signs = outage.evidence.powerless, outage.evidence.powered
    if outage.is_block or min(signs) < limits.witnesses:
        return []  # as nearly always
    if _fell_again(outage):
        return []
    regions = _list_regions(outage, presence, now_us)
    failed = [region for region in regions if region.has_failed]
    cut = [region for region in regions if region.had_power]
    if not _differ(failed, cut, limits.votes):
        return []
    is_failure = outage.kind is IncidentKind.POWER
    moved = _list_people(cut if is_failure else failed)
    names = {vantage.witness.nym for vantage in moved}
    remaining = [v for v in _list_people(regions) if v.witness.nym not in names]
    people = presence.list_recent(outage.country, outage.from_us)
    parts = _localize(people, moved, limits)
    rest = _localize(people, remaining, limits)
    if not parts or not rest:
        return []
    beside = _open_beside(outage, parts, moved, now_us)
    beside.kind = IncidentKind.SILENCE if is_failure else IncidentKind.POWER
    outage.parts = rest
    outage.started = bracket_onset(remaining, limits)
    _end_if_back(outage, remaining, now_us)
    for episode in (outage, beside):
        episode.turns = _select_turns(episode)
        reconsider(episode, presence, now_us)
    return [beside]


def _fell_again(outage: OutageEpisode) -> bool:
    """Return whether a part of it fell after an opening."""
    ways = [turn.way for turn in outage.turns]
    if PhaseDirection.OPENING not in ways:
        return False
    return PhaseDirection.CUT in ways[ways.index(PhaseDirection.OPENING) :]


def _list_regions(outage: OutageEpisode, presence: PresenceTracker, now_us: int) -> list[_Region]:
    by_region: defaultdict[str, list[VantagePresence]] = defaultdict(list)
    for vantage in outage.list_silenced(presence, now_us):
        if is_established(vantage.witness, now_us, outage.limits):
            by_region[vantage.place.region].append(vantage)
    regions: list[_Region] = []
    for people in by_region.values():
        lines = [vantage for vantage in people if vantage.place.access == "fixed"]
        evidence = weigh_evidence(
            lines, outage.replays, now_us, outage.limits, is_grid=True, since_us=outage.from_us
        )
        regions.append(_Region(people, evidence))
    return regions


def _list_people(regions: Iterable[_Region]) -> list[VantagePresence]:
    return [vantage for region in regions for vantage in region.people]


def _differ(failed: Sequence[_Region], cut: Sequence[_Region], least: float) -> bool:
    """Return whether two groups differ by more than chance, at the rate of either."""
    began, tellers = _sum_signs(failed)
    restarted, others = _sum_signs(cut)
    if min(tellers, others) < least:
        return False
    rate = max(restarted / others, _RESTARTED)
    had_power = [1.0 - began / tellers] * round(others)
    is_chance_cut = upper_tail(had_power, round(others - restarted)) > _CHANCE
    return not is_chance_cut and upper_tail([rate] * round(tellers), round(began)) <= _CHANCE


def _sum_signs(regions: Sequence[_Region]) -> tuple[float, float]:
    """Return the votes of lines whose power failed, and of all lines with evidence."""
    return sum(r.lines.powerless for r in regions), sum(r.tellers for r in regions)


def _localize(
    people: Sequence[VantagePresence], members: Sequence[VantagePresence], limits: Thresholds
) -> tuple[AffectedCell, ...]:
    """Name the cells of members, beside all that live in the country or fell since."""
    names = {vantage.witness.nym for vantage in members}
    votes = count_votes((v.witness, v.witness.nym in names) for v in people)
    return localize(votes, limits.confirm_share, limits.burst, limits)


def _open_beside(
    outage: OutageEpisode,
    parts: tuple[AffectedCell, ...],
    people: Sequence[VantagePresence],
    now_us: int,
) -> OutageEpisode:
    started = bracket_onset(people, outage.limits)
    scope = enclosing_scope(cell.scope for cell in parts)
    beside = replace(
        outage,
        id=incident_id("silence", "", scope, started, (v.witness.nym for v in people)),
        parts=parts,
        started=started,
        suspected_us=now_us,
        kinds=[],
        turns=list(outage.turns),
        replays=dict(outage.replays),
        state=IncidentState.CONFIRMED,
        ended=None,
        closed_us=None,
    )
    beside.confirm(now_us)
    _end_if_back(beside, people, now_us)
    return beside


def _end_if_back(outage: OutageEpisode, people: Sequence[VantagePresence], now_us: int) -> None:
    """End an outage by itself whose people are back: nothing changes there any more."""
    back = [vantage for vantage in people if not vantage.is_silent]
    if len(back) < outage.limits.confirm_share * len(people):
        return
    outage.state = IncidentState.CLOSED
    outage.closed_us = now_us
    outage.ended = bracket_return([vantage.back_us for vantage in back], outage.limits)


def _select_turns(outage: OutageEpisode) -> list[PhaseChange]:
    """Select the phases of what an outage has kept, of which its end is none."""
    inside = [t for t in outage.turns if outage.contains(t.parts)]
    is_over = outage.closed_us is not None
    return [t for t in inside if not (is_over and t.way is PhaseDirection.OPENING)]
