"""Whole parts: name the operators, or regions, that fell, where others live whole.

A cell of fewer than five votes is not named by itself (localization.py). So a cable that takes four
of six operators, with four votes each, seems to cut the country. But the votes of each operator are
all silent or all live, which chance does not make of a cut that takes lines anywhere
(`independence.py`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from heliograph_collector.detect.stats.independence import compute_chance
from heliograph_collector.detect.stats.localization import build_cell
from heliograph_collector.detect.stats.voting import VoteCount, VotesByPlace, sum_votes
from heliograph_collector.model.scope import AffectedCell, Scope, WholeCell
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

_CHANCE = 0.01  # that parts differ so by chance; assumed
_NAMED_SHARE = 2 / 3  # of the silent votes that the parts must explain; assumed
_LIVING_PARTS = 2  # one operator that is spared is a cut with an exemption; assumed


def name_whole_parts(
    cells: Iterable[AffectedCell], votes: VotesByPlace, limits: Thresholds = THRESHOLDS
) -> tuple[AffectedCell, ...]:
    """Replace a country, or all lines or phones of it, by its parts that fell whole.

    They are replaced where other parts live whole.
    """
    named: list[AffectedCell] = []
    for cell in cells:
        parts = _find_parts(cell.scope, votes, limits) if _is_wide(cell.scope) else []
        whole = WholeCell(cell.scope, cell.share)
        named += [replace(part, part_of=whole) for part in parts] or [cell]
    return tuple(named)


def _is_wide(scope: Scope) -> bool:
    return not scope.region and not scope.asn


def _find_parts(whole: Scope, votes: VotesByPlace, limits: Thresholds) -> list[AffectedCell]:
    """Find the parts in the dimension that explains the silences best; none if neither does."""
    people = {at: n for at, n in votes.items() if at.access != "hosting" and whole.includes(at)}
    found = []
    for parts in (_group_by_operator(people), _group_by_region(people)):
        chance = compute_chance(parts.values())
        dark = _list_dark(parts, sum_votes(people).hits, limits)
        if chance < _CHANCE and dark and _do_others_live(parts, whole, limits):
            found.append((chance, dark))
    _, scopes = min(found, default=(1.0, []))
    named = [_narrow(scope, whole, votes) for scope in scopes]
    return [
        build_cell(part, {at: n for at, n in votes.items() if part.includes(at)}, limits)
        for part in named
    ]


def _narrow(part: Scope, whole: Scope, votes: VotesByPlace) -> Scope:
    """Narrow an operator or region to the whole's access, if it has people of another."""
    others = any(part.includes(at) and not whole.includes(at) for at in votes)
    return part._replace(access=whole.access) if others else part


def _group_by_operator(votes: VotesByPlace) -> dict[Scope, VoteCount]:
    pairs = ((Scope(at.country, asn=at.asn), n) for at, n in votes.items() if at.asn)
    return _sum_by_part(pairs)


def _group_by_region(votes: VotesByPlace) -> dict[Scope, VoteCount]:
    pairs = ((Scope(at.country, at.region), n) for at, n in votes.items() if at.region)
    return _sum_by_part(pairs)


def _sum_by_part(pairs: Iterable[tuple[Scope, VoteCount]]) -> dict[Scope, VoteCount]:
    parts: defaultdict[Scope, VoteCount] = defaultdict(VoteCount)
    for part, count in pairs:
        parts[part].add(count)
    return parts


def _list_dark(parts: Mapping[Scope, VoteCount], silent: float, limits: Thresholds) -> list[Scope]:
    """List the parts that fell, if these explain most silences."""
    dark = {part: count for part, count in parts.items() if _is_dark(count, limits)}
    named = sum_votes(dark)
    is_explained = named.votes >= limits.votes and named.hits >= _NAMED_SHARE * silent
    return sorted(dark) if is_explained else []


def _do_others_live(parts: Mapping[Scope, VoteCount], whole: Scope, limits: Thresholds) -> bool:
    """Return whether enough parts live whole. Of few operators of one access, one is enough."""
    living = {part: count for part, count in parts.items() if count.share <= limits.alive_share}
    if not whole.is_national:
        return sum_votes(living).votes >= limits.burst
    return len(living) >= _LIVING_PARTS and sum_votes(living).votes >= limits.burst


def _is_dark(count: VoteCount, limits: Thresholds) -> bool:
    """Return whether a part fell; one of a few votes only if hardly any of it lives."""
    is_small = count.votes < limits.votes
    least = 1 - limits.alive_share if is_small else limits.confirm_share
    return count.votes >= limits.burst and count.share >= least
