"""Recognize travelers: people who fall silent in one place and return in another.

Theory of operation. At the end of a holiday, or where a village is evacuated, people leave a region
one by one. Each is silent on the way, so that the region fades as in a slow cut. But its people are
back elsewhere within hours, and in a cut nobody is: what reappears elsewhere did not go dark. A few
may drive out of a cut to get online, and they do so after a silence that began for all at once.

Those who are back from another country may have traveled too, or have turned on a VPN; or their
operator was made to take its routes from a neighbor, as in Kherson in 2022.
"""

from collections.abc import Iterable, Sequence

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.tails import measure_spread
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
_TRAVEL_US = 3 * HOUR_US  # of a silence on the way
_ONE_BY_ONE_US = 5 * MINUTE_US  # between the tenth and nine tenths of the losses
_MOST_SHARE = 0.5  # of those who fell silent, who travel whatever the pace
_DOUBT_SHARE = 0.2  # of those who fell silent, of whom so many travel: no cut is confirmed


def measure_travelers(
    cells: Sequence[AffectedCell], vantages: Iterable[VantagePresence], since_us: int
) -> float:
    """Return the share of the cells' lost vantages that reappeared elsewhere.

    Elsewhere is another country, or where the cells are regions, another region.

    Args:
        cells: Those that fell silent.
        vantages: The country's established vantages, here, silent or abroad.
        since_us: When the cells began to fall silent.

    Returns:
        0 too where all fell silent at once, and fewer than half of them are back elsewhere.
    """
    lost = [v for v in vantages if v.lost_us >= since_us and _was_inside(v, cells)]
    regions = {cell.scope.region for cell in cells}
    travelers = [v for v in lost if _has_traveled(v, regions)]
    if len(travelers) < THRESHOLDS.witnesses:
        return 0.0
    # Those who are back in place count: at a cut's end those who fled it are most of the others.
    share = sum_silent(travelers).votes / sum_silent(lost).votes
    gone = travelers + [v for v in lost if v.is_silent]
    is_slow = measure_spread([v.lost_us for v in gone]) >= _ONE_BY_ONE_US
    return share if is_slow or share >= _MOST_SHARE else 0.0


def are_traveling(
    cells: Sequence[AffectedCell], vantages: Iterable[VantagePresence], since_us: int
) -> bool:
    """Return whether so many of those who fell silent travel that the others may."""
    return measure_travelers(cells, vantages, since_us) >= _DOUBT_SHARE


def _was_inside(vantage: VantagePresence, cells: Sequence[AffectedCell]) -> bool:
    """Return whether it was lost in one of these cells; of regions, in whatever network."""
    return any(
        scope.region == vantage.lost_region
        if scope.region
        else scope.asn in (0, vantage.lost_in) and scope.access in ("", vantage.place.access)
        for scope in (cell.scope for cell in cells)
    )


def _has_traveled(vantage: VantagePresence, regions: set[str]) -> bool:
    if vantage.is_abroad:
        return vantage.abroad_us - vantage.lost_us <= _TRAVEL_US
    is_elsewhere = vantage.place.region not in regions and vantage.place.region != ""
    is_back = vantage.is_live and is_elsewhere and "" not in regions
    return is_back and vantage.since_us - vantage.lost_us <= _TRAVEL_US
