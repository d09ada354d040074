"""Recognize that a blocked way works again, by those who had no other one.

Theory. Agents that are here by another way try the lost one seldom: a block that is over lasts for
hours by them. Those without another way try it every minute, so that they are silent while it is
blocked, and back within minutes of its end. Where nearly all who try it are back together, and
stay, the way works in their networks, and the others there have not tried it since. Where these
networks are most of the block, those of its networks in which nobody tries it are over with them.

A way that lets a few through at times loses them again, and leaves others waiting.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits
from heliograph_collector.model.thresholds import Thresholds

_STAYS_US = 300 * SECOND_US  # after the last return, in which they are not lost again; assumed
_NETWORKS = 2  # of their returns, unless these are a third of all that lost it; assumed


@dataclass(frozen=True, slots=True)
class MendedWay:
    """Networks in which people are back by blocked ways, and when the last of them was."""

    networks: frozenset[int] = frozenset()
    last_us: int = 0

    def may_stay(self, now_us: int) -> bool:
        """Return whether they are back, and not for long."""
        return bool(self.networks) and now_us - self.last_us < _STAYS_US

    def drop_untried(
        self,
        vantages: Iterable[VantagePresence],
        carriers: Collection[str],
        since_us: int,
        now_us: int,
    ) -> list[VantagePresence]:
        """Return the vantages without those that have not tried the way since it works."""
        if now_us - self.last_us < _STAYS_US:
            return [*vantages]
        return [
            v
            for v in vantages
            if v.place.asn not in self.networks
            or not (v.is_live and v.is_kept_from(carriers, since_us, now_us))
        ]


def find_mended_way(
    vantages: Sequence[VantagePresence],
    carriers: Collection[str],
    since_us: int,
    limits: Thresholds,
) -> MendedWay:
    """Find the networks in which nearly all who try a blocked way are back by it.

    Networks in which nobody tries it follow, where most of the block is over.

    Args:
        vantages: Those of a block, here or silent.
        carriers: The ways that it blocks.
        since_us: When it began.
        limits: The thresholds.
    """
    group = _select_together(_list_returns(vantages, carriers, since_us), limits)
    if not group:
        return MendedWay()
    first_us = group[0][0]
    back = {v.witness.nym for _, v in group}
    lost = [v for v in vantages if _has_lost(v, carriers, since_us)]
    votes = count_hits(lost, [v.witness.nym in back for v in lost])
    trying = [v for v in lost if v.witness.nym in back or _tries(v, carriers, first_us)]
    tried = count_hits(trying, [v.witness.nym in back for v in trying])
    networks = {v.place.asn for _, v in group}
    least_share = limits.back_share if len(networks) >= _NETWORKS else limits.told_share
    is_many = votes.hits >= max(limits.witnesses, least_share * votes.votes)
    if not is_many or tried.share < 1.0 - limits.alive_share:
        return MendedWay()
    over = count_hits(lost, [v.place.asn in networks for v in lost])
    if over.share >= limits.confirm_share:
        networks |= {v.place.asn for v in lost} - {v.place.asn for v in trying}
    return MendedWay(frozenset(networks), group[-1][0])


def _has_lost(vantage: VantagePresence, carriers: Collection[str], since_us: int) -> bool:
    has_left = vantage.home in carriers and vantage.left_home_us >= since_us
    has_lost = vantage.lost_by in carriers and vantage.lost_us >= since_us
    return has_left or has_lost or vantage.home_us >= since_us


def _tries(vantage: VantagePresence, carriers: Collection[str], since_us: int) -> bool:
    """Return whether it waits for the way that it lost, or lost it once more since a time."""
    has_lost = vantage.lost_by in carriers
    return has_lost and (vantage.is_silent or vantage.lost_us > since_us)


def _list_returns(
    vantages: Sequence[VantagePresence], carriers: Collection[str], since_us: int
) -> list[tuple[int, VantagePresence]]:
    returns = [(_find_return_us(v, carriers, since_us), v) for v in vantages]
    return [(at_us, v) for at_us, v in returns if at_us]


def _find_return_us(vantage: VantagePresence, carriers: Collection[str], since_us: int) -> int:
    """Return when it was back by a carrier that it lost; 0 if it is not."""
    if not vantage.is_live or vantage.witness.carrier not in carriers:
        return 0
    was_lost = vantage.lost_by in carriers and vantage.lost_us >= since_us
    rejoined_us = vantage.rejoined_us if was_lost else 0
    home_us = vantage.home_us if vantage.home_us >= since_us else 0
    return max(rejoined_us if rejoined_us >= vantage.lost_us else 0, home_us)


def _select_together(
    returns: Sequence[tuple[int, VantagePresence]], limits: Thresholds
) -> list[tuple[int, VantagePresence]]:
    """Select the most that are back within `back_window_s`, in their order."""
    if not returns:
        return []
    in_order = sorted(returns, key=itemgetter(0))
    times_us = [at_us for at_us, _ in in_order]
    window_us = int(limits.back_window_s * SECOND_US)
    ends = [bisect_right(times_us, at_us + window_us) for at_us in times_us]
    sizes = [end - index for index, end in enumerate(ends)]
    first = sizes.index(max(sizes))
    return in_order[first : ends[first]]
