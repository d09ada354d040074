"""Daily routine: machines that are switched off at one time of the day.

Theory of operation. A school, an office or a laboratory on its own network switches its
machines off with a bell, and on in the morning. That falls like a cut of the network, and comes
back like a power failure. Two such days show a routine: most of those that are silent were switched
off at this time of two of the last seven days, and began again later without a measurement in
between. Then it is only suspected (`habit`), and the morning's reboots show no power failure. An
order differs: its people measure that no anchor answers, so that what they switch off later is no
routine, and a curfew takes several networks in a quarter of an hour.

People leave an office within half an hour, not on every day, and earlier or later than yesterday.
So few of its machines were switched off at one time of two days, and each network counts as a
whole: two days on which two fifths of them were, and most of them on one day at least.

Offices that close at one hour are in several networks. A curfew would take their servers and the
lines of homes as well, so there hardly any may be silent that was never switched off so.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.cell_members import select_inside, select_silent
from heliograph_collector.detect.silence.earlier_phones import list_earlier_phones
from heliograph_collector.detect.silence.failed_elsewhere import view_elsewhere
from heliograph_collector.detect.silence.leaving_early import have_left_early
from heliograph_collector.detect.silence.mains_witnesses import MainsView, view_mains
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.renewal import are_due_most
from heliograph_collector.detect.silence.shared_networks import NetworkView
from heliograph_collector.detect.silence.surges import is_surge_over
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits, sum_silent
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import is_established
from heliograph_collector.incidents.incident import HoldReason, IncidentKind, IncidentState
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
_DAYS = 2  # on which a machine was switched off at this time: it will be again
BELL_US = 900 * SECOND_US  # in which all go that one bell or order takes
_SAME_SHARE = 0.4  # of the silent were switched off on one day, so that their network was
_OTHERS_SHARE = 0.2  # of the fallen, in other networks: some go by chance


def are_off_by_routine(cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence]) -> bool:
    """Return whether the silent of these cells were switched off, as on earlier days.

    Args:
        cells: Those that fell silent.
        vantages: The country's established vantages, here or silent.
    """
    inside = select_inside(cells, vantages)
    silent = [v for v in inside if v.is_silent]
    if len({v.place.asn for v in silent}) == 1 and not _do_others_fall(silent, vantages):
        return are_due_most(inside, _list_due(silent)) or are_due_most(inside, _list_staff(silent))
    return _are_only_due(inside) and _are_only_due(vantages)


def _are_only_due(vantages: Sequence[VantagePresence]) -> bool:
    """Return whether most of the silent are due to be off, while others live.

    The others are in the same networks and are not due. A live vantage that is due may go in the
    next minutes. One that was switched off on only one day shows nothing.
    """
    silent = [v for v in vantages if v.is_silent]
    if not silent:
        return False
    bell_us = quantile([v.heard_us for v in silent], 0.5)
    due = _list_due(silent) | _list_staff(silent)
    networks = {v.place.asn for v in silent if v.witness.nym in due}
    others = [
        v
        for v in vantages
        if v.place.asn in networks and not v.count_shutdowns(v.heard_us if v.is_silent else bell_us)
    ]
    other_votes = sum_silent(others)
    if other_votes.votes < THRESHOLDS.witnesses or other_votes.share > THRESHOLDS.alive_share:
        return False
    hits = [v.witness.nym in due for v in silent]
    return count_hits(silent, hits).share >= THRESHOLDS.confirm_share


def _list_due(silent: Sequence[VantagePresence]) -> set[str]:
    """List the vantages that are switched off at this time by routine."""
    return {v.witness.nym for v in silent if v.count_shutdowns(v.heard_us) >= _DAYS}


def _list_staff(silent: Sequence[VantagePresence]) -> set[str]:
    """List the vantages that are switched off with their network, not each on the same days."""
    by_network: defaultdict[int, list[VantagePresence]] = defaultdict(list)
    for vantage in silent:
        by_network[vantage.place.asn].append(vantage)
    return set().union(*map(_list_together, by_network.values()))


def _list_together(silent: Sequence[VantagePresence]) -> set[str]:
    """List those of the silent of one network that were off on a day, if it goes as a whole."""
    days = {v.witness.nym: v.list_shutdown_days(v.heard_us) for v in silent}
    off = Counter(chain.from_iterable(days.values()))
    if sum(count >= _SAME_SHARE * len(silent) for count in off.values()) < _DAYS:
        return set()
    due = {nym for nym, own in days.items() if own}
    hits = [v.witness.nym in due for v in silent]
    return due if count_hits(silent, hits).share >= THRESHOLDS.confirm_share else set()


def _do_others_fall(silent: Sequence[VantagePresence], vantages: Sequence[VantagePresence]) -> bool:
    """Return whether other networks fall silent in the same minutes, as by an order.

    Offices in other networks close then too: those that did so on an earlier day are no others.
    """
    since_us = min(v.lost_us for v in silent) - BELL_US
    asn = silent[0].place.asn
    others = [v for v in vantages if v.is_silent and v.lost_us >= since_us and v.place.asn != asn]
    ordered = [v for v in others if not v.count_shutdowns(v.heard_us)]
    return len(ordered) >= max(THRESHOLDS.burst, _OTHERS_SHARE * len(silent))


def confirm_or_hold(
    outage: OutageEpisode,
    cells: Sequence[AffectedCell],
    vantages: Sequence[VantagePresence],
    presence: PresenceTracker,
    now_us: int,
) -> None:
    """Confirm an outage whose cells stayed silent, or hold it for another cause.

    Args:
        outage: One that waits for no more than that.
        cells: The cells that fell silent now; the outage may hold more.
        vantages: The country's established vantages, here or silent.
        presence: The vantages of all countries.
        now_us: The time of the evaluation.
    """
    limits = outage.limits
    outage.may_have_left = have_left_early(select_inside(cells, vantages), vantages)
    is_off = are_off_by_routine(cells, vantages) or is_surge_over(cells, vantages)
    outage.is_routine = outage.may_have_left or is_off
    if outage.is_routine:
        outage.held = (HoldReason.HABIT,)
        return
    view = view_elsewhere(cells, vantages, presence, now_us)
    if view is NetworkView.HELD:
        outage.held = (HoldReason.ELSEWHERE,)
        return
    outage.is_joint |= view is NetworkView.DEAD
    began_us = min((v.lost_us for v in select_silent(cells, vantages)), default=now_us)
    earlier = list_earlier_phones(presence, outage.country, began_us, now_us)
    is_power = confounders.is_power_failure(cells, [*vantages, *earlier], limits)
    mains = MainsView.UNKNOWN
    if is_power:
        mains = view_mains(cells, vantages, outage.started.earliest_us)
    is_power &= mains is not MainsView.WORKS
    is_failure = mains is MainsView.FAILED
    if not is_power or (confounders.may_be_order(cells, vantages) and not is_failure):
        outage.confirm(now_us)
    outage.held = (HoldReason.POWER,) if is_power else ()
    if is_failure:
        outage.explain_as(IncidentKind.POWER, now_us)


def confirm_early_falls(
    outages: Iterable[OutageEpisode], presence: PresenceTracker, now_us: int
) -> None:
    """Confirm outages of people who may have left early, once others of their networks went too."""
    for outage in outages:
        if not outage.may_have_left or outage.state is not IncidentState.SUSPECTED:
            continue
        at_home = [
            v
            for v in presence.list_country(outage.country)
            if (v.is_live or (v.is_silent and v.lost_us >= outage.from_us))
            and is_established(v.witness, now_us, outage.limits)
        ]
        inside = select_inside(outage.parts, at_home)
        if sum_silent(inside).share >= outage.limits.confirm_share:
            confirm_or_hold(outage, outage.parts, at_home, presence, now_us)
