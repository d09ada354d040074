"""Leave out vantages whose own line broke while an outage beside them lasted.

Theory of operation. An outage of hours has people in its cells whom it did not take, as phones
beside lines without power. Their links break as on any day. Such a one was here when the others
fell, is silent for minutes, and is back while they stay silent: whatever keeps them away did not
do that. What it measured is about its own link, and a few of them would outvote the others.
"""

from collections.abc import Sequence
from heapq import heappush, heappushpop

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.vantage_presence import BRIEF_US, VantagePresence

_ONSET_US = 900 * SECOND_US  # the longer window of a burst: who falls within it fell in the outage


def drop_own_breaks(
    members: Sequence[VantagePresence], now_us: int, least: int
) -> list[VantagePresence]:
    """Return the members without those whose own line broke.

    Args:
        members: The vantages that fell silent in an outage, whether or not they are back.
        now_us: The present time.
        least: So many others at least were silent long before and long after its silence.
    """
    broken = [member for member in members if _was_brief(member)]
    if not broken or len(members) - len(broken) < least:
        return list(members)
    lasting = sorted((m.lost_us, _find_end_us(m, now_us)) for m in members if not _was_brief(m))
    broken.sort(key=_get_heard_us)
    own: set[str] = set()
    latest_ends_us: list[int] = []  # a heap, of those who fell before it
    position = 0
    for member in broken:
        while position < len(lasting) and lasting[position][0] <= member.heard_us - _ONSET_US:
            _keep_latest(latest_ends_us, lasting[position][1], least)
            position += 1
        if len(latest_ends_us) == least and latest_ends_us[0] >= member.back_us + BRIEF_US:
            own.add(member.witness.nym)
    return [member for member in members if member.witness.nym not in own]


def _keep_latest(ends_us: list[int], end_us: int, count: int) -> None:
    if len(ends_us) < count:
        heappush(ends_us, end_us)
    else:
        heappushpop(ends_us, end_us)


def _was_brief(member: VantagePresence) -> bool:
    return not member.is_silent and 0 <= member.back_us - member.heard_us <= BRIEF_US


def _find_end_us(member: VantagePresence, now_us: int) -> int:
    return now_us if member.is_silent else member.back_us


def _get_heard_us(member: VantagePresence) -> int:
    return member.heard_us
