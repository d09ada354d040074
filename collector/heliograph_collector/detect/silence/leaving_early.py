"""Leaving early: those machines go that people switch off on other days, some hours later.

Theory of operation. An office closes at two on the Friday before a holiday, and its machines go
within an hour. No day before has shown that time, but each has shown that people switch these
machines off at the end of their day; others of the same networks, those of homes and servers, stay.
A cut of an operator takes both alike. So those that went are compared with all of their networks'
machines of the same region and access: while lots would seldom fall on so few others, people may
have left. Networks that hold no others show nothing by themselves, and are judged with all that
fell since an hour before. What falls within minutes is none of this: a breaker, or an order.

The comparison only delays: a cut that grows takes the others too, and is confirmed then.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

from heliograph.units import DAY_US, HOUR_US, SECOND_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.ranks import MEMBERS
from heliograph_collector.detect.stats.stratified_test import compute_split_chance
from heliograph_collector.detect.stats.tails import measure_spread
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
_EARLIER_US = 8 * HOUR_US  # than on other days: a working day
_BESIDE_US = HOUR_US  # before the first of the silent and after the last: others left too
_SLOW_US = 300 * SECOND_US  # between the tenth and nine tenths of those that went
_OTHERS_SHARE = 0.2  # of those that went: some others go by chance, and some are young
_MOST_LOTS = 200  # drawn of a network
_CHANCE = 1 / 3  # that lots fall on so few others: of two networks many of one may go first


def have_left_early(inside: Sequence[VantagePresence], at_home: Sequence[VantagePresence]) -> bool:
    """Return whether hardly any machines went but those that are switched off later in the day.

    Args:
        inside: The vantages of the cells that fell silent, here or silent.
        at_home: The country's established vantages, here or silent.
    """
    silent = [v for v in inside if v.is_silent]
    if len(silent) < THRESHOLDS.burst:
        return False
    lost_us = [v.lost_us for v in silent]
    latest_us = max(lost_us)
    since_us, until_us = min(lost_us) - _BESIDE_US, latest_us + _BESIDE_US
    gone = [v for v in at_home if v.is_silent and since_us <= v.lost_us <= until_us]
    are_slow = measure_spread([v.lost_us for v in gone]) >= _SLOW_US
    if not are_slow or not (_are_due_later(silent, latest_us) and _are_due_later(gone, latest_us)):
        return False
    networks: defaultdict[tuple[int, str, str], list[VantagePresence]] = defaultdict(list)
    for v in at_home:
        if v.is_live or (v.is_silent and v.lost_us >= since_us):
            networks[v.place.asn, v.place.access, v.place.region].append(v)
    names = {v.witness.nym for v in gone}
    lots = [
        [(_is_due_later(v, latest_us), v.witness.nym in names) for v in _draw(network)]
        for network in networks.values()
    ]
    hit = [network for network in lots if sum(is_gone for _, is_gone in network) >= MEMBERS]
    return compute_split_chance(hit) <= _CHANCE


def _draw(network: Sequence[VantagePresence]) -> Sequence[VantagePresence]:
    """Draw so many of a large network that the chance is computed in milliseconds."""
    step = math.ceil(len(network) / _MOST_LOTS)
    return sorted(network, key=lambda v: v.witness.nym)[::step] if step > 1 else network


def _are_due_later(gone: Sequence[VantagePresence], now_us: int) -> bool:
    return sum(not _is_due_later(v, now_us) for v in gone) <= _OTHERS_SHARE * len(gone)


def _is_due_later(vantage: VantagePresence, now_us: int) -> bool:
    """Return whether its machine was switched off on an earlier day, some hours after this time."""
    return any(0 <= (at_us - now_us) % DAY_US <= _EARLIER_US for at_us in vantage.shutdowns)
