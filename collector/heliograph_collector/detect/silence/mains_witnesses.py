"""Judge by connected machines near silent lines whether the power failed.

Theory of operation. Lines that fall by regions, while phones live, are held as a power failure:
nothing tells the two apart until machines are back. But laptops and phones that are here by another
way say at each change whether they run on mains or on their batteries. Where those of these regions
that were on mains go to their batteries with the lines, the power failed. Where all stay on mains,
it did not, and the lines are cut. Machines without a battery, or that do not know, say nothing.

That a machine reports no change counts only if it has reported one before: others may report their
power as a session begins, and no more. Lines that stay do not count, since where power goes by
districts they are those that have it; nor do data centers, which have their own generators.
"""

from collections import defaultdict
from collections.abc import Sequence
from enum import Enum

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence.cell_members import select_inside
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits, sum_silent
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, both: a district may keep its power, and people pull plugs.
_FAILED_SHARE = 0.8  # of those on mains, who go to their batteries where the power fails
_WORKS_SHARE = 0.1  # of the same, where it does not
_OWN_POWER = ("fixed", "hosting")  # accesses of machines that have power while they are here
_EARLY_US = 2 * MINUTE_US  # before the first silence: a line may live on a small battery; assumed


class MainsView(Enum):
    """State of the power near silent lines, as machines with batteries show it."""

    UNKNOWN = 1  # too few, or they differ
    FAILED = 2
    WORKS = 3


def view_mains(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], onset_us: int
) -> MainsView:
    """Judge the power in regions where most lines are silent, by machines still here.

    Args:
        cells: The cells that fell silent.
        vantages: The established vantages of the country.
        onset_us: The start of the silence.
    """
    regions = _list_dark_regions(cells, vantages)
    before_us = onset_us - _EARLY_US
    witnesses = [
        v
        for v in vantages
        if v.is_live
        and v.place.region in regions
        and max(v.since_us, v.back_us) < before_us
        and (v.on_battery is False or (v.on_battery and v.battery_us >= before_us))
    ]
    share = _share_on_battery(witnesses)
    if share is not None and share >= _FAILED_SHARE:
        return MainsView.FAILED
    share = _share_on_battery(
        [v for v in witnesses if v.tells_power and v.place.access not in _OWN_POWER]
    )
    if share is not None and share <= _WORKS_SHARE:
        return MainsView.WORKS
    return MainsView.UNKNOWN


def _share_on_battery(witnesses: Sequence[VantagePresence]) -> float | None:
    """Return the share of witnesses on battery, None if they are too few."""
    count = count_hits(witnesses, [bool(v.on_battery) for v in witnesses])
    return count.share if count.votes >= THRESHOLDS.votes else None


def _list_dark_regions(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence]
) -> set[str]:
    lines: defaultdict[str, list[VantagePresence]] = defaultdict(list)
    for vantage in select_inside(cells, vantages):
        if vantage.place.access == "fixed":
            lines[vantage.place.region].append(vantage)
    least = THRESHOLDS.confirm_share
    return {region for region, inside in lines.items() if sum_silent(inside).share >= least}
