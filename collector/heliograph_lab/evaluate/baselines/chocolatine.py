"""Chocolatine's rule: a count below the interval that its own past predicts.

Guillot et al., "Chocolatine: Outage Detection for Internet Background Radiation", TMA 2019: counts
in bins of 5 minutes, a seasonal ARIMA forecast of the next bin with a 99.5 % interval, and an
outage when the count lies below it. The published model learns ten weeks, which no replay has.
Here, in its favor, the forecast needs an hour: exponential smoothing (an ARIMA (0,1,1)), corrected
by the same time of the day before where that is known. Counts are of live vantages.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from heliograph.units import DAY_US
from heliograph_collector.sources.replay import Alarm, Replay, Series
from heliograph_lab.evaluate.baselines.live import FEED_US, count_live

STEP_S = 300.0
INTERVAL = 2.807  # standard deviations of 99.5 %, two-sided
ALPHA = 0.3  # weight of the newest bin; assumed
LEARN = 12  # bins before the first forecast; assumed
LEAST = 3.0  # vantages fewer than forecast; assumed


@dataclass(slots=True)
class _Forecast:
    level: float = 0.0
    variance: float = 1.0
    bins: int = 0

    def add(self, value: float, step: float) -> None:
        """Learn a bin, of which `step` is what the day before changed then."""
        error = value - self.level - step
        self.variance += ALPHA / 3 * (error * error - self.variance)
        self.level = value if not self.bins else self.level + step + ALPHA * error
        self.bins += 1


def chocolatine(replay: Replay) -> Sequence[Alarm]:
    """Detect drops below the forecast in each country, region and ASN."""
    alarms = [a for series in count_live(replay, STEP_S) for a in _series_alarms(series)]
    return sorted(alarms, key=attrgetter("at_us"))


def _series_alarms(series: Series) -> Iterator[Alarm]:
    forecast = _Forecast()
    season = DAY_US // series.step_us
    first: int | None = None
    for step, value in enumerate(series.values):
        if value is None:
            continue
        change = _seasonal_change(series.values, step, season)
        gap = forecast.level + change - value
        bound = max(LEAST, INTERVAL * math.sqrt(forecast.variance))
        is_low = forecast.bins >= LEARN and gap > bound
        if not is_low:  # an outage is kept out of what is usual
            forecast.add(value, change)
        if is_low and first is None:
            first = step
        elif not is_low and first is not None:
            yield _alarm(series, first, step)
            first = None
    if first is not None:
        yield _alarm(series, first, None)


def _seasonal_change(values: Sequence[float | None], step: int, season: int) -> float:
    """Return by how much the count changed into this bin one day before."""
    if step <= season:
        return 0.0
    before = values[step - season - 1]
    after = values[step - season]
    return after - before if before is not None and after is not None else 0.0


def _alarm(series: Series, first: int, last: int | None) -> Alarm:
    begins_us = series.since_us + first * series.step_us
    ended_us = None
    if last is not None:
        ended_us = series.since_us + (last + 1) * series.step_us + FEED_US
    return Alarm(
        at_us=begins_us + series.step_us + FEED_US,
        scope=series.scope,
        service="",
        kind="cut",
        started=(begins_us, begins_us + series.step_us),
        ended_at_us=ended_us,
        ended=None if ended_us is None else (ended_us - FEED_US - 2 * series.step_us, ended_us),
    )
