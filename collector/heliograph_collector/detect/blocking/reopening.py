"""Reopen a block when it returns soon after its end, in the same cells and way.

A state may lift a block for minutes of each hour, and a service that changes its addresses works
until these are blocked too. That is one block with openings, not an incident for each of its parts.
"""

from collections.abc import Iterable, Sequence

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.joining import find_standing, join_block
from heliograph_collector.detect.blocking.other_countries import OtherCountries
from heliograph_collector.detect.phases import lead_with_onset
from heliograph_collector.incidents.incident import (
    Bracket,
    IncidentState,
    PhaseChange,
    PhaseDirection,
)
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import Thresholds

# Of the votes of the block that ended, where it is blocked again: less is another incident, whose
# headline must not name the whole. Assumed.
_AGAIN_SHARE = 0.5


def was_closed_lately(
    episodes: Iterable[BlockingEpisode],
    cells: Sequence[AffectedCell],
    now_us: int,
    limits: Thresholds,
) -> bool:
    """Return whether a block that touches these cells ended within `wary_s`."""
    since_us = now_us - int(limits.wary_s * SECOND_US)
    return any(
        earlier.state is IncidentState.CLOSED
        and (earlier.closed_us or 0) >= since_us
        and any(map(earlier.touches, cells))
        for earlier in episodes
    )


def confirm_block(
    episodes: list[BlockingEpisode],
    own: BlockingEpisode,
    cells: tuple[AffectedCell, ...],
    others: OtherCountries,
    now_us: int,
) -> None:
    """Confirm a suspected block for these cells, unless other countries fail with it.

    Where it continues another one, or is a part of one that stands, that one replaces it.

    Args:
        episodes: Those of the same service and country, with its own.
        own: The suspected one.
        cells: The cells that stand out.
        others: The votes of the other countries.
        now_us: The end of the bin.
    """
    if others.fail_with(own):
        own.mark_elsewhere(now_us)
        return
    if own.is_doubted(now_us):
        return
    standing = find_standing(episodes, own, cells, now_us)
    earlier = _find_interrupted(episodes, own, cells) if standing is None else None
    if standing is not None:
        episodes.remove(own)
        join_block(standing, own, cells, now_us)
    elif earlier is not None:
        episodes.remove(own)
        _resume(earlier, own, cells, now_us)
    else:
        own.confirm(cells, now_us)


def _find_interrupted(
    episodes: Iterable[BlockingEpisode], own: BlockingEpisode, cells: Sequence[AffectedCell]
) -> BlockingEpisode | None:
    """Return the block that a new one continues after an opening; None if none does.

    It ended within `wary_s`, and most of it is blocked again by the same layer and method.
    """
    since_us = own.suspected_us - int(own.limits.wary_s * SECOND_US)
    return next(
        (
            earlier
            for earlier in reversed([*episodes])
            if earlier.state is IncidentState.CLOSED
            and (earlier.closed_us or 0) >= since_us
            and (earlier.layer, earlier.method) == (own.layer, own.method)
            and _is_same_place(earlier.parts, cells)
        ),
        None,
    )


def _resume(
    earlier: BlockingEpisode, own: BlockingEpisode, cells: tuple[AffectedCell, ...], now_us: int
) -> None:
    """Reopen a block for these cells; the time since its end becomes an opening."""
    closed_us = earlier.closed_us or own.suspected_us
    ended = earlier.ended or Bracket(closed_us, closed_us)
    opening = PhaseChange(PhaseDirection.OPENING, earlier.parts, ended, closed_us)
    later_cut = PhaseChange(PhaseDirection.CUT, cells, own.started, now_us)
    earlier.turns = [*lead_with_onset(earlier.turns, earlier.onset), opening, later_cut]
    earlier.wary = True
    earlier.reopen()
    if not all(_is_inside(cell, earlier.parts) for cell in cells):
        earlier.widen(cells)


def _is_same_place(parts: Sequence[AffectedCell], cells: Sequence[AffectedCell]) -> bool:
    """Return whether cells hold a whole block, or lie in it and have most votes."""
    if all(_is_inside(part, cells) for part in parts):
        return True
    votes = sum(part.votes for part in parts)
    is_most = sum(cell.votes for cell in cells) >= _AGAIN_SHARE * votes
    return is_most and all(_is_inside(cell, parts) for cell in cells)


def _is_inside(part: AffectedCell, cells: Iterable[AffectedCell]) -> bool:
    return any(part.scope.is_within(cell.scope) for cell in cells)
