"""Keep a power failure beside a cut, or a cut beside a power failure, apart.

Theory of operation. A cut that rolls out within two hours is one incident, so what falls then
extends an open one. But lines that fall as by a grid, in a region that the cut spared, are not
confirmed by that cut: they are held as a power failure, as they would be without it. And what falls
elsewhere beside a power failure is no part of that one: it is decided by itself. Where phones of
the region are in the cut already, as where a city loses first these and then its lines, or where
whole operators of the country fall, the new cells extend the cut as ever.
"""

from collections.abc import Collection, Iterable, Sequence

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.cell_members import select_silent
from heliograph_collector.detect.silence.earlier_phones import list_earlier_phones
from heliograph_collector.detect.silence.merging import list_extensible
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.spared_cells import (
    explains_place,
    is_power,
    list_spared_regions,
)
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import (
    count_silent,
    select_established,
    sum_silent,
)
from heliograph_collector.detect.stats.localization import localize
from heliograph_collector.detect.stats.tails import measure_spread
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import Thresholds

# A mast's battery lasts for minutes or hours, each for its own; assumed, both:
BATTERY_US = 15 * MINUTE_US  # after which phones without power go by turns …
_AT_ONCE_US = 2 * MINUTE_US  # … and not so, from the tenth to nine tenths of all operators'
_OUTSIDE_SHARE = 0.5  # of the new silences, in regions that the power failure spared; assumed


def list_extended(
    outages: Iterable[OutageEpisode], presence: PresenceTracker, burst_us: int, now_us: int
) -> list[OutageEpisode]:
    """List recent outages that a burst extends, because one cause may explain both."""
    recent = list_extensible(outages, now_us, presence.limits)
    return [o for o in recent if not _has_other_cause(o, presence, burst_us, now_us)]


def list_beside(
    outages: Iterable[OutageEpisode],
    extended: Sequence[OutageEpisode],
    presence: PresenceTracker,
    since_us: int,
) -> list[VantagePresence]:
    """List vantages silent since before a time by another cause than the new fall."""
    apart = [o for o in outages if o.is_open and o not in extended and (o.is_block or is_power(o))]
    return [
        vantage
        for outage in apart
        for vantage in presence.list_silent(outage.country, outage.from_us)
        if vantage.lost_us < since_us and explains_place(outage, vantage.place)
    ]


def _has_other_cause(
    outage: OutageEpisode, presence: PresenceTracker, burst_us: int, now_us: int
) -> bool:
    if outage.is_block:
        return True  # a block that grows is one by itself (`merge_block`)
    is_failure = is_power(outage)
    is_cut = outage.kind is IncidentKind.SILENCE and outage.confirmed_us is not None
    if not (is_failure or is_cut):
        return False
    limits = presence.limits
    people = presence.list_recent(outage.country, outage.from_us)
    voters, _ = select_established(people, now_us, limits, limits.witnesses)
    spared = [v for v in voters if not explains_place(outage, v.place)]
    recent = [v for v in spared if v.is_live or v.lost_us >= burst_us]
    cells = localize(count_silent(recent), limits.confirm_share, limits.burst, limits)
    if not cells:
        return False
    vantages = _select_comparable(cells, voters, spared, limits)
    began_us = min((v.lost_us for v in select_silent(cells, recent)), default=burst_us)
    earlier = list_earlier_phones(presence, outage.country, began_us, now_us)
    is_like_power = confounders.is_power_failure(cells, [*vantages, *earlier], limits)
    if is_failure:  # the last region of a grid that fails may look like an order
        is_other = _is_elsewhere(outage, cells, recent) or _are_phones_ordered(
            outage, cells, recent
        )
        return not is_like_power and is_other
    return is_like_power and not confounders.may_be_order(cells, vantages)


def _select_comparable(
    cells: Sequence[AffectedCell],
    voters: Sequence[VantagePresence],
    spared: Sequence[VantagePresence],
    limits: Thresholds,
) -> Sequence[VantagePresence]:
    """Select the vantages with which the lines are compared.

    Phones inside the outage say nothing of a grid, unless they are all phones of the region: then
    its lines follow them.
    """
    phones = [v for v in spared if v.place.access == "mobile" and _is_near(cells, v)]
    are_enough = sum_silent(phones).votes >= limits.witnesses
    return spared if are_enough else voters


def _is_near(cells: Collection[AffectedCell], vantage: VantagePresence) -> bool:
    return any(cell.scope.region in ("", vantage.place.region) for cell in cells)


def _is_elsewhere(
    outage: OutageEpisode, cells: Sequence[AffectedCell], recent: Iterable[VantagePresence]
) -> bool:
    """Return whether most silences lie in regions that the power failure spared."""
    fallen = select_silent(cells, recent)
    outside = [v for v in fallen if _has_spared_region(outage, v.place.region)]
    return len(outside) > _OUTSIDE_SHARE * len(fallen)


def _has_spared_region(outage: OutageEpisode, region: str) -> bool:
    if any(scope.region == region for scope in list_spared_regions(outage)):
        return True
    return not any(part.scope.region in ("", region) for part in outage.parts)


def _are_phones_ordered(
    outage: OutageEpisode, cells: Sequence[AffectedCell], recent: Iterable[VantagePresence]
) -> bool:
    """Return whether phones alone go at once, long after the power of lines.

    They are of several operators or regions, or some are where the power failure spared the lines.
    The batteries of masts end each at its own time, and those of one region may hang on one site.
    """
    limits = outage.limits
    fallen = select_silent(cells, recent)
    lost_us = [v.lost_us for v in fallen if v.place.access == "mobile"]
    if len(lost_us) < max(len(fallen), limits.votes):
        return False
    spared = sum(_has_spared_region(outage, v.place.region) for v in fallen)
    is_one_site = len({(v.place.asn, v.place.region) for v in fallen}) < 2
    if is_one_site and spared < limits.burst:
        return False
    is_late = min(lost_us) - outage.started.latest_us >= BATTERY_US
    return is_late and measure_spread(lost_us) <= _AT_ONCE_US
