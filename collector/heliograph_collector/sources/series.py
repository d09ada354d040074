"""Series from points in time, and one series of each source of a place.

The step of a series is the commonest difference of its times. Where there is none, since it was
polled by a clock that strays, it is the middle difference, as a round number; and the steps begin
where the times have the widest gap within one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from heliograph.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import Complaints
from heliograph_collector.sources.json_objects import MAX_STEPS
from heliograph_collector.sources.replay import Series

# Assumed, all of them:
_FEW = 12  # differences, of which the commonest is the step in any case
_COMMON = 1 / 3  # of all differences that the commonest must be
_STRAY = 0.1  # of a round step that the middle difference may be off
_ROUND_STEPS_US = (
    *(minutes * MINUTE_US for minutes in (1, 2, 5, 10, 15, 20, 30)),
    *(hours * HOUR_US for hours in (1, 2, 3, 4, 6, 12)),
    DAY_US,
    7 * DAY_US,
)


def build_series(scope: Scope, source: str, levels: Mapping[int, float | None]) -> Series:
    """Build a series in the commonest step of its known values.

    Raises:
        ValueError: Fewer than two values are known, or they span too many steps.
    """
    known = {at_us: value for at_us, value in levels.items() if value is not None}
    times_us = sorted(known)
    if len(times_us) < 2:
        raise ValueError("holds fewer than two times with a value: no series")
    step_us, since_us = _find_steps(times_us)
    span_us = times_us[-1] - since_us
    if span_us // step_us > MAX_STEPS:
        raise ValueError(
            f"spans {span_us // step_us} steps of {step_us / SECOND_US:g} s, "
            f"more than {MAX_STEPS}: cut it into parts"
        )
    values: list[float | None] = [None] * (span_us // step_us + 1)
    for at_us, value in known.items():
        values[(at_us - since_us) // step_us] = value
    return Series(scope, source, since_us, step_us, tuple(values))


def _find_steps(times_us: Sequence[int]) -> tuple[int, int]:
    """Return the step of times in order, and where the first one begins."""
    apart_us = sorted(b - a for a, b in pairwise(times_us))
    step_us, count = Counter(apart_us).most_common(1)[0]
    if len(apart_us) < _FEW or count >= _COMMON * len(apart_us):
        return step_us, times_us[0]
    middle_us = apart_us[len(apart_us) // 2]
    step_us = min(_ROUND_STEPS_US, key=lambda own: abs(own - middle_us))
    step_us = step_us if abs(step_us - middle_us) <= _STRAY * step_us else middle_us
    phases = sorted({at_us % step_us for at_us in times_us})
    gaps = (b - a for a, b in pairwise((phases[-1] - step_us, *phases)))
    _, begin_us = max(zip(gaps, phases, strict=True))
    return step_us, times_us[0] - (times_us[0] - begin_us) % step_us


def merge_series(all_series: Iterable[Series], complaints: Complaints) -> list[Series]:
    """Merge the series of one source and place, as of downloads that overlap.

    They get the steps of the one over the longest time: of finer ones the mean. Answers of a long
    time have few points, and the day of an event is asked for in more of them. Series of other
    steps are left out: the same source in other steps is no second one.
    """
    groups: defaultdict[tuple[Scope, str], list[Series]] = defaultdict(list)
    for series in all_series:
        groups[series.scope, series.source].append(series)
    return [_merge_group(group, complaints) for group in groups.values()]


def _merge_group(group: list[Series], complaints: Complaints) -> Series:
    if len(group) == 1:
        return group[0]
    longest = max(group, key=lambda series: len(series.values) * series.step_us)
    step_us = longest.step_us
    phase_us = longest.since_us % step_us
    fitting = [
        series
        for series in group
        if step_us % series.step_us == 0 and (series.since_us - phase_us) % series.step_us == 0
    ]
    if len(fitting) < len(group):
        complaints.add(
            f"{longest.scope.country} {longest.source}",
            f"{len(group) - len(fitting)} series of it have other steps than the longest one, and "
            "are left out",
        )
    levels: dict[int, float] = {}
    for series in fitting:
        levels |= _coarsen(series, step_us, phase_us)
    since_us = min(levels)
    values: list[float | None] = [None] * ((max(levels) - since_us) // step_us + 1)
    for at_us, value in levels.items():
        values[(at_us - since_us) // step_us] = value
    return Series(longest.scope, longest.source, since_us, step_us, tuple(values))


def _coarsen(series: Series, step_us: int, phase_us: int) -> dict[int, float]:
    """Return the means of a series over longer steps, of which it knows at least half."""
    parts: defaultdict[int, list[float]] = defaultdict(list)
    for index, value in enumerate(series.values):
        at_us = series.since_us + index * series.step_us
        if value is not None:
            parts[at_us - (at_us - phase_us) % step_us].append(value)
    least = step_us // series.step_us / 2
    return {at_us: fmean(values) for at_us, values in parts.items() if len(values) >= least}
