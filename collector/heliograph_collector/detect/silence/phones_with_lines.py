"""Ask whether phones fell with the lines that are held as a power failure.

Theory of operation. Lines that fall one by one are held while phones live, because a grid takes
lines and leaves the masts on their batteries. But where an order takes people one after another,
most phones may be here still as the lines are first seen to fall. So the hold is asked again. Where
most phones fell within a quarter of an hour of the lines, no battery kept them, and no power
failure is what only the living phones spoke for. Where machines reported that they lost their
power, it stays.
"""

from statistics import median

from heliograph_collector.detect.silence.other_causes import BATTERY_US
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.spared_cells import POWERLESS_SHARE
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import select_established, sum_silent
from heliograph_collector.incidents.incident import HoldReason, IncidentKind


def have_phones_fallen_with_lines(
    outage: OutageEpisode, presence: PresenceTracker, now_us: int
) -> bool:
    """Return whether most phones of the held regions fell with their lines, while it lasts."""
    is_held = outage.kind is IncidentKind.SILENCE and outage.held == (HoldReason.POWER,)
    if not (is_held and outage.is_open):
        return False
    recent = _list_nearby(outage, presence, now_us)
    silent = [vantage for vantage in recent if vantage.is_silent]
    powerless = sum(v.power_failed or v.has_lost_mains(outage.from_us) for v in silent)
    if powerless >= POWERLESS_SHARE * len(silent):
        return False
    count = sum_silent([vantage for vantage in recent if vantage.place.access == "mobile"])
    if count.votes < outage.limits.votes or count.share < outage.limits.confirm_share:
        return False
    lines_us = [vantage.lost_us for vantage in silent if vantage.place.access == "fixed"]
    phones_us = [vantage.lost_us for vantage in silent if vantage.place.access == "mobile"]
    return bool(lines_us) and median(phones_us) - median(lines_us) < BATTERY_US


def _list_nearby(
    outage: OutageEpisode, presence: PresenceTracker, now_us: int
) -> list[VantagePresence]:
    """List the voters of its regions that are here, or fell since shortly before it began."""
    regions = {part.scope.region for part in outage.parts}
    recent = [
        vantage
        for vantage in presence.list_recent(outage.country, outage.from_us - BATTERY_US)
        if "" in regions or vantage.place.region in regions
    ]
    return select_established(recent, now_us, outage.limits, outage.limits.witnesses)[0]
