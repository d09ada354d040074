"""Decide whether cells fell silent over carriers that nobody reports as blocked.

Where our address is blocked while phones are cut, those with a line say that it works, and come
back by another entrance. That explains the silence of who lost the same entrance, and not of phones
that were on others, by which lines are here. So it leaves no doubt in a cut of phones alone.
"""

from collections.abc import Collection, Sequence

from heliograph_collector.detect.silence.cell_members import select_inside
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.signals import is_other_way
from heliograph_collector.model.thresholds import THRESHOLDS

_TELLERS_SHARE = 0.05  # of a cell, who found another way by chance in these minutes; assumed


def have_unblocked_carriers_fallen(
    cells: Sequence[AffectedCell],
    voters: Collection[VantagePresence],
    tellers: Sequence[VantagePresence],
) -> bool:
    """Return whether cells are silent over ways that live elsewhere.

    Nobody reports a block of these ways.

    Args:
        cells: The cells that may be cut.
        voters: The vantages of the country that are live, or silent by now.
        tellers: Those who say that their links work, and who lost the carriers that may be blocked.
            A twentieth of the cells' voters are enough to leave these in doubt.
    """
    inside = select_inside(cells, voters)
    if not tellers or len(select_inside(cells, tellers)) > _TELLERS_SHARE * len(inside):
        return False
    blocked_carriers = {vantage.lost_by or vantage.moved_from for vantage in tellers}
    names = {vantage.witness.nym for vantage in inside}
    live_carriers = {
        vantage.witness.carrier
        for vantage in voters
        if vantage.is_live and vantage.witness.nym not in names
    }
    unblocked_carriers = {
        carrier
        for carrier in live_carriers
        if all(is_other_way(carrier, blocked) for blocked in blocked_carriers)
    }
    count = sum_silent(v for v in inside if _get_carrier(v) in unblocked_carriers)
    return count.hits >= THRESHOLDS.votes and count.share >= THRESHOLDS.confirm_share


def _get_carrier(vantage: VantagePresence) -> str:
    return vantage.lost_by if vantage.is_silent else vantage.witness.carrier
