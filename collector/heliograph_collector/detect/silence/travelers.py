"""Recognize travelers: people who fall silent in one region and return in another.

Theory of operation. At the end of a holiday, or where a village is evacuated, people leave a region
one by one. Each is silent on the way, so that the region fades as in a slow cut. But its people are
back elsewhere within hours, and in a cut nobody is: what reappears elsewhere did not go dark. A few
may drive out of a cut to get online, and they do so after a silence that began for all at once.
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
    """Return the share of a region's lost vantages that reappeared in other regions.

    Args:
        cells: Those that fell silent; 0 if they are no regions.
        vantages: The country's established vantages, here or silent.
        since_us: When the regions began to fall silent.

    Returns:
        0 too where all fell silent at once, and fewer than half of them are back elsewhere.
    """
    regions = {cell.scope.region for cell in cells}
    if "" in regions or not regions:
        return 0.0
    lost = [v for v in vantages if v.lost_us >= since_us and v.lost_region in regions]
    travelers = [v for v in lost if v.is_live and _has_traveled(v, regions)]
    if len(travelers) < THRESHOLDS.witnesses:
        return 0.0
    gone = travelers + [v for v in lost if v.is_silent]
    share = sum_silent(travelers).votes / sum_silent(gone).votes
    is_slow = measure_spread([v.lost_us for v in gone]) >= _ONE_BY_ONE_US
    return share if is_slow or share >= _MOST_SHARE else 0.0


def are_traveling(
    cells: Sequence[AffectedCell], vantages: Iterable[VantagePresence], since_us: int
) -> bool:
    """Return whether so many of those who fell silent travel that the others may."""
    return measure_travelers(cells, vantages, since_us) >= _DOUBT_SHARE


def _has_traveled(vantage: VantagePresence, regions: set[str]) -> bool:
    is_elsewhere = vantage.place.region not in regions and vantage.place.region != ""
    return is_elsewhere and vantage.since_us - vantage.lost_us <= _TRAVEL_US
