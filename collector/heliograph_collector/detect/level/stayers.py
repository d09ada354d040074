"""Ask what happened to stayers: vantages that were here for a whole day and night.

Theory of operation. People who sleep do so each day. A vantage that was not away for an hour in the
day and night before its loss goes by accident alone, or on a day like none before, and then few go
at a time. So a night takes those that are away each day, and leaves the stayers, and so do offices
that close earlier on a Saturday. A cut takes both alike.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.model.thresholds import Thresholds

_GONE_US = 10 * MINUTE_US  # of a silence; assumed
_AWAY_SHARE = 0.2  # of stayers that are away at one time; assumed
_STAYERS_SHARE = 1 / 3  # of a cell's vantages; of fewer chance may have left each; assumed
_ALL_SHARE = 0.9  # of stayers, where nights are known in which others slept; assumed
_CHANCE = 1e-3  # that so many are away without a cause; assumed


def have_stayers_gone(
    vantages: Iterable[VantagePresence], now_us: int, limits: Thresholds, *, are_all: bool
) -> bool:
    """Return whether more stayers are away than go by themselves.

    Of a fleet of ten a share says little: that nine are away, of whom four go to sleep each night,
    is what chance makes of such a night now and then. Where nine of ten phones doze, those that did
    not may do so in the next night.
    """
    lasting = [v for v in vantages if not (v.is_silent and now_us - v.lost_us < _GONE_US)]
    stayers = [v for v in lasting if v.has_stayed(now_us)]
    votes = sum_silent(stayers)
    if len(stayers) < _STAYERS_SHARE * len(lasting):
        return False
    least = _ALL_SHARE if are_all else limits.confirm_share
    if votes.hits < limits.votes or votes.share < least:
        return False
    return upper_tail([_AWAY_SHARE] * round(votes.votes), round(votes.hits)) <= _CHANCE


def do_stayers_live(fallen: Sequence[VantagePresence], now_us: int, limits: Thresholds) -> bool:
    """Return whether the stayers live of the networks that fell.

    Networks that live are left out: a cut spares some, in which all may be stayers.
    """
    by_network: defaultdict[tuple[int, str], list[VantagePresence]] = defaultdict(list)
    for vantage in fallen:
        by_network[vantage.place.asn, vantage.place.access].append(vantage)
    hit = [g for g in by_network.values() if sum_silent(g).share >= limits.suspect_share]
    votes = sum_silent([v for group in hit for v in group if v.has_stayed(now_us)])
    return votes.votes >= limits.votes and votes.share <= _AWAY_SHARE
