"""Voluntary ends: silences that people and programs make themselves, and no order."""

from collections.abc import Sequence

from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.cohort import may_be_cohort
from heliograph_collector.detect.silence.put_away import may_be_put_away
from heliograph_collector.detect.silence.renewal import have_restarted
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import Thresholds


def find_voluntary_end(
    cells: Sequence[AffectedCell],
    vantages: Sequence[VantagePresence],
    since_us: int,
    now_us: int,
    limits: Thresholds,
) -> str:
    """Find why agents may have stopped themselves in these cells; "" if nothing shows it.

    Args:
        cells: Those that fell silent.
        vantages: The country's established vantages, here or silent.
        since_us: When they began to fall silent.
        now_us: The time of the evaluation.
        limits: The thresholds.
    """
    if have_restarted(cells, vantages, now_us, limits):
        return confounders.RESTARTS
    if may_be_put_away(vantages, since_us, now_us, limits):
        return confounders.HABIT
    return confounders.HABIT if may_be_cohort(vantages, since_us, limits) else ""
