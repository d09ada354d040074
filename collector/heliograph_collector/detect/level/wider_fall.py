"""Decide whether a fall goes beyond the cuts inside it: whether those outside are cut off too.

A cut of all phones makes most of a country silent by day. At night half of the lines beside it are
silent, because people sleep. So the silences outside a cut need to exceed a habit by themselves:
that of the lines if lines are left, and not that of a country in which phones stay up. This holds
for as long as the cut does, also when its vantages are no longer counted after a day.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from heliograph_collector.detect.level.cell_counts import LEARNED_DAYS, CellTest, Sample
from heliograph_collector.detect.level.cell_level import CellLevel
from heliograph_collector.detect.level.darkness import (
    ALONE_CHANCE,
    CUT_HOUR_CHANCE,
    exceeds_habit,
    exceeds_usual,
    exclude_brief,
)
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.model.scope import Scope

Levels = Mapping[Scope, CellLevel]


def are_others_cut_off(
    fallen: Sequence[VantagePresence],
    levels: Levels,
    test: CellTest,
    sample: Sample,
) -> bool:
    """Return whether no cut inside the fall explains it, as others are cut off too.

    Args:
        fallen: Vantages of the fallen cell that are here, or fell silent in the fall.
        levels: Of all cells.
    """
    if not sample.exceeds_outages(fallen):
        return False
    cuts = [
        outage
        for outage in sample.outages
        if outage.confirmed_us is not None
        and any(part.scope.is_within(test.scope) for part in outage.parts)
    ]
    outside = [v for v in fallen if not any(cut.holds(v.place) for cut in cuts)]
    lasting = list(exclude_brief(outside, sample.now_us))
    if not cuts or not lasting:
        return True
    by_access = defaultdict[str, list[VantagePresence]](list)
    for vantage in lasting:
        by_access[vantage.place.access].append(vantage)
    usual = [
        (sum_silent(members), share)
        for access, members in by_access.items()
        if (share := _find_away(_list_cells(access, levels, test))) is not None
    ]
    if len(usual) == len(by_access):
        return exceeds_usual(usual, ALONE_CHANCE)
    return exceeds_habit(lasting, sample.now_us, CUT_HOUR_CHANCE)


def _list_cells(access: str, levels: Levels, test: CellTest) -> list[CellLevel]:
    """List the cells whose habit may be that of an access in the tested cell."""
    scopes = (test.scope, Scope(test.scope.country, access=access))
    return [levels[scope] for scope in scopes if scope in levels]


def _find_away(cells: Sequence[CellLevel]) -> float | None:
    """Return the largest share of cells that is away at this hour by habit; None: unknown."""
    usual = [cell.usual for cell in cells if cell.usual is not None]
    known = [u for u in usual if u.days >= LEARNED_DAYS and not u.is_before_cuts]
    lowest = [u.middle if u.earlier_lowest is None else u.earlier_lowest for u in known]
    return None if not known else 1.0 - min(*lowest, *(u.middle for u in known))
