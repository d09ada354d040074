"""Which cells explain what is seen: the widest that do, and no more than are needed.

Each cell named is a hypothesis: inside it votes are hits with the share seen there, outside with
the share of noise. The cell that gains most likelihood is named first, its votes are set aside, and
so on while a cell explains more than naming it costs (minimum description length, greedy).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from heliograph_collector.detect.stats.voting import Ballot, Tally
from heliograph_collector.incidents.scope import Part, Scope, scopes_of
from heliograph_collector.model.signals import Place
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

_SAME = 1e-6  # votes are sums of fractions


def fold(
    ballot: Ballot, share: float, least: float, limits: Thresholds = THRESHOLDS
) -> tuple[Part, ...]:
    """The cells with at least `share` hits and `least` votes that explain the ballot together."""
    rest, every = dict(ballot), cells_of(ballot)
    cells: Mapping[Scope, Tally] = every
    parts: list[Part] = []
    while found := _best(rest, cells, every, share, least, limits):
        for scope in _split(found, rest, share, least, limits):
            inside = {place: tally for place, tally in rest.items() if scope.holds(place)}
            parts.append(_part(scope, inside, limits))
            rest = {place: tally for place, tally in rest.items() if place not in inside}
        cells = cells_of(rest)
    return tuple(parts)


def _best(
    rest: Ballot,
    cells: Mapping[Scope, Tally],
    every: Mapping[Scope, Tally],
    share: float,
    least: float,
    limits: Thresholds,
) -> Scope | None:
    """Of cells of the rest with the same votes the widest; a narrower one takes somebody it spares.

    The whole country takes more than one network.
    """
    networks = networks_of(rest)
    ranked = [
        (round(_gain(tally, limits.noise), 6), -scope.fields, scope)
        for scope, tally in cells.items()
        if tally.votes >= least - _SAME
        and tally.share >= share <= every[scope].share
        and (not scope.national or len(networks) >= limits.networks)
    ]
    gain, _, scope = max(ranked, default=(0.0, 0, None))
    return scope if gain > limits.explain else None


def _split(
    scope: Scope, rest: Ballot, share: float, least: float, limits: Thresholds
) -> tuple[Scope, ...]:
    """Two cities of three are no country: a cell gives way to those of its cells that explain more.

    Along one dimension, each of them worth naming, and paid for. That data centres stay is no
    reason: they stay in any cut.
    """
    cells = cells_of(
        {
            place: tally
            for place, tally in rest.items()
            if scope.holds(place) and (scope.access or place.access != "hosting")
        }
    )
    if scope not in cells:
        return (scope,)
    best: tuple[Scope, ...] = (scope,)
    gained = _gain(cells[scope], limits.noise) - limits.explain
    for name in ("region", "asn", "access"):
        along = {scope._replace(**{name: here}) for here in {getattr(c, name) for c in cells}}
        children = [
            cell
            for cell in sorted(along & cells.keys() - {scope})
            if cells[cell].votes >= least - _SAME
            and cells[cell].share >= share
            and _gain(cells[cell], limits.noise) > limits.explain
        ]
        worth = sum(_gain(cells[cell], limits.noise) - limits.explain for cell in children)
        if len(children) > 1 and worth > gained:
            best, gained = tuple(children), worth
    return best


def narrowed(parts: Iterable[Part], ballot: Ballot) -> tuple[Part, ...]:
    """The same by the narrowest names with the same votes.

    For what comes and goes inside a cut: the rest of it is dark, and is claimed for nothing.
    """
    cells = cells_of(ballot)
    return tuple(
        replace(
            part,
            scope=max(
                (
                    scope
                    for scope, tally in cells.items()
                    if scope.within(part.scope)
                    and abs(tally.votes - cells[part.scope].votes) < _SAME
                ),
                key=lambda scope: (scope.fields, scope),
                default=part.scope,
            ),
        )
        for part in parts
    )


def cells_of(ballot: Mapping[Place, Tally]) -> dict[Scope, Tally]:
    """What the votes come to in every cell, the intersections too."""
    cells: defaultdict[Scope, Tally] = defaultdict(Tally)
    for place, tally in ballot.items():
        votes, hits = tally.votes, tally.hits
        for scope in scopes_of(place):  # the innermost loop of all detectors
            cell = cells[scope]
            cell.votes += votes
            cell.hits += hits
    return cells


def networks_of(ballot: Mapping[Place, Tally]) -> set[int]:
    """The ASNs that hits come from."""
    return {place.asn for place, tally in ballot.items() if tally.hits and place.asn}


def _gain(tally: Tally, noise: float) -> float:
    q = min(max(tally.share, 1e-6), 1 - 1e-6)
    missed = tally.votes - tally.hits
    return tally.hits * math.log(q / noise) + missed * math.log((1 - q) / (1 - noise))


def _part(scope: Scope, inside: Ballot, limits: Thresholds) -> Part:
    whole = Tally()
    for tally in inside.values():
        whole.add(tally)
    spared = [
        cell
        for cell, tally in cells_of(inside).items()
        if cell != scope and tally.votes >= limits.votes and tally.share <= limits.alive_share
    ]
    return Part(scope, whole.votes, whole.share, len(networks_of(inside)), _widest(spared))


def _widest(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    kept: list[Scope] = []
    for scope in sorted(scopes, key=lambda s: (s.fields, s)):
        if not any(scope.within(wider) for wider in kept):
            kept.append(scope)
    return tuple(kept)
