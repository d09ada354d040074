"""Reader of CSV tables of levels over time.

Layouts: IODA's export (one column per source), Cloudflare Radar's, `time,value`, one row per value
with its source or its place, or a column for each country. The step is the most common difference
of times, and each value belongs to the step that contains its time. Rows without a valid time and
times with a second, other value get a complaint.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import (
    Complaints,
    ImportRefusedError,
    describe_location,
)
from heliograph_collector.sources.entity import CountryNames, RowPlaces
from heliograph_collector.sources.level_names import find_misfit
from heliograph_collector.sources.replay import Series
from heliograph_collector.sources.series import build_series
from heliograph_collector.sources.table_file import Table, open_table
from heliograph_collector.sources.time_columns import TimeColumns, find_time_columns
from heliograph_collector.sources.timestamps import find_time_range

SOURCES: Mapping[str, str] = {  # words in a column's name → source, first match
    "bgp": "bgp",
    "active probing": "ping-slash24",
    "ping": "ping-slash24",
    "ucsd": "ucsd-nt",
    "telescope": "merit-nt",
    "merit": "merit-nt",
    "google": "gtr",
    "gtr": "gtr",
    "mozilla": "mozilla",
}
_BOUNDS = frozenset(("min", "max", "minimum", "maximum", "lower", "upper", "std", "stddev"))
_EMPTY = frozenset(("", "-", "null", "none", "nan", "na", "n/a"))
Key = tuple[Scope | None, str]  # place, None where the file names none, and source
Points = dict[Key, dict[int, float | None]]


def read_series(
    path: Path, scope: Scope, complaints: Complaints, countries: CountryNames
) -> list[Series]:
    """Read all series of a file; `scope` is where those are that name no place."""
    layout = _find_layout(open_table(path, complaints), complaints, countries)
    if layout.times.warning:
        complaints.add(describe_location(path), layout.times.warning)
    points = _drop_distant(path, _collect_points(layout, complaints), complaints)
    series_list: list[Series] = []
    reasons: list[str] = []
    for (place, source), levels in points.items():
        try:
            series_list.append(build_series(place or scope, source, levels))
        except ValueError as error:
            reasons.append(str(error))
    if not series_list:
        reason = reasons[0] if reasons else "holds no series of numbers"
        raise ImportRefusedError(f"{path} {reason}.")
    return series_list


def guess_source(column: str) -> str:
    """Return IODA's name of the source, or the column's own name."""
    lower_name = column.lower()
    return next(
        (source for keyword, source in SOURCES.items() if keyword in lower_name),
        column.strip()[:64],
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the values of a table stand, and what they belong to."""

    table: Table
    times: TimeColumns
    columns: Mapping[int, Key]
    places: RowPlaces
    source_column: int | None  # of a table with one row per value

    def read_cells(self, row: Sequence[str]) -> Iterator[tuple[Key, str]]:
        place = self.places.read(row)
        for column, (own_place, name) in self.columns.items():
            if column >= len(row):
                continue
            if self.source_column is None:
                yield (place or own_place, name), row[column]
            elif self.source_column < len(row) and row[self.source_column].strip():
                yield (place, guess_source(row[self.source_column])), row[column]


def _find_layout(table: Table, complaints: Complaints, countries: CountryNames) -> _Layout:
    """Find the columns of values. Raises ImportRefusedError if none can be levels."""
    times = find_time_columns(table)
    places = RowPlaces.from_header(table.lower_names, countries)
    lower_names = table.lower_names
    source_column = None
    if "datasource" in lower_names and "value" in lower_names:
        source_column = lower_names.index("datasource")
    taken = {times.column, times.clock, *places.columns, source_column}
    columns = [
        column
        for column, name in enumerate(lower_names)
        if column not in taken and name and (source_column is None or name == "value")
    ]
    fitting = _drop_misfits(table, columns, complaints)
    keys = _name_columns(table, fitting, countries, is_placed=bool(places.columns))
    return _Layout(table, times, keys, places, source_column)


def _drop_misfits(table: Table, columns: Sequence[int], complaints: Complaints) -> list[int]:
    """Leave out columns that are no levels. Raises ImportRefusedError if none remains."""
    fitting: list[int] = []
    reasons: list[str] = []
    for column in columns:
        cells = [row[column] for _, row in table.rows if column < len(row)]
        values = [table.parse_number(cell) for cell in cells]
        reason = find_misfit(table.header[column], values)
        if reason is not None:
            reasons.append(reason)
            complaints.add(describe_location(table.path), reason)
        elif any(value is not None for value in values):
            fitting.append(column)
            _complain_of_words(table, column, values, cells, complaints)
    if reasons and not fitting:
        raise ImportRefusedError(f"{table.path}: {reasons[0]}.")
    return _drop_bounds(table, fitting, complaints)


def _drop_bounds(table: Table, columns: Sequence[int], complaints: Complaints) -> list[int]:
    """Leave out the bounds of another column: they are no sources of their own."""
    bounds = [c for c in columns if not _BOUNDS.isdisjoint(table.lower_names[c].split("_"))]
    if len(bounds) in (0, len(columns)):
        return list(columns)
    names = ", ".join(table.header[column].strip() for column in bounds)
    complaints.add_note(describe_location(table.path), f"{names}: bounds, no levels of their own")
    return [column for column in columns if column not in bounds]


def _complain_of_words(
    table: Table,
    column: int,
    values: Sequence[float | None],
    cells: Sequence[str],
    complaints: Complaints,
) -> None:
    words = sum(
        value is None and cell.strip().lower() not in _EMPTY
        for value, cell in zip(values, cells, strict=True)
    )
    if words:
        name = table.header[column].strip()
        complaints.add(describe_location(table.path), f"{words} cells of {name!r} are no numbers")


def _name_columns(
    table: Table, columns: Sequence[int], countries: CountryNames, *, is_placed: bool
) -> dict[int, Key]:
    """Name the source of each column; a column that a country names is a level of it."""
    places = [countries.find_exactly(table.header[column]) for column in columns]
    if columns and all(places) and not is_placed:
        return {
            column: (Scope(code), "value") for column, code in zip(columns, places, strict=True)
        }
    sources = {column: guess_source(table.header[column]) for column in columns}
    counts = Counter(sources.values())
    return {
        column: (None, source if counts[source] == 1 else table.header[column].strip()[:64])
        for column, source in sources.items()
    }


def _collect_points(layout: _Layout, complaints: Complaints) -> Points:
    points: Points = defaultdict(dict)
    path = layout.table.path
    for line, row in layout.table.rows:
        at_us = layout.times.read(row)
        if at_us is None:
            complaints.add(describe_location(path, line), "its time cannot be read")
            continue
        for key, cell in layout.read_cells(row):
            value = layout.table.parse_number(cell)
            value = None if value is not None and value < 0 else value
            before = points[key].get(at_us)
            if before is not None and value is not None and before != value:
                complaints.add(
                    describe_location(path, line), "its time was there before; the later counts"
                )
            points[key][at_us] = before if value is None else value
    if layout.source_column is None:
        return points
    return _drop_source_misfits(path, points, complaints)


def _drop_source_misfits(path: Path, points: Points, complaints: Complaints) -> Points:
    """Leave out sources of rows that are no levels. Raises ImportRefusedError if none remains."""
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
