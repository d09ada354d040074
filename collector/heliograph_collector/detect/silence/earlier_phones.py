"""Find phones that fell shortly before lines, so that these are no power failure.

Theory of operation. Lines fail with the grid. Masts have batteries, or fail in the same second; so
a power failure takes phones with the lines or later, and phones that live show that no order took
them. But phones that an order took before the lines are in no burst of these, and the phones that
it left would stand for all. So they count as silent too, where phones went before lines.
"""

from collections.abc import Sequence

from heliograph.units import HOUR_US
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.ranks import are_earlier
from heliograph_collector.detect.stats.voting import is_established

_BEFORE_US = HOUR_US  # before a burst of lines; who is silent for longer is so by habit; assumed


def list_earlier_phones(
    presence: PresenceTracker, country: str, burst_us: int, now_us: int
) -> Sequence[VantagePresence]:
    """List a country's silent phones that fell in the hour before lines; none if lines went first.

    Args:
        burst_us: The first loss of the lines that are judged; others may have gone before them.
    """
    since_us = burst_us - _BEFORE_US
    silent = [
        vantage
        for vantage in presence.list_silent(country, since_us)
        if is_established(vantage.witness, now_us, presence.limits)
    ]
    phones = [vantage for vantage in silent if vantage.place.access == "mobile"]
    lines_us = [vantage.lost_us for vantage in silent if vantage.place.access == "fixed"]
    if not are_earlier([vantage.lost_us for vantage in phones], lines_us):
        return []
    return [vantage for vantage in phones if vantage.lost_us < burst_us]
