"""Localization: the fewest and widest cells that explain the votes.

Each named cell is a hypothesis: votes inside it are hits with the share seen there, votes outside
with the share of noise. The cell with the highest likelihood gain is named first, and its votes are
removed. This repeats while a cell gains more than its name costs (minimum description length,
greedy).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from heliograph_collector.detect.stats.voting import VoteCount, VotesByPlace
from heliograph_collector.model.scope import AffectedCell, Scope, scopes_of
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

_VOTE_TOLERANCE = 1e-6  # votes are sums of fractions


def localize(
    votes: VotesByPlace, share: float, min_votes: float, limits: Thresholds = THRESHOLDS
) -> tuple[AffectedCell, ...]:
    """Return the cells that explain the votes.

    Args:
        share: The least share of hits in a cell.
        min_votes: The least number of votes in a cell.
    """
    remaining = dict(votes)
    all_cells = count_by_cell(votes)
    cells: Mapping[Scope, VoteCount] = all_cells
    affected: list[AffectedCell] = []
    while best := _best_cell(remaining, cells, all_cells, share, min_votes, limits):
        for scope in _split_cell(best, remaining, share, min_votes, limits):
            inside = {
                location: vote_count
                for location, vote_count in remaining.items()
                if scope.includes(location)
            }
            affected.append(_affected_cell(scope, inside, limits))
            remaining = {
                location: vote_count
                for location, vote_count in remaining.items()
                if location not in inside
            }
        cells = count_by_cell(remaining)
    return tuple(affected)


def _best_cell(
    remaining: VotesByPlace,
    cells: Mapping[Scope, VoteCount],
    all_cells: Mapping[Scope, VoteCount],
    share: float,
    min_votes: float,
    limits: Thresholds,
) -> Scope | None:
    """Return the cell with the highest likelihood gain; None if none gains enough.

    Of cells with the same gain it is the widest. A whole country needs hits of several networks.
    """
    networks = hit_networks(remaining)
    ranked = [
        (round(_likelihood_gain(vote_count, limits.noise), 6), -scope.named_fields, scope)
        for scope, vote_count in cells.items()
        if vote_count.votes >= min_votes - _VOTE_TOLERANCE
        and vote_count.share >= share <= all_cells[scope].share
        and (not scope.is_national or len(networks) >= limits.networks)
    ]
    gain, _, scope = max(ranked, default=(0.0, 0, None))
    return scope if gain > limits.explain else None


def _split_cell(
    scope: Scope, remaining: VotesByPlace, share: float, min_votes: float, limits: Thresholds
) -> tuple[Scope, ...]:
    """Split a cell into cells along one dimension if they explain more.

    For example, two dark cities of three are two cities and no country. Each part must gain more
    than its name costs. Data centers do not count, because they stay live in any cut.
    """
    cells = count_by_cell(
        {
            location: vote_count
            for location, vote_count in remaining.items()
            if scope.includes(location) and (scope.access or location.access != "hosting")
        }
    )
    if scope not in cells:
        return (scope,)
    best: tuple[Scope, ...] = (scope,)
    best_gain = _likelihood_gain(cells[scope], limits.noise) - limits.explain
    for name in ("region", "asn", "access"):
        candidates = {
            scope._replace(**{name: value}) for value in {getattr(c, name) for c in cells}
        }
        children = [
            cell
            for cell in sorted(candidates & cells.keys() - {scope})
            if cells[cell].votes >= min_votes - _VOTE_TOLERANCE
            and cells[cell].share >= share
            and _likelihood_gain(cells[cell], limits.noise) > limits.explain
        ]
        gain = sum(
            _likelihood_gain(cells[cell], limits.noise) - limits.explain for cell in children
        )
        if len(children) > 1 and gain > best_gain:
            best = tuple(children)
            best_gain = gain
    return best


def narrow_cells(affected: Iterable[AffectedCell], votes: VotesByPlace) -> tuple[AffectedCell, ...]:
    """Replace each cell by the narrowest cell with the same votes.

    This names parts that return or go dark inside a cut, without a claim on the rest of it.
    """
    cells = count_by_cell(votes)
    return tuple(
        replace(
            affected_cell,
            scope=max(
                (
                    scope
                    for scope, vote_count in cells.items()
                    if scope.is_within(affected_cell.scope)
                    and abs(vote_count.votes - cells[affected_cell.scope].votes) < _VOTE_TOLERANCE
                ),
                key=lambda scope: (scope.named_fields, scope),
                default=affected_cell.scope,
            ),
        )
        for affected_cell in affected
    )


def count_by_cell(votes_by_place: Mapping[VantageLocation, VoteCount]) -> dict[Scope, VoteCount]:
    """Count votes in every cell, intersections included."""
    cells: defaultdict[Scope, VoteCount] = defaultdict(VoteCount)
    for location, vote_count in votes_by_place.items():
        votes = vote_count.votes
        hits = vote_count.hits
        for scope in scopes_of(location):  # the innermost loop of all detectors
            cell = cells[scope]
            cell.votes += votes
            cell.hits += hits
    return cells


def hit_networks(votes_by_place: Mapping[VantageLocation, VoteCount]) -> set[int]:
    """Return the ASNs that hits come from."""
    return {
        location.asn
        for location, vote_count in votes_by_place.items()
        if vote_count.hits and location.asn
    }


def _likelihood_gain(vote_count: VoteCount, noise: float) -> float:
    share = min(max(vote_count.share, 1e-6), 1 - 1e-6)
    misses = vote_count.votes - vote_count.hits
    return vote_count.hits * math.log(share / noise) + misses * math.log((1 - share) / (1 - noise))


def _affected_cell(scope: Scope, votes: VotesByPlace, limits: Thresholds) -> AffectedCell:
    total = VoteCount()
    for vote_count in votes.values():
        total.add(vote_count)
    unaffected = [
        cell
        for cell, vote_count in count_by_cell(votes).items()
        if cell != scope
        and vote_count.votes >= limits.votes
        and vote_count.share <= limits.alive_share
    ]
    return AffectedCell(
        scope, total.votes, total.share, len(hit_networks(votes)), _widest_cells(unaffected)
    )


def _widest_cells(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    widest: list[Scope] = []
    for scope in sorted(scopes, key=lambda s: (s.named_fields, s)):
        if not any(scope.is_within(wider) for wider in widest):
            widest.append(scope)
    return tuple(widest)
