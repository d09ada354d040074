"""Find the cells of a collector block in which nobody found another way.

Theory of operation. People who lose a blocked entrance find another one within minutes, and their
words explain the silence of all who lost it. But a state may cut phones in the minute in which it
blocks our address for lines. Then everybody with a line is back, and no phone is. Where so few of a
cell have evaded that the rest of the block makes it no chance, the words of the others say nothing
of it: the block keeps the cells of those who tell, and the others are a silence beside it. It
is only suspected, since a censor may close every entrance in one network and one in another; what
its people tell when they are back decides.
"""

from collections.abc import Collection, Sequence

from heliograph.units import HOUR_US
from heliograph_collector.detect.silence.brackets import bracket_onset
from heliograph_collector.detect.silence.cell_members import select_inside
from heliograph_collector.detect.silence.explanation import BLOCK_DETECTED_US
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits, sum_silent
from heliograph_collector.detect.stats.localization import localize
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.detect.stats.voting import count_votes, is_established
from heliograph_collector.incidents.incident import HoldReason, incident_id
from heliograph_collector.model.scope import AffectedCell, enclosing_scope
from heliograph_collector.model.thresholds import Thresholds

_UNEVADED_SHARE = 0.9  # of a cell, of which a few may be back over a satellite; assumed
_CHANCE = 1e-4  # that so few of a cell find the way that the others find; assumed
_MOST_EVADED = 0.95  # of the others, so that a late one is no proof; assumed
_LATEST_US = HOUR_US  # after the block began; later people have gone to bed; assumed


def split_unevaded_cells(
    outages: Sequence[OutageEpisode], presence: PresenceTracker, now_us: int
) -> list[OutageEpisode]:
    """Take the unevaded cells out of open blocks; return them as suspected silences.

    Args:
        outages: The open outages of one country.
        presence: The tracked vantages.
        now_us: The time of the evaluation.
    """
    silences: list[OutageEpisode] = []
    for block in outages:
        silent_us = now_us - block.started.latest_us
        if block.is_block and not block.carrier and BLOCK_DETECTED_US < silent_us < _LATEST_US:
            others = [outage for outage in outages if not outage.is_block]
            people = _list_people(block, [*others, *silences], presence, now_us)
            silences += _split_block(block, people, now_us)
    return silences


def _list_people(
    block: OutageEpisode,
    others: Sequence[OutageEpisode],
    presence: PresenceTracker,
    now_us: int,
) -> list[VantagePresence]:
    """List established people in a block, live or silent, whom no other outage holds."""
    return [
        v
        for v in presence.list_country(block.country)
        if v.place.access != "hosting"
        and (v.is_live or v.is_silent)
        and block.holds(v.place)
        and not any(outage.holds(v.place) for outage in others)
        and is_established(v.witness, now_us, block.limits)
    ]


def _split_block(
    block: OutageEpisode, people: Sequence[VantagePresence], now_us: int
) -> list[OutageEpisode]:
    limits = block.limits
    lost = [v for v in people if v.lost_us >= block.from_us and not v.deferred]
    stuck = {v.witness.nym for v in lost if _is_stuck(v, block)}
    if len(stuck) < limits.votes or len(stuck) == len(lost):
        return []
    votes = count_votes((v.witness, v.witness.nym in stuck) for v in lost)
    cells = tuple(
        cell
        for cell in localize(votes, _UNEVADED_SHARE, limits.votes, limits)
        if _is_no_chance(cell, people, lost, stuck, limits)
    )
    if not cells:
        return []
    silent = select_inside(cells, lost)
    names = {v.witness.nym for v in silent}
    others = count_votes((v.witness, v.witness.nym not in names) for v in lost)
    rest = localize(others, limits.confirm_share, limits.burst, limits)
    if rest and not any(cell.scope.is_national for cell in rest):
        block.parts = rest
    return [_open_silence(block, cells, silent, now_us)]


def _is_stuck(vantage: VantagePresence, block: OutageEpisode) -> bool:
    """Return whether it is silent without a return or a report by another way."""
    report = block.replays.get(vantage.witness.nym)
    return vantage.is_silent and not vantage.is_rerouted and not (report and report.online)


def _is_no_chance(
    cell: AffectedCell,
    people: Sequence[VantagePresence],
    lost: Sequence[VantagePresence],
    stuck: Collection[str],
    limits: Thresholds,
) -> bool:
    """Return whether a cell is dark, and others evade too often for that by chance."""
    inside = select_inside([cell], lost)
    others = [v for v in lost if not cell.scope.includes(v.place)]
    is_dark = sum_silent(select_inside([cell], people)).share >= limits.confirm_share
    if not others or not is_dark:
        return False
    stuck_share = count_hits(others, [v.witness.nym in stuck for v in others]).share
    chance = max(stuck_share, 1.0 - _MOST_EVADED)
    count = count_hits(inside, [v.witness.nym in stuck for v in inside])
    return upper_tail([chance] * round(count.votes), round(count.hits)) <= _CHANCE


def _open_silence(
    block: OutageEpisode,
    cells: tuple[AffectedCell, ...],
    silent: Sequence[VantagePresence],
    now_us: int,
) -> OutageEpisode:
    started = bracket_onset(silent, block.limits)
    scope = enclosing_scope(cell.scope for cell in cells)
    return OutageEpisode(
        id=incident_id("silence", "", scope, started, (v.witness.nym for v in silent)),
        country=block.country,
        parts=cells,
        started=started,
        from_us=block.from_us,
        suspected_us=now_us,
        certainty=block.limits.low,
        limits=block.limits,
        held=(HoldReason.CARRIER,),
        is_doubted=True,
    )
