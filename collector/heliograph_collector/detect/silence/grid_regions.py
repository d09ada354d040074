"""Grid regions: whether lines fail where a grid fails, or where an order or a cable does.

A grid takes all lines of a region, by whichever operator. An order takes operators, and so does
a cable.
"""

from collections import defaultdict
from collections.abc import Sequence

from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.model.thresholds import THRESHOLDS

_LIVING_SHARE = 0.34  # of silent lines, up to which a region lives: chance takes some; assumed
_OPERATORS = 2  # dead in one region and alive in another: one may fail by itself; assumed


def fail_by_region(lines: Sequence[VantagePresence]) -> bool:
    """Return whether each region is dead or lives, and operators are dead here and live there."""
    by_region: defaultdict[str, list[VantagePresence]] = defaultdict(list)
    for line in lines:
        by_region[line.place.region].append(line)
    by_region.pop("", None)
    counts = {region: sum_silent(group) for region, group in by_region.items()}
    dead = [region for region, count in counts.items() if count.share >= THRESHOLDS.confirm_share]
    living = [region for region, count in counts.items() if count.share <= _LIVING_SHARE]
    if len(dead) + len(living) < len(counts) or _sum(counts, living) < THRESHOLDS.witnesses:
        return False
    dead_networks = {v.place.asn for region in dead for v in by_region[region] if v.is_silent}
    live_networks = {v.place.asn for region in living for v in by_region[region] if v.is_live}
    return len(dead_networks & live_networks) >= _OPERATORS


def _sum(counts: dict[str, VoteCount], regions: Sequence[str]) -> float:
    return sum(counts[region].votes for region in regions)
