"""Localize the cells of a service whose evidence suffices for an alarm.

Theory of operation. A cell of fewer than five votes confirms nothing, since two or three of its
lines may fail by one accident of theirs: a box, an office, a tower. Two operators have no accident
in common. So where no cell has enough votes, small ones of several networks that stand out at one
time, each by evidence that alone suffices for an alarm, are one block once they have five together.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from heliograph_collector.detect.blocking.evidence import has_lines
from heliograph_collector.detect.stats.localization import (
    attach_persons,
    localize,
    select_distinct,
)
from heliograph_collector.detect.stats.voting import VotesByPlace
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.thresholds import Thresholds


def localize_alarmed(
    votes: VotesByPlace,
    min_votes: float,
    alarmed: AbstractSet[Scope],
    mostly_fails: Callable[[Scope], bool],
    limits: Thresholds,
) -> tuple[AffectedCell, ...]:
    """Return the alarmed cells that explain the failing votes of a bin."""
    cells = localize(votes, limits.confirm_share, min_votes, limits, mostly_fails)
    return tuple(p for p in select_distinct(cells, votes, limits) if p.scope in alarmed)


def localize_established(
    votes: VotesByPlace,
    persons: VotesByPlace,
    alarmed: AbstractSet[Scope],
    mostly_fails: Callable[[Scope], bool],
    limits: Thresholds,
) -> tuple[AffectedCell, ...]:
    """Return the cells that may confirm a block; small ones of networks if no other.

    Args:
        votes: The votes of established vantages.
        persons: The same, with one vote for each line.
        alarmed: The cells with enough evidence.
        mostly_fails: Whether most of a cell's vantages fail by what they said last.
        limits: The thresholds.
    """
    cells = localize_alarmed(votes, limits.votes, alarmed, mostly_fails, limits)
    if not cells:
        small = localize_alarmed(votes, limits.burst, alarmed, mostly_fails, limits)
        cells = tuple(cell for cell in small if cell.scope.asn)
    return attach_persons([cell for cell in cells if has_lines(cell, limits)], persons)


def select_enough(cells: Sequence[AffectedCell], limits: Thresholds) -> tuple[AffectedCell, ...]:
    """Select cells of enough votes, and small ones that have these in several networks."""
    small = [cell for cell in cells if cell.votes < limits.votes]
    networks = {cell.scope.asn for cell in small}
    votes = sum(cell.votes for cell in small)
    is_enough = len(networks) >= limits.networks and votes >= limits.votes
    return tuple(cell for cell in cells if is_enough or cell.votes >= limits.votes)
