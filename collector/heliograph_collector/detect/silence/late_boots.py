"""Machines that began hours after their country was back from a dead network.

Theory of operation. Where a grid fails, lines and what stands behind them begin again within
minutes of the power. Offices that went home in a cut switch their machines on next morning, though
the network came back in the evening: that tells of people, and not of power. So where machines
without a battery ran on and found a dead network, those that began two hours after a third of these
had told so say nothing, unless as many machines as these had begun by then.
"""

from collections.abc import Sequence

from heliograph.units import HOUR_US
from heliograph_collector.detect.silence.testimony import Testimony
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.model.thresholds import THRESHOLDS

_LATE_US = 2 * HOUR_US  # assumed


def list_late_boots(testimony: Sequence[Testimony]) -> list[bool]:
    """List the machines whose beginning says nothing of the power, as it came so late."""
    told_us = [
        t.vantage.offline_told_us
        for t in testimony
        if t.is_offline and not (t.has_battery or t.is_powerless)
    ]
    if len(told_us) < THRESHOLDS.witnesses:
        return [False] * len(testimony)
    since_us = quantile(told_us, THRESHOLDS.told_share) + _LATE_US
    began = [t.is_powerless and not t.vantage.lost_on_battery for t in testimony]
    late = [
        is_begun and t.vantage.back_us > since_us
        for t, is_begun in zip(testimony, began, strict=True)
    ]
    prompt = sum(began) - sum(late)
    is_back = prompt < sum(at_us <= since_us for at_us in told_us)
    return late if is_back else [False] * len(testimony)
