"""A country's last day from what is at hand, while its bars are not kept yet. Pure.

The bars are kept while somebody reads countries (`day_charts.py`); for the first reader of the day
the store would count for seconds. But the history has the hours up to the last one, and the
snapshot the five minutes of six hours, both as they were published; so each bar is that of its
hour, and the newest ones are those of their minutes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from heliograph.units import HOUR_US
from heliograph_collector.aggregate.disclosure import Disclosure
from heliograph_collector.http.history_rows import FULL_SHARE
from heliograph_collector.http.pages.country_timeline import (
    BinMark,
    CountryTimeline,
    TimelineRow,
    compose_timeline,
)
from heliograph_collector.http.snapshot import NetworkGroup
from heliograph_collector.model.history import MARKS, Axis, DayRow
from heliograph_collector.model.records import Cell

AXES = (Axis.SERVICE, Axis.NETWORK, Axis.REGION)
_BIN_MARKS = (None, *(BinMark(mark) for mark in MARKS if mark))  # by the byte of an hour


def compose_hours(
    days: Iterable[DayRow],
    released: Sequence[Cell],
    starts: range,
    names: Sequence[str],
    instant_us: int,
) -> CountryTimeline:
    """Compose the rows of one country.

    Args:
        days: The rows of its history, by service, network and region.
        released: The newest cells that are public, merged over regions.
        starts: The bins of the chart.
        names: The services whose rows come first.
        instant_us: The instant of publication of `released`.
    """
    width_us = starts.step
    cells = [replace(c, start_us=c.start_us // width_us * width_us) for c in released]
    everything = Disclosure(1, {*names, *(c.service for c in cells)}, instant_us)
    newest = compose_timeline(everything, cells, (), starts, names)
    by_axis: dict[Axis, dict[Any, list[DayRow]]] = {axis: {} for axis in AXES}
    for day in days:
        by_axis[day.axis].setdefault(_read_key(day), []).append(day)
    return replace(
        newest,
        services=_join_rows(newest.services, by_axis[Axis.SERVICE], starts),
        networks=_join_rows(newest.networks, by_axis[Axis.NETWORK], starts),
        regions=_join_rows(newest.regions, by_axis[Axis.REGION], starts),
    )


def _read_key(day: DayRow) -> object:
    """Return what a row is about, as the timeline names it."""
    if day.axis is Axis.NETWORK:
        return NetworkGroup(day.country, day.asn, day.access)
    return day.region if day.axis is Axis.REGION else day.service


def _join_rows(
    newest: Mapping[Any, TimelineRow], days: Mapping[Any, Sequence[DayRow]], starts: range
) -> dict[Any, TimelineRow]:
    nothing = TimelineRow(marks=(None,) * len(starts), shares=(1.0,) * len(starts))
    keys = [*newest, *(key for key in days if key not in newest)]
    return {key: _join_row(newest.get(key, nothing), days.get(key, ()), starts) for key in keys}


def _join_row(newest: TimelineRow, days: Iterable[DayRow], starts: range) -> TimelineRow:
    """Fill the bins of which the newest cells say nothing with their hours."""
    marks = list(newest.marks)
    shares = list(newest.shares)
    hours = {
        day.day_us + hour * HOUR_US: (_BIN_MARKS[code], share / FULL_SHARE)
        for day in days
        for hour, (code, share) in enumerate(zip(day.hours, day.shares, strict=True))
        if code
    }
    for index, start_us in enumerate(starts):
        if marks[index] is None and start_us // HOUR_US * HOUR_US in hours:
            marks[index], shares[index] = hours[start_us // HOUR_US * HOUR_US]
    return replace(newest, marks=tuple(marks), shares=tuple(shares))
