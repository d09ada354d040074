"""Doubts: why a cell that is dark may not be cut off."""

from collections.abc import Sequence

from heliograph_collector.detect.level.cell_counts import ABSENT_US, CellTest, Sample
from heliograph_collector.detect.level.departures import (
    are_lines_switched_off,
    are_phones_up,
    have_said_goodbye,
    may_be_departures,
    may_be_removal,
)
from heliograph_collector.detect.level.fall import LevelFall, find_main_fall
from heliograph_collector.detect.level.part_contrast import (
    falls_with_others,
    is_gone_beside_peers,
)
from heliograph_collector.detect.level.stayers import do_stayers_live
from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.daily_routine import are_off_by_routine
from heliograph_collector.detect.silence.earlier_phones import list_earlier_phones
from heliograph_collector.detect.silence.evasion import doubts_fall
from heliograph_collector.detect.silence.failed_elsewhere import view_elsewhere
from heliograph_collector.detect.silence.late_networks import fell_in_fault
from heliograph_collector.detect.silence.leaving_early import have_left_early
from heliograph_collector.detect.silence.merging import is_one_line
from heliograph_collector.detect.silence.shared_networks import NetworkView
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.voluntary_end import find_voluntary_end
from heliograph_collector.incidents.incident import HoldReason
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.thresholds import Thresholds

POWER_SHARE = 0.2  # of the silent, whose power failed before their loss: it may be it; assumed


def find_doubts(
    fall: LevelFall,
    part: AffectedCell,
    fallen: Sequence[VantagePresence],
    test: CellTest,
    *,
    is_known: bool,
) -> tuple[str, ...]:
    """Return why a fall that is dark may be no cut; () if nothing speaks against it.

    Args:
        test: The last one of the fall.
        is_known: What people do at this time of day is known, and is none of this.
    """
    sample = test.sample
    limits = sample.limits
    silent = [vantage for vantage in fallen if vantage.is_silent]
    if sample.have_ways_fallen or fell_in_fault(sample.presence, fall.scope.country, silent):
        return (HoldReason.COMMON,)
    began_us = fall.started.earliest_us
    at_home = sample.select_fallen(Scope(fall.scope.country), began_us)
    is_unknown = not is_known or (not test.is_learned and are_phones_up(at_home))
    may_be_off = is_unknown and _may_be_switched_off(fall, fallen, sample)
    is_routine = are_off_by_routine((part,), fallen) or have_left_early(fallen, at_home)
    if may_be_off or is_routine:
        return (HoldReason.HABIT,)
    failed = sum(v.power_failed or v.has_lost_mains(began_us) for v in silent)
    may_be_power = failed >= POWER_SHARE * len(silent) or fall.in_order
    first_us = min((v.lost_us for v in silent), default=sample.now_us)
    earlier = list_earlier_phones(sample.presence, fall.scope.country, first_us, sample.now_us)
    compared = [*fallen, *earlier], [*at_home, *earlier]
    if may_be_power or _is_power_failure(part, *compared, limits):
        return (HoldReason.POWER,)
    since_us = find_main_fall([v.lost_us for v in silent])  # the first may be chance, or sleep
    abroad = sample.presence.list_abroad(fall.scope.country, began_us)
    reason = find_voluntary_end((part,), at_home, since_us, sample.now_us, abroad)
    if reason:
        return (reason,)
    of_a_day = sample.select_fallen(fall.scope, sample.now_us - ABSENT_US)
    lasts_us = sample.now_us - fall.started.earliest_us
    if may_be_removal(fall.scope, of_a_day, lasts_us) or may_be_departures(fallen, of_a_day):
        return (HoldReason.HABIT,)
    have_left = do_stayers_live(fallen, sample.now_us, limits)
    have_left |= _have_people_left(fall.scope, silent, at_home, min(began_us, since_us), sample)
    if have_left or falls_with_others(fall.scope, fallen, sample, began_us):
        return (HoldReason.HABIT,)
    blocked = confounders.find_blocked_carrier(fallen, began_us, limits)
    if blocked is not None or doubts_fall(at_home, began_us, sample.now_us, limits):
        return (HoldReason.CARRIER,)
    return _find_network_doubt(part, fallen, sample)


def _may_be_switched_off(
    fall: LevelFall, fallen: Sequence[VantagePresence], sample: Sample
) -> bool:
    """Return whether lines went one by one, as for a night; not if their neighbors stayed."""
    went_so = are_lines_switched_off(fall.scope, fallen, sample.now_us)
    return went_so and not is_gone_beside_peers(fall.scope, sample, fall.started.earliest_us)


def _find_network_doubt(
    part: AffectedCell, fallen: Sequence[VantagePresence], sample: Sample
) -> tuple[str, ...]:
    """Return why a network that is dark may have failed by itself; () if it may not."""
    view = view_elsewhere((part,), fallen, sample.presence, sample.now_us)
    if view is NetworkView.HELD:
        return (HoldReason.ELSEWHERE,)
    return (HoldReason.ONE_LINE,) if is_one_line((part,), fallen, sample.limits) else ()


def _is_power_failure(
    part: AffectedCell,
    fallen: Sequence[VantagePresence],
    at_home: Sequence[VantagePresence],
    limits: Thresholds,
) -> bool:
    """Return whether lines fail as in a power failure, beside phones.

    The phones are those of the same cell or of the whole country.
    """
    if confounders.is_power_failure((part,), fallen, limits):
        return True
    is_like = confounders.is_power_failure((part,), at_home, limits)
    return is_like and not confounders.may_be_order((part,), at_home)


def _have_people_left(
    scope: Scope,
    silent: Sequence[VantagePresence],
    at_home: Sequence[VantagePresence],
    since_us: int,
    sample: Sample,
) -> bool:
    """Return whether people leave with goodbyes, in the country and in its cell."""
    presence = sample.presence
    home = presence.list_inside(Scope(scope.country))
    gone = [vantage for vantage in at_home if vantage.is_silent]
    inside = presence.list_inside(scope)
    return have_said_goodbye(home, gone, since_us) and (
        scope.is_national or have_said_goodbye(inside, silent, since_us, is_part=True)
    )
