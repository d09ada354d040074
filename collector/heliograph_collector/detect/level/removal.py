"""Whether phones went so slowly that people may have removed the app.

Theory of operation. The slowest cuts known have taken nine tenths after four hours (Iran 2019 and
2026). An app that a store withdraws, or that people are asked to remove, goes from phones over a
day, while lines live on. Nothing that phones say tells the two apart: they say nothing. So phones
alone, most of which never went within that time, confirm nothing.
"""

from collections.abc import Sequence

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.model.scope import Scope

_SLOWEST_US = 4 * HOUR_US  # in which a cut has taken nine tenths
_MOST = 0.7  # of a day's losses within that time are no removal; assumed


def may_be_removal(scope: Scope, fallen: Sequence[VantagePresence], lasts_us: int) -> bool:
    """Return whether those of a cell that fell silent in a day may have been removed from phones.

    Of a slow fall some were gone when it was first seen, so the whole day counts. What has fallen
    for longer than that has lost its first ones from sight.
    """
    silent = [vantage for vantage in fallen if vantage.is_silent]
    is_phones = all(vantage.witness.place.access == "mobile" for vantage in silent)
    if scope.is_national or not silent or not is_phones:
        return False
    if lasts_us > DAY_US:
        return True
    lost_us = sorted(vantage.lost_us for vantage in silent)
    most = max(sum(since <= at < since + _SLOWEST_US for at in lost_us) for since in lost_us)
    return most < _MOST * len(lost_us)
