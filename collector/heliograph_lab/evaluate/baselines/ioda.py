"""IODA's thresholds: a level below a share of its past median.

Parameters: IODA's help page (BGP below 99 % / 50 % of the 24-h median, active probing 80 % / 50 %
of 7 d, telescope 25 % / 10 % of 7 d, in steps of 5, 10 and 5 minutes) and the configuration of
watchtower (sums wait 600 s; while an alert lasts, for at most 7 d, the median replaces its values).

IODA counts addresses. Here it counts live vantages, or the values of an imported series. An alarm
is readable `publish_s` after the end of its step. This is the shorter of IODA's two waits, which
favors IODA. Entities are never merged.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from heliograph.units import DAY_S, SECOND_US
from heliograph_collector.sources.replay import Alarm, Replay, Series
from heliograph_lab.evaluate.baselines.live import FEED_US, count_live


@dataclass(frozen=True, slots=True, kw_only=True)
class IodaRule:
    """Shares of the median of the last `window_s`; times in seconds."""

    step_s: float
    window_s: float
    warning: float
    critical: float
    publish_s: float = 600.0
    paint_s: float = 7 * DAY_S  # for which an alert keeps its values out of the median
    least: int = 6  # known values that a median needs, as replays begin without a past; assumed


BGP = IodaRule(step_s=300.0, window_s=DAY_S, warning=0.99, critical=0.50)
PROBING = IodaRule(step_s=600.0, window_s=7 * DAY_S, warning=0.80, critical=0.50)
TELESCOPE = IodaRule(step_s=300.0, window_s=7 * DAY_S, warning=0.25, critical=0.10)

RULES: Mapping[str, IodaRule] = {
    "bgp": BGP,
    "ping-slash24": PROBING,
    "merit-nt": TELESCOPE,
    "ucsd-nt": TELESCOPE,
}


@dataclass(frozen=True, slots=True)
class Excursion:
    """Steps [first, last) below a share of the median; `last` is None if ongoing."""

    first: int
    last: int | None
    critical: int | None  # the first step that was below the lower share


def ioda(replay: Replay) -> Sequence[Alarm]:
    """Detect by active probing: warnings are unconfirmed, critical alerts confirmed."""
    return _alarms(replay, PROBING)


def ioda_prompt(replay: Replay) -> Sequence[Alarm]:
    """Detect by active probing, readable as soon after a step as our own rows."""
    return _alarms(replay, replace(PROBING, publish_s=FEED_US / SECOND_US))


def ioda_warnings(replay: Replay) -> Sequence[Alarm]:
    """Detect with warnings as confirmed alarms, because IODA's feed lists both."""
    return _alarms(replay, PROBING, warnings=True)


def ioda_routes(replay: Replay) -> Sequence[Alarm]:
    """Detect by the rule for BGP on live vantages: 5 minutes, 24 hours, 99 % and 50 %."""
    return _alarms(replay, BGP)


def _alarms(replay: Replay, rule: IodaRule, *, warnings: bool = False) -> Sequence[Alarm]:
    all_series = [(series, rule) for series in count_live(replay, rule.step_s)]
    all_series += [
        (series, RULES[series.source]) for series in replay.series if series.source in RULES
    ]
    alarms = [
        alarm
        for series, series_rule in all_series
        for alarm in _series_alarms(series, series_rule, replay.until_us, warnings=warnings)
    ]
    return sorted(alarms, key=attrgetter("at_us", "scope"))


def _series_alarms(
    series: Series, rule: IodaRule, until_us: int, *, warnings: bool
) -> Iterator[Alarm]:
    for excursion in find_excursions(series, rule):
        has_warning = excursion.critical is None or excursion.first < excursion.critical
        if has_warning:
            yield _alarm(series, rule, excursion, excursion.first, until_us, warnings)
        if excursion.critical is not None and not (has_warning and warnings):
            yield _alarm(series, rule, excursion, excursion.critical, until_us, True)


def find_excursions(series: Series, rule: IodaRule) -> Sequence[Excursion]:
    """Find the excursions below the past; unknown steps neither begin nor end one."""
    past = _MedianWindow(max(1, round(rule.window_s * SECOND_US / series.step_us)))
    paint = rule.paint_s * SECOND_US / series.step_us
    result: list[Excursion] = []
    first: int | None = None
    critical: int | None = None
    for step, value in enumerate(series.values):
        if value is None:
            past.add(None)
            continue
        median = past.median if past.known_count >= rule.least else None
        is_low = median is not None and value < rule.warning * median
        if is_low and median is not None and critical is None and value < rule.critical * median:
            critical = step
        if is_low and first is None:
            first = step
        elif not is_low and first is not None:
            result.append(Excursion(first, step, critical))
            first = critical = None
        is_painted = first is not None and step - first < paint
        past.add(median if is_painted else value)
    if first is not None:
        result.append(Excursion(first, None, critical))
    return result


class _MedianWindow:
    """The median of the last `size` known values."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._order: deque[float | None] = deque()
        self._sorted: list[float] = []

    @property
    def known_count(self) -> int:
        return len(self._sorted)

    @property
    def median(self) -> float:
        half, odd = divmod(len(self._sorted), 2)
        upper = self._sorted[half]
        return upper if odd else (self._sorted[half - 1] + upper) / 2

    def add(self, value: float | None) -> None:
        self._order.append(value)
        if value is not None:
            insort(self._sorted, value)
        if len(self._order) > self._size:
            old = self._order.popleft()
            if old is not None:
                del self._sorted[bisect_left(self._sorted, old)]


def _alarm(
    series: Series, rule: IodaRule, excursion: Excursion, step: int, until_us: int, confirmed: bool
) -> Alarm:
    begins_us = series.since_us + step * series.step_us
    wait_us = int(rule.publish_s * SECOND_US)
    over_us: int | None = None
    ended: tuple[int, int] | None = None
    if excursion.last is not None:
        back_us = series.since_us + excursion.last * series.step_us
        if back_us + series.step_us + wait_us <= until_us:
            over_us = back_us + series.step_us + wait_us
            ended = (back_us, back_us + series.step_us)
    return Alarm(
        at_us=begins_us + series.step_us + wait_us,
        scope=series.scope,
        service="",
        kind="cut",
        started=(begins_us, begins_us + series.step_us),
        ended_at_us=over_us,
        confirmed=confirmed,
        ended=ended,
    )
