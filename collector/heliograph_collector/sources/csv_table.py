"""Reader of CSV tables of levels over time.

Layouts: IODA's export (one column per source), Cloudflare Radar's, `time,value`, one row per value
with its source or its place, or a column for each country. The step is the most common difference
of times, and each value belongs to the step that contains its time. Rows without a valid time and
times with a second, other value get a complaint.
"""

from collections import defaultdict
from pathlib import Path

from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import (
    Complaints,
    ImportRefusedError,
    describe_location,
)
from heliograph_collector.sources.entity import CountryNames
from heliograph_collector.sources.level_names import find_misfit
from heliograph_collector.sources.replay import Series
from heliograph_collector.sources.series import build_series
from heliograph_collector.sources.table_file import open_table
from heliograph_collector.sources.table_layout import Key, TableLayout, find_layout
from heliograph_collector.sources.timestamps import find_time_range

Points = dict[Key, dict[int, float | None]]


def read_series(
    path: Path, scope: Scope, complaints: Complaints, countries: CountryNames
) -> list[Series]:
    """Read all series of a file; `scope` is where those are that name no place."""
    layout = find_layout(open_table(path, complaints), scope, complaints, countries)
    if layout.times.warning:
        complaints.add(describe_location(path), layout.times.warning)
    points = _drop_distant(path, _collect_points(layout, complaints), complaints)
    series_list: list[Series] = []
    reasons: list[str] = []
    for (place, source), levels in points.items():
        try:
            series_list.append(build_series(place, source, levels))
        except ValueError as error:
            reasons.append(str(error))
    if not series_list:
        reason = reasons[0] if reasons else "holds no series of numbers"
        raise ImportRefusedError(f"{path} {reason}.")
    return series_list


def _collect_points(layout: TableLayout, complaints: Complaints) -> Points:
    points: Points = defaultdict(dict)
    path = layout.table.path
    for line, row in layout.table.rows:
        at_us = layout.times.read(row)
        if at_us is None:
            complaints.add(describe_location(path, line), "its time cannot be read")
            continue
        try:
            cells = list(layout.read_cells(row))
        except ValueError as error:
            complaints.add(describe_location(path, line), str(error))
            continue
        for key, value in cells:
            value = None if value is not None and value < 0 else value
            before = points[key].get(at_us)
            if before is not None and value is not None and before != value:
                complaints.add(
                    describe_location(path, line), "its time was there before; the later counts"
                )
            points[key][at_us] = before if value is None else value
    if not layout.source_columns:
        return points
    return _drop_source_misfits(path, points, complaints)


def _drop_source_misfits(path: Path, points: Points, complaints: Complaints) -> Points:
    """Leave out sources of rows that are no levels.

    Raises ImportRefusedError if none remains.
    """
    misfits = {key: find_misfit(key[1], list(column.values())) for key, column in points.items()}
    for reason in filter(None, misfits.values()):
        complaints.add(describe_location(path), reason)
    fitting = {key: column for key, column in points.items() if not misfits[key]}
    if points and not fitting:
        raise ImportRefusedError(f"{path}: {next(filter(None, misfits.values()))}.")
    return fitting


def _drop_distant(path: Path, points: Points, complaints: Complaints) -> Points:
    times_us = {at_us for column in points.values() for at_us in column}
    low_us, high_us = find_time_range(list(times_us))
    distant_count = sum(1 for at_us in times_us if not low_us <= at_us <= high_us)
    if not distant_count:
        return points
    complaints.add(
        describe_location(path),
        f"{distant_count} times lie over 200 days from the others; they are left out",
    )
    return {
        key: {at_us: value for at_us, value in column.items() if low_us <= at_us <= high_us}
        for key, column in points.items()
    }
