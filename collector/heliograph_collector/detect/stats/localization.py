"""Localization: the fewest and widest cells that explain the votes.

Each named cell is a hypothesis: votes inside it are hits with the share seen there, votes outside
with the share of noise. The cell with the highest likelihood gain is named first, and its votes are
removed. This repeats while a cell gains more than its name costs (minimum description length,
greedy).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from heliograph_collector.detect.stats.voting import VoteCount, VotesByPlace, sum_votes
from heliograph_collector.model.scope import AffectedCell, PlaceVotes, Scope, scopes_of
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

_LIVE_CENTER_WEIGHT = 0.01  # of a data center that lives, in its country; assumed
_VOTE_TOLERANCE = 1e-6  # votes are sums of fractions; assumed


def localize(
    votes: VotesByPlace,
    share: float,
    min_votes: float,
    limits: Thresholds = THRESHOLDS,
    may_name: Callable[[Scope], bool] = lambda scope: True,
) -> tuple[AffectedCell, ...]:
    """Return the cells that explain the votes.

    Args:
        share: The least share of hits in a cell.
        min_votes: The least number of votes in a cell.
        may_name: Whether a cell that explains them may be named.
    """
    if all(count.share < share - _VOTE_TOLERANCE for count in votes.values()):
        return ()  # no cell has a larger share than all of its places
    least = min_votes - _VOTE_TOLERANCE
    return _Localization(votes, share, least, limits, may_name).name_cells()


class _Localization:
    """One localization: the votes, and the conditions for a cell."""

    def __init__(
        self,
        votes: VotesByPlace,
        share: float,
        min_votes: float,
        limits: Thresholds,
        may_name: Callable[[Scope], bool],
    ) -> None:
        self._remaining = votes
        self._all_cells = _count_people(votes)
        self._share = share
        self._min_votes = min_votes
        self._limits = limits
        self._may_name = may_name

    def name_cells(self) -> tuple[AffectedCell, ...]:
        votes = self._remaining
        scopes: list[Scope] = []
        cells = self._all_cells
        while best := self._find_best(cells):
            for scope in self._split(best):
                scopes.append(scope)
                self._remaining = _select_outside(scope, self._remaining)
            cells = _count_people(self._remaining)
        affected: list[AffectedCell] = []
        for scope in self._drop_needless(scopes, votes):
            affected.append(build_cell(scope, _select_inside(scope, votes), self._limits))
            votes = _select_outside(scope, votes)
        return tuple(affected)

    def _drop_needless(self, scopes: Sequence[Scope], votes: VotesByPlace) -> list[Scope]:
        """Drop cells that the later ones explain: most of what they leave of it lives on.

        Where two operators are hit, a region in which most vantages are theirs may stand out first.
        """
        needed = [*scopes]
        for scope in scopes:
            rest = _select_inside(scope, votes)
            for other in needed:
                rest = _select_outside(other, rest) if other != scope else rest
            if len(needed) > 1 and sum_votes(rest).share < self._share - _VOTE_TOLERANCE:
                needed.remove(scope)
        return needed

    def _find_best(self, cells: Mapping[Scope, VoteCount]) -> Scope | None:
        """Find the cell with the highest likelihood gain; None if none gains enough.

        Of cells with the same gain it is the widest, and the network rather than the region that
        it is all of: only the network is known to have failed. A whole country needs hits of
        several networks.
        """
        networks = hit_networks(self._remaining)
        ranked = [
            (round(self._gain(vote_count), 6), -scope.named_fields, _names_network(scope), scope)
            for scope, vote_count in cells.items()
            if vote_count.votes >= self._min_votes
            and vote_count.share >= self._share <= self._all_cells[scope].share
            and (not scope.is_national or len(networks) >= self._limits.networks)
        ]
        for gain, *_, scope in sorted(ranked, reverse=True):  # naming costs most
            if gain <= self._limits.explain:
                return None
            if self._may_name(scope):
                return scope
        return None

    def _split(self, scope: Scope) -> tuple[Scope, ...]:
        """Split a cell into cells along one dimension if they explain more.

        For example, two dark cities of three are two cities and no country. Each part must gain
        more than its name costs. Data centers do not count, because they stay live in any cut.
        """
        inside = _select_inside(scope, self._remaining)
        cells = count_by_cell(
            {p: t for p, t in inside.items() if scope.access or p.access != "hosting"}
        )
        if scope not in cells:
            return (scope,)
        explain = self._limits.explain
        best: tuple[Scope, ...] = (scope,)
        best_gain = self._gain(cells[scope]) - explain
        for name in ("region", "asn", "access"):
            parts = {scope._replace(**{name: value}) for value in {getattr(c, name) for c in cells}}
            children = [
                cell
                for cell in sorted(parts & cells.keys() - {scope})
                if cells[cell].votes >= self._min_votes
                and cells[cell].share >= self._share
                and self._gain(cells[cell]) > explain
                and self._may_name(cell)
            ]
            gain = sum(self._gain(cells[cell]) - explain for cell in children)
            if len(children) > 1 and gain > best_gain:
                best = tuple(children)
                best_gain = gain
        return best

    def _gain(self, vote_count: VoteCount) -> float:
        return _compute_gain(vote_count.votes, vote_count.share, self._limits.noise)


def _compute_gain(votes: float, share: float, noise: float) -> float:
    """Return the gain of a hypothesis over noise in log-likelihood, in nats."""
    hits = votes * share
    bounded = min(max(share, 1e-6), 1 - 1e-6)
    misses = votes - hits
    return hits * math.log(bounded / noise) + misses * math.log((1 - bounded) / (1 - noise))


def select_distinct(
    affected: Iterable[AffectedCell], votes: VotesByPlace, limits: Thresholds = THRESHOLDS
) -> tuple[AffectedCell, ...]:
    """Select the cells that stand out from the rest of the country, not from noise.

    Where a third fails by chance, or a block has reached a third of what is tested, most do in some
    small cell (fewer votes than `few`).
    """
    cells = tuple(affected)
    rest = votes
    for cell in cells:
        rest = _select_outside(cell.scope, rest)
    count = sum_votes(rest)
    share = min(count.share, limits.p_bad) if count.votes >= limits.votes else 0.0
    noise = max(limits.noise, share)
    return tuple(
        cell
        for cell in cells
        if cell.votes >= limits.few or _compute_gain(cell.votes, cell.share, noise) > limits.explain
    )


def _names_network(scope: Scope) -> bool:
    return scope.asn > 0 and not scope.region


def _select_inside(scope: Scope, votes: VotesByPlace) -> VotesByPlace:
    return {at: count for at, count in votes.items() if scope.includes(at)}


def _select_outside(scope: Scope, votes: VotesByPlace) -> VotesByPlace:
    return {at: count for at, count in votes.items() if not scope.includes(at)}


def attach_persons(
    affected: Iterable[AffectedCell], established: VotesByPlace
) -> tuple[AffectedCell, ...]:
    """Add to each cell the votes of its established vantages alone."""
    return tuple(replace(cell, persons=_list_persons(cell.scope, established)) for cell in affected)


def _list_persons(scope: Scope, established: VotesByPlace) -> tuple[PlaceVotes, ...]:
    inside = _select_inside(scope, established)
    return tuple(PlaceVotes(at, count.votes, count.hits) for at, count in sorted(inside.items()))


def narrow_cells(affected: Iterable[AffectedCell], votes: VotesByPlace) -> tuple[AffectedCell, ...]:
    """Replace each cell by the narrowest cell with the same votes.

    This names parts that return or go dark inside a cut, without a claim on the rest of it.
    """
    cells = count_by_cell(votes)
    return tuple(replace(part, scope=_narrow(part.scope, cells)) for part in affected)


def _narrow(scope: Scope, cells: Mapping[Scope, VoteCount]) -> Scope:
    votes = cells[scope].votes
    same = [
        cell
        for cell, vote_count in cells.items()
        if cell.is_within(scope) and abs(vote_count.votes - votes) < _VOTE_TOLERANCE
    ]
    return max(same, key=_width_key, default=scope)


def _width_key(scope: Scope) -> tuple[int, Scope]:
    return scope.named_fields, scope


def count_by_cell(votes_by_place: Mapping[VantageLocation, VoteCount]) -> dict[Scope, VoteCount]:
    """Count votes in every cell, intersections included."""
    cells: defaultdict[Scope, VoteCount] = defaultdict(VoteCount)
    for location, vote_count in votes_by_place.items():
        votes = vote_count.votes
        hits = vote_count.hits
        lines = vote_count.lines
        for scope in scopes_of(location):  # the innermost loop of all detectors
            cell = cells[scope]
            cell.votes += votes
            cell.hits += hits
            cell.lines += lines
    return cells


def _count_people(votes_by_place: VotesByPlace) -> dict[Scope, VoteCount]:
    """Count votes in every cell; live data centers hardly count in the country's.

    They stay live in any cut. Two of them weigh more than a city behind one address. Where nobody
    but them lives, they still show that a part of the country fell alone.
    """
    cells = count_by_cell(votes_by_place)
    for location, count in votes_by_place.items():
        if location.access == "hosting" and 2 * count.hits <= count.votes:
            country = cells[Scope(location.country)]
            country.votes -= count.votes * (1.0 - _LIVE_CENTER_WEIGHT)
            country.hits -= count.hits * (1.0 - _LIVE_CENTER_WEIGHT)
    return cells


def hit_networks(votes_by_place: Mapping[VantageLocation, VoteCount]) -> set[int]:
    """Return the ASNs that hits come from."""
    return {at.asn for at, count in votes_by_place.items() if count.hits and at.asn}


def build_cell(scope: Scope, votes: VotesByPlace, limits: Thresholds) -> AffectedCell:
    """Build a cell of the votes in it, with its unaffected parts."""
    total = sum_votes(votes)
    unaffected = [
        cell
        for cell, vote_count in count_by_cell(votes).items()
        if cell != scope
        and vote_count.votes >= limits.votes
        and vote_count.share <= limits.alive_share
    ]
    return AffectedCell(
        scope,
        total.votes,
        total.share,
        len(hit_networks(votes)),
        _widest_cells(unaffected),
        lines=total.lines,
    )


def _widest_cells(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    widest: list[Scope] = []
    for scope in sorted(scopes, key=_width_key):
        if not any(scope.is_within(wider) for wider in widest):
            widest.append(scope)
    return tuple(widest)
