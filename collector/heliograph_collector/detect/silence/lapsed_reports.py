"""Discard reports of working links from agents that later fell silent together.

Theory of operation. While one entrance is blocked, who finds another way tells that links work, and
nobody can in a cut. But where nearly all who told it fall silent by the other way too, within
minutes, and others keep that way, their words are of a time that is over: a state that blocks us
first may cut the country next. Had it blocked the second way alone, some would tell that by a third
within the time that it takes to detect a block of the collector. If none did, all reports on links
up to then lapse, also those that arrive after a return. People who go to bed one by one keep their
word.
"""

from collections.abc import Mapping

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence.entrance_view import have_ways_fallen
from heliograph_collector.detect.silence.explanation import BLOCK_DETECTED_US
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.tails import measure_spread
from heliograph_collector.model.signals import OfflineReport

_ALL_SHARE = 0.9  # of those who reported: a few stay, as by a satellite; assumed
_TOGETHER_US = 3 * MINUTE_US  # in which eight of ten of them are lost again; assumed
_LOOK_US = MINUTE_US  # after the wait, so that it is looked at once more


def find_lapse(
    reports: Mapping[str, OfflineReport], presence: PresenceTracker, country: str, now_us: int
) -> int:
    """Return the time up to which reports on links have lapsed; 0 if they hold.

    Args:
        reports: The reports of a country's vantages on an outage, by pseudonym.
        presence: The tracked vantages.
        country: The country.
        now_us: The time of the evaluation.
    """
    again = _list_silent_again(reports, presence)
    told = sum(bool(report.online) for report in reports.values())
    if len(again) < max(presence.limits.witnesses, _ALL_SHARE * told):
        return 0
    heard_us = [vantage.heard_us for vantage in again]
    is_early = now_us - max(vantage.lost_us for vantage in again) < BLOCK_DETECTED_US
    if is_early or measure_spread(heard_us) > _TOGETHER_US:
        return 0
    return 0 if have_ways_fallen(presence, country, min(heard_us), now_us) else max(heard_us)


def may_lapse(reports: Mapping[str, OfflineReport], presence: PresenceTracker, now_us: int) -> bool:
    """Return whether it is too early to see whether reports lapse."""
    last_us = max((v.lost_us for v in _list_silent_again(reports, presence)), default=0)
    return now_us - last_us <= BLOCK_DETECTED_US + _LOOK_US


def _list_silent_again(
    reports: Mapping[str, OfflineReport], presence: PresenceTracker
) -> list[VantagePresence]:
    """List vantages that reported a working link, and fell silent after that."""
    told = ((presence.vantages[nym], report) for nym, report in reports.items() if report.online)
    return [v for v, r in told if v.is_silent and not v.deferred and r.at_us < v.lost_us]


def select_current(reports: dict[str, OfflineReport], lapsed_us: int) -> dict[str, OfflineReport]:
    """Drop reports of links that worked up to a lapse; keep all if there was none."""
    if not lapsed_us:
        return reports
    return {
        nym: report
        for nym, report in reports.items()
        if not report.online or (report.measured_us or report.since_us) > lapsed_us
    }
