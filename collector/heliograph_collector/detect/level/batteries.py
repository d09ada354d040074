"""Recognize power failures by the order in which lines and mobile networks fail.

Lines fail with the grid; masts have batteries, so phones fail later and one after another.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.detect.silence.grid_regions import fail_side_by_side, went_in_steps
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.ranks import MEMBERS, are_earlier, compute_rank_chance
from heliograph_collector.detect.stats.tails import measure_spread, quantile
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.thresholds import THRESHOLDS

_OPERATOR_CHANCE = 0.01  # that operators of lines which a grid takes go in turn so; assumed
_TURNS_US = 15 * MINUTE_US  # between the tenth and nine tenths of a network's phones; assumed
_LIVING_SHARE = 0.34  # of silent lines, or phones, of a region that has power; assumed
_PHONES_LOST = 0.25  # of a region: their masts are empty, and its lines long gone; assumed …
_LATE_SHARE = 0.25  # … but for so many, which have a UPS; assumed
_LATER_US = sys.maxsize  # than every loss until now
_MASTS_US = 4 * HOUR_US  # for which masts live without power; assumed
_BRIEF_US = 10 * MINUTE_US  # of a silence that is over, by chance; assumed


def are_in_battery_order(
    vantages: Sequence[VantagePresence], scope: Scope, since_us: int, *, were_in_order: bool
) -> bool:
    """Return whether a country's vantages, or those of a cell's region, fell in this order.

    Args:
        vantages: All of the country.
        were_in_order: They did when the cell was first dark. Lines that return and fall again do
            not change that.
    """
    nearby = [v for v in vantages if v.place.region == scope.region] if scope.region else []
    return any(
        is_battery_order(group, _include_lines(group, since_us), did_lines_lead=were_in_order)
        for group in (vantages, nearby)
    )


def _include_lines(vantages: Sequence[VantagePresence], since_us: int) -> int:
    """Return since when most lines fell, which may be before a fall was seen."""
    early_us = since_us - _MASTS_US
    lines = [v for v in vantages if v.place.access == "fixed"]
    recent = [v for v in lines if v.is_live or v.lost_us >= early_us]
    lost_us = [v.lost_us for v in recent if v.is_silent]
    is_most = len(lost_us) >= max(THRESHOLDS.burst, THRESHOLDS.confirm_share * len(recent))
    return min(since_us, *lost_us) if is_most else since_us


def is_battery_order(
    vantages: Sequence[VantagePresence], since_us: int, *, did_lines_lead: bool = False
) -> bool:
    """Return whether lines fell first, then the phones of each network one by one.

    Only silences since `since_us` count, including those of vantages that are back. Phones fail
    with their masts; an order cuts all phones of a network at one time, and in regions too that
    have power. Lines must not have fallen operator by operator: a grid takes regions, and a state
    that orders one operator after another may come to the phones last. When a quarter of the
    phones have gone, a grid has long taken the lines: where many go then, a network fades, and
    lines lead by those that people switched off before.
    """
    fallen = [v for v in vantages if v.lost_us >= since_us and not _was_brief(v)]
    lost_us: defaultdict[int, list[int]] = defaultdict(list)
    for vantage in fallen:
        if vantage.place.access == "mobile":
            lost_us[vantage.place.asn].append(vantage.lost_us)
    phones_us = [times_us for times_us in lost_us.values() if len(times_us) >= MEMBERS]
    if phones_us:
        is_by_turns = median(map(measure_spread, phones_us)) > _TURNS_US
        is_first = have_lines_gone_first(fallen)
    else:
        names = {vantage.witness.nym for vantage in fallen}
        recent = [v for v in vantages if v.is_live or v.witness.nym in names]
        is_by_turns = fail_side_by_side([v for v in recent if v.place.access == "fixed"])
        is_first = True
    return (
        is_by_turns
        and (did_lines_lead or (is_first and _do_lines_go_first(vantages, fallen)))
        and (did_lines_lead or not _go_lines_with_phones(fallen))
        and not _went_by_operator(fallen)
        and not _are_phones_silent_beside(vantages, fallen)
    )


def _do_lines_go_first(
    vantages: Sequence[VantagePresence], fallen: Sequence[VantagePresence]
) -> bool:
    """Return whether lines went before phones, where those that live may go later."""
    names = {vantage.witness.nym for vantage in fallen}
    lost_us: dict[str, list[int]] = {"fixed": [], "mobile": []}
    for vantage in vantages:
        has_fallen = vantage.witness.nym in names
        if vantage.place.access in lost_us and (has_fallen or vantage.is_live):
            lost_us[vantage.place.access].append(vantage.lost_us if has_fallen else _LATER_US)
    return are_earlier(lost_us["fixed"], lost_us["mobile"])


def _go_lines_with_phones(fallen: Sequence[VantagePresence]) -> bool:
    """Return whether many lines went after the first phones of their region."""
    lines, late = 0, 0
    for region in {v.place.region for v in fallen}:
        lost_us: dict[str, list[int]] = {"fixed": [], "mobile": []}
        for vantage in fallen:
            if vantage.place.access in lost_us and vantage.place.region == region:
                lost_us[vantage.place.access].append(vantage.lost_us)
        if len(lost_us["mobile"]) >= MEMBERS:
            empty_us = quantile(lost_us["mobile"], _PHONES_LOST)
            lines += len(lost_us["fixed"])
            late += sum(at_us > empty_us for at_us in lost_us["fixed"])
    return late >= max(MEMBERS, _LATE_SHARE * lines)


def _are_phones_silent_beside(
    vantages: Sequence[VantagePresence], fallen: Sequence[VantagePresence]
) -> bool:
    """Return whether phones are silent in regions, too, whose lines have power."""
    names = {vantage.witness.nym for vantage in fallen}
    lines: defaultdict[str, list[bool]] = defaultdict(list)
    for vantage in vantages:
        if vantage.place.access == "fixed":
            has_fallen = vantage.is_silent or vantage.witness.nym in names
            lines[vantage.place.region].append(has_fallen)
    lit = {region for region, hits in lines.items() if sum(hits) <= _LIVING_SHARE * len(hits)}
    phones = [v for v in vantages if v.place.access == "mobile" and v.place.region in lit]
    count = sum_silent(phones)  # more of them are away by turns, and back
    return count.votes >= THRESHOLDS.votes and count.share > _LIVING_SHARE


def _was_brief(vantage: VantagePresence) -> bool:
    return vantage.is_live and vantage.back_us - vantage.lost_us < _BRIEF_US


def have_lines_gone_first(vantages: Sequence[VantagePresence]) -> bool:
    """Return whether lines went before phones, but not in the steps of an order."""
    lines = [v for v in vantages if v.place.access == "fixed"]
    phones_us = [v.lost_us for v in vantages if v.place.access == "mobile"]
    return are_earlier([v.lost_us for v in lines], phones_us) and not went_in_steps(lines)


def _went_by_operator(vantages: Sequence[VantagePresence]) -> bool:
    """Return whether lines went operator by operator, and not region by region."""
    lines = [vantage for vantage in vantages if vantage.place.access == "fixed"]
    by_operator = compute_rank_chance((v.place.asn, v.lost_us) for v in lines)
    by_region = compute_rank_chance((v.place.region, v.lost_us) for v in lines)
    return by_operator <= min(_OPERATOR_CHANCE, by_region)
