"""Batteries: whether a country falls as in a power failure, in which masts have batteries."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.tails import quantile

_LINES_FIRST_SIGMAS = 2.2  # of a rank sum: 1.4 % by chance; five before three suffice; assumed
_TURNS_US = 15 * MINUTE_US  # between the tenth and nine tenths of a network's phones; assumed
_BRIEF_US = 10 * MINUTE_US  # of a silence that is over, by chance; assumed
_PHONES = 3  # of a network that tell how it fell; assumed


def is_battery_order(vantages: Sequence[VantagePresence], since_us: int) -> bool:
    """Return whether since a time lines went first, and then each network's phones by turns.

    They go with their masts; an order cuts a network's phones at one time. Who is back counts too.
    """
    fallen = [v for v in vantages if v.lost_us >= since_us and not _was_brief(v)]
    lost_us: defaultdict[int, list[int]] = defaultdict(list)
    for vantage in fallen:
        if vantage.place.access == "mobile":
            lost_us[vantage.place.asn].append(vantage.lost_us)
    spreads_us = [
        quantile(times_us, 0.9) - quantile(times_us, 0.1)
        for times_us in lost_us.values()
        if len(times_us) >= _PHONES
    ]
    is_by_turns = bool(spreads_us) and median(spreads_us) > _TURNS_US
    return is_by_turns and have_lines_gone_first(fallen)


def _was_brief(vantage: VantagePresence) -> bool:
    return vantage.is_live and vantage.back_us - vantage.lost_us < _BRIEF_US


def have_lines_gone_first(vantages: Sequence[VantagePresence]) -> bool:
    """Return whether lines went before phones, by the rank sum of Mann and Whitney."""
    lines_us = [v.lost_us for v in vantages if v.place.access == "fixed"]
    phones_us = sorted(v.lost_us for v in vantages if v.place.access == "mobile")
    pairs = len(lines_us) * len(phones_us)
    if not pairs:
        return False
    first = sum(len(phones_us) - bisect_right(phones_us, lost_us) for lost_us in lines_us)
    sigma = math.sqrt(pairs * (len(lines_us) + len(phones_us) + 1) / 12)
    return first - pairs / 2 > _LINES_FIRST_SIGMAS * sigma
