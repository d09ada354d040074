"""Machines that began hours after their country was back from a dead network.

Theory of operation. Where a grid fails, lines and what stands behind them begin again within
minutes of the power. Offices that went home in a cut switch their machines on next morning, though
the network came back in the evening. That is a sign of working hours, not of power. So where
machines without a battery ran on and found a dead network, those that began two hours after a third
of these had told so say nothing, unless as many machines as these had begun by then.
"""

from collections.abc import Sequence

from heliograph.units import HOUR_US
from heliograph_collector.detect.silence.testimony import Testimony
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.model.thresholds import THRESHOLDS

_LATE_US = 2 * HOUR_US  # assumed


def drop_late_boots(testimony: Sequence[Testimony], powerless: Sequence[bool]) -> list[bool]:
    """Return who is powerless without the machines that began so late that it says nothing.

    Args:
        testimony: Those that fell silent.
        powerless: Whether each of them seems to have had no power.
    """
    told_us = [
        t.offline_told_us
        for t, is_hit in zip(testimony, powerless, strict=True)
        if t.is_offline and not (is_hit or t.has_battery)
    ]
    if len(told_us) < THRESHOLDS.witnesses:
        return list(powerless)
    late_us = quantile(told_us, THRESHOLDS.told_share) + _LATE_US
    began = [
        is_hit and not t.vantage.lost_on_battery
        for t, is_hit in zip(testimony, powerless, strict=True)
    ]
    late = [hit and t.vantage.back_us > late_us for t, hit in zip(testimony, began, strict=True)]
    if sum(began) - sum(late) >= sum(at_us <= late_us for at_us in told_us):
        return list(powerless)
    return [is_hit and not is_late for is_hit, is_late in zip(powerless, late, strict=True)]
