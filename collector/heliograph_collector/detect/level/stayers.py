"""Stayers: vantages that were here for a whole day and night, and have no habit of going.

Theory of operation. Of a fleet of ten a share says little: that nine are away, of whom four go to
sleep each night, is what chance makes of such a night now and then. But who sleeps does so each
day. Who was not away for an hour in the day and night before its loss goes by accident alone, or
on a day like none before, and then few do at a time.
"""

from collections.abc import Iterable

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence.presence_tracker import count_silent
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.detect.stats.voting import sum_votes
from heliograph_collector.model.thresholds import Thresholds

_LASTING_US = 10 * MINUTE_US  # of a silence; assumed
_AWAY_SHARE = 0.2  # of stayers that are away at one time; assumed
_CHANCE = 1e-3  # that so many are, though nothing befell them; assumed


def have_stayers_gone(vantages: Iterable[VantagePresence], now_us: int, limits: Thresholds) -> bool:
    """Return whether more stayers are away than go by themselves."""
    stayers = [v for v in vantages if v.has_stayed(now_us) and not _is_brief(v, now_us)]
    votes = sum_votes(count_silent(stayers))
    if votes.hits < limits.votes or votes.share < limits.confirm_share:
        return False
    return upper_tail([_AWAY_SHARE] * round(votes.votes), round(votes.hits)) <= _CHANCE


def _is_brief(vantage: VantagePresence, now_us: int) -> bool:
    return vantage.is_silent and now_us - vantage.lost_us < _LASTING_US
