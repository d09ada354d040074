"""Whole parts: name the operators, or regions, that fell, where others of the country live whole.

A cell of fewer than five votes is not named by itself (localization.py). So a cable that takes four
of six operators, with four votes each, seems to cut the country. But the votes of each operator are
all silent or all live, which chance does not make of a cut that takes lines anywhere (G-test of
independence: Sokal and Rohlf, Biometry, 1981, chapter 17). Lines are counted, because phones behind
one NAT are lost together.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from heliograph_collector.detect.stats.localization import build_cell
from heliograph_collector.detect.stats.tails import chi_squared_tail
from heliograph_collector.detect.stats.voting import VoteCount, VotesByPlace, sum_votes
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

_CHANCE = 0.01  # that parts differ so by chance; assumed
_NAMED_SHARE = 2 / 3  # of the silent votes that the parts must explain; assumed
_LIVING_PARTS = 2  # one operator that is spared is a cut with an exemption; assumed


def name_whole_parts(
    cells: Iterable[AffectedCell], votes: VotesByPlace, limits: Thresholds = THRESHOLDS
) -> tuple[AffectedCell, ...]:
    """Replace a country by the parts of it that fell whole, where others live whole."""
    named: list[AffectedCell] = []
    for cell in cells:
        parts = _find_parts(votes, limits) if cell.scope.is_national else []
        named += [replace(part, country_share=cell.share) for part in parts] or [cell]
    return tuple(named)


def _find_parts(votes: VotesByPlace, limits: Thresholds) -> list[AffectedCell]:
    """Find the parts in the dimension that explains the silences best; none if neither does."""
    people = {at: count for at, count in votes.items() if at.access != "hosting"}
    found = []
    for parts in (_group_by_operator(people), _group_by_region(people)):
        chance = _compute_chance(parts.values())
        dark = _list_dark(parts, sum_votes(people).hits, limits)
        if chance < _CHANCE and dark:
            found.append((chance, dark))
    _, scopes = min(found, default=(1.0, []))
    return [
        build_cell(part, {at: n for at, n in votes.items() if part.includes(at)}, limits)
        for part in scopes
    ]


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
    """List the parts that fell, if others live whole and these explain most silences."""
    living = {part: count for part, count in parts.items() if count.share <= limits.alive_share}
    dark = {part: count for part, count in parts.items() if _is_dark(count, limits)}
    named = sum_votes(dark)
    is_explained = named.votes >= limits.votes and named.hits >= _NAMED_SHARE * silent
    lives = len(living) >= _LIVING_PARTS and sum_votes(living).votes >= limits.votes
    return sorted(dark) if is_explained and lives else []


def _is_dark(count: VoteCount, limits: Thresholds) -> bool:
    """Return whether a part fell; one of a few votes only if hardly any of it lives."""
    is_small = count.votes < limits.votes
    least = 1 - limits.alive_share if is_small else limits.confirm_share
    return count.votes >= limits.burst and count.share >= least


def _compute_chance(counts: Collection[VoteCount]) -> float:
    """Return by what chance groups differ so in their silent shares, line by line."""
    pairs = [(count.lines, count.lines * count.share) for count in counts if count.lines]
    lines = math.fsum(n for n, _ in pairs)
    hits = math.fsum(k for _, k in pairs)
    if len(pairs) < 2:
        return 1.0
    gain = math.fsum(_entropy(n, k) for n, k in pairs) - _entropy(lines, hits)
    return chi_squared_tail(max(0.0, 2 * gain), len(pairs) - 1)


def _entropy(count: float, hits: float) -> float:
    """Return the log-likelihood of hits at their own rate, in nats."""
    return math.fsum(k * math.log(k / count) for k in (hits, count - hits) if k > 0)
