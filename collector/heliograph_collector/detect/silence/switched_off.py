"""Decide whether rebooted machines lost power together, or each by itself.

Theory of operation. A reboot after a silence says that a machine was off, and not why. A grid takes
a country or a region at once, or street by street, and a cut one network after another. People who
go to bed, leave for a holiday or let a phone install its update go one by one, over an hour or a
night, and come back so. Of few machines that shows: nobody has two others near in time, in the
country, its region or its network, or no more than chance makes in so long. Half of a group went
in one step, however late the others followed: some have a UPS, each of which lasts for its own
time.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from operator import attrgetter

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.detect.silence.vantage_presence import BRIEF_US, VantagePresence
from heliograph_collector.detect.stats.ranks import MEMBERS, compute_rank_chance
from heliograph_collector.detect.stats.tails import measure_spread

# Assumed, all of them:
_NEAR_US = 5 * MINUTE_US  # in which the lines of a street go, either way
_STEP_US = 15 * MINUTE_US  # in which a grid takes a region, from the tenth to nine tenths
_NEIGHBORS = 2  # near in time, at least …
_FACTOR = 2  # … and so many times what an even spread makes
_NETWORK_CHANCE = 0.01  # that lines which go one by one do so network by network
_LEAST = 5  # machines: fewer show nothing
_MASTS_US = 4 * HOUR_US  # for which the batteries of most masts last, after the lines
LINES_SHARE = 0.5  # of the lines of a country, that a grid takes; fewer sleep …
NEARLY_ALL = 0.9  # … and nobody switches so many off


def are_together(machines: Iterable[VantagePresence]) -> bool:
    """Return whether these machines went as a grid takes a country."""
    return measure_spread([_get_lost_us(machine) for machine in machines]) <= _STEP_US


def _get_lost_us(machine: VantagePresence) -> int:
    return machine.unplugged_us or machine.powerless_us or machine.lost_us


def went_one_by_one(machines: Iterable[VantagePresence]) -> bool:
    """Return whether most of a country's machines were switched off one by one."""
    lost = [(machine, _get_lost_us(machine)) for machine in machines]
    if len(lost) < _LEAST:
        return False
    joint: set[str] = set()
    for get_group in (_get_country, _get_region, _get_network):
        groups: defaultdict[Hashable, list[tuple[str, int]]] = defaultdict(list)
        for machine, lost_us in lost:
            groups[get_group(machine.place)].append((machine.witness.nym, lost_us))
        for group in groups.values():
            joint.update(_list_joint(group))
    return 2 * len(joint) < len(lost)


_get_country = attrgetter("country")
_get_region = attrgetter("region")
_get_network = attrgetter("asn")


def went_by_network(vantages: Iterable[VantagePresence]) -> bool:
    """Return whether lines fell network by network, in a time that no region explains."""
    lines = [vantage for vantage in vantages if vantage.place.access == "fixed"]
    by_network = compute_rank_chance((v.place.asn, v.lost_us) for v in lines)
    by_region = compute_rank_chance((v.place.region, v.lost_us) for v in lines)
    return by_network <= _NETWORK_CHANCE < by_region


def measure_fallen_lines(
    vantages: Iterable[VantagePresence], since_us: int, *, are_phones: bool = False
) -> float:
    """Return the share of a country's lines that fell since the hours before an outage.

    A line that was not here then could not have fallen. The share is 0 if there are too few lines.

    Args:
        vantages: The vantages of the country.
        since_us: When the outage began.
        are_phones: Phones alone fell. They follow a grid within hours, and lines that fall later,
            as each night beside a cut of days, are no grid that they followed.
    """
    begun_us = since_us - _MASTS_US
    until_us = since_us + _MASTS_US if are_phones else None
    lines = [v for v in vantages if v.place.access == "fixed"]
    fallen = [_has_fallen(v, begun_us, until_us) for v in lines]
    spared = sum(
        v.is_live and not has_fallen and (v.since_us < since_us or v.lost_us >= begun_us)
        for v, has_fallen in zip(lines, fallen, strict=True)
    )
    return sum(fallen) / (sum(fallen) + spared) if sum(fallen) >= MEMBERS else 0.0


def _has_fallen(line: VantagePresence, since_us: int, until_us: int | None) -> bool:
    """Return whether a line fell for long or lost power in a time, even if it is back."""
    was_long = line.is_silent or line.back_us - line.lost_us >= BRIEF_US
    return any(
        at_us >= since_us and (until_us is None or at_us <= until_us)
        for at_us in (line.powerless_us, line.lost_us if was_long else 0)
    )


def _list_joint(group: Sequence[tuple[str, int]]) -> list[str]:
    """List the machines that were switched off together with others.

    Args:
        group: The pseudonyms of machines, and when they went.
    """
    if len(group) < MEMBERS:
        return []
    times_us = sorted(lost_us for _, lost_us in group)
    span_us = measure_spread(times_us)
    if span_us <= _STEP_US:
        return [nym for nym, _ in group]
    expected = (len(times_us) - 1) * 2 * _NEAR_US / span_us
    least = max(_NEIGHBORS, min(_FACTOR * expected, len(group) / 2))  # half of all are a step
    return [nym for nym, lost_us in group if _count_near(times_us, lost_us) > least]


def _count_near(times_us: Sequence[int], at_us: int) -> int:
    """Count the machines switched off near a time, including the one at that time."""
    first = bisect_left(times_us, at_us - _NEAR_US)
    return bisect_right(times_us, at_us + _NEAR_US) - first
