"""Switched off: whether machines that began again had lost power together, or each by itself.

Theory of operation. A reboot after a silence says that a machine was off, and not why. A grid takes
a region at once, or street by street. People who go to bed, leave for a holiday or let a phone
install its update go one by one, over an hour or a night, and come back so. In a region of few
machines that shows: nobody has two others near in time, or no more than chance makes in so long.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.detect.silence.vantage_presence import BRIEF_US, VantagePresence
from heliograph_collector.detect.stats.ranks import MEMBERS
from heliograph_collector.detect.stats.tails import measure_spread

# Assumed, all of them:
_NEAR_US = 5 * MINUTE_US  # in which the lines of a street go, either way
_STEP_US = 15 * MINUTE_US  # in which a grid takes a region, from the tenth to nine tenths
_NEIGHBORS = 2  # near in time, at least …
_FACTOR = 2  # … and so many times what an even spread makes
_LEAST = 5  # machines in such regions: fewer tell nothing
_MASTS_US = 4 * HOUR_US  # for which the batteries of most masts last, after the lines
_LINES_SHARE = 0.5  # of the lines of a country, that a grid takes; fewer sleep


def went_one_by_one(machines: Iterable[VantagePresence]) -> bool:
    """Return whether most of these machines were switched off each by itself, region by region."""
    lost_us: defaultdict[str, list[int]] = defaultdict(list)
    for machine in machines:
        lost_us[machine.place.region].append(machine.powerless_us or machine.lost_us)
    regions = [sorted(times_us) for times_us in lost_us.values() if len(times_us) >= MEMBERS]
    machine_count = sum(map(len, regions))
    return machine_count >= _LEAST and 2 * sum(map(_count_joint, regions)) < machine_count


def have_lines_fallen(vantages: Iterable[VantagePresence], since_us: int) -> bool:
    """Return whether most lines of a country fell too, up to some hours before its phones did."""
    lines = [v for v in vantages if v.place.access == "fixed"]
    fallen = [
        v.lost_us >= since_us - _MASTS_US and (v.is_silent or v.back_us - v.lost_us >= BRIEF_US)
        for v in lines
    ]
    return sum(fallen) >= max(MEMBERS, _LINES_SHARE * len(lines))


def _count_joint(times_us: Sequence[int]) -> int:
    """Count those that went with others.

    Args:
        times_us: When the machines of one region went, in order.
    """
    span_us = measure_spread(times_us)
    if span_us <= _STEP_US:
        return len(times_us)
    expected = (len(times_us) - 1) * 2 * _NEAR_US / span_us
    least = max(_NEIGHBORS, _FACTOR * expected)
    return sum(_count_near(times_us, at_us) > least for at_us in times_us)


def _count_near(times_us: Sequence[int], at_us: int) -> int:
    """Count who went near a time, of whom one did so then."""
    first = bisect_left(times_us, at_us - _NEAR_US)
    return bisect_right(times_us, at_us + _NEAR_US) - first
