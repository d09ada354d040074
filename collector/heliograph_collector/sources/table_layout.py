"""Find which columns of a table hold levels, and the place and source of each.

A table has a column for each source, for each country or for each network; or a row for each
source, provider or place. Columns that are no levels are left out, each with a sentence, and
columns that only identify the row, with a note.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import (
    Complaints,
    ImportRefusedError,
    describe_location,
)
from heliograph_collector.sources.entity import CountryNames, RowPlaces
from heliograph_collector.sources.level_names import find_misfit, is_label
from heliograph_collector.sources.row_parts import (
    find_parting_column,
    is_provider_column,
    name_network,
)
from heliograph_collector.sources.table_file import Table
from heliograph_collector.sources.time_columns import TimeColumns, find_time_columns

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
_OWN_NAMES = ("gtr-norm",)  # of sources whose name contains that of another one
_BOUNDS = frozenset(("min", "max", "minimum", "maximum", "lower", "upper", "std", "stddev"))
_EMPTY = frozenset(("", "-", "null", "none", "nan", "na", "n/a"))
_NETWORK = re.compile(r"\bAS ?(\d{1,10})\b")
_SERIES_PART = re.compile(r" values$")  # Radar's columns are `IR timestamps`, `IR values`
Key = tuple[Scope, str]  # place and source


def guess_source(name: str) -> str:
    """Return IODA's name of the source, or the name itself."""
    lower_name = name.strip().lower()
    if lower_name in _OWN_NAMES or find_misfit(name):
        return name.strip()[:64]
    return next(
        (source for keyword, source in SOURCES.items() if keyword in lower_name),
        name.strip()[:64],
    )


@dataclass(frozen=True, slots=True)
class TableLayout:
    """Columns of a table's values, with their places and sources."""

    table: Table
    times: TimeColumns
    columns: Mapping[int, Key]
    places: RowPlaces
    otherwise: Scope  # where a row is that names no place
    source_columns: Sequence[int]  # of a table with one row per value
    by_provider: bool  # each row is of a network that is known by its name

    def read_cells(self, row: Sequence[str]) -> Iterator[tuple[Key, float | None]]:
        """Yield each value of a row. Raises ValueError if its place is none."""
        scope = self.places.read(row, self.otherwise) if self.places.columns else None
        names = [row[c].strip() for c in self.source_columns if c < len(row)]
        if self.source_columns and not any(names):
            return
        if self.by_provider:
            scope = name_network(scope or self.otherwise, names[-1])
        for column, (own_scope, own_name) in self.columns.items():
            if column < len(row):
                name = self._name_source(names, own_name) if names else own_name
                yield (scope or own_scope, name), self.table.parse_number(row[column], column)

    def _name_source(self, names: Sequence[str], column_name: str) -> str:
        parts = [guess_source(names[0]), *(name.lower() for name in names[1:])]
        if len(self.columns) > 1:
            parts.append(column_name)
        return ".".join(filter(None, parts))[:64]


def find_layout(
    table: Table, scope: Scope, complaints: Complaints, countries: CountryNames
) -> TableLayout:
    """Find the columns of values. Raises ImportRefusedError if none can be levels."""
    times = find_time_columns(table)
    names = table.lower_names
    places = RowPlaces.from_header(names, countries)
    sources = [names.index("datasource")] if "datasource" in names and "value" in names else []
    taken = [c for c in (times.column, times.clock, *places.columns, *sources) if c is not None]
    others = [c for c, name in enumerate(names) if c not in taken and name]
    parting = find_parting_column(table, others, taken)
    if parting is not None:
        sources.append(parting)
    columns = [c for c in others if c != parting and (names[c] == "value" or not sources[:1])]
    columns = columns or [c for c in others if c != parting]
    codes = {} if places.columns else _find_countries(table, columns, complaints, countries)
    fitting = list(codes) if codes else _drop_misfits(table, columns, complaints)
    keys = _name_columns(table, fitting, scope, codes)
    by_provider = parting is not None and is_provider_column(names[parting])
    return TableLayout(table, times, keys, places, scope, sources, by_provider)


def _find_countries(
    table: Table, columns: Sequence[int], complaints: Complaints, countries: CountryNames
) -> dict[int, str]:
    """Return columns named by countries, if most are: US may be a unit, ID a label.

    Beside them stand a total, continents and the like.
    """
    names = {column: _SERIES_PART.sub("", table.header[column].strip()) for column in columns}
    codes = {c: code for c, name in names.items() if (code := countries.find_exactly(name))}
    if 2 * len(codes) <= len(columns):
        return {}
    others = [name for column, name in names.items() if column not in codes]
    if others:
        listed = ", ".join(others)[:200]
        complaints.add_note(describe_location(table.path), f"{listed}: no countries, left out")
    return codes


def _drop_misfits(table: Table, columns: Sequence[int], complaints: Complaints) -> list[int]:
    """Leave out columns that are no levels. Raises ImportRefusedError if none remains."""
    fitting: list[int] = []
    reasons: list[str] = []
    for column in columns:
        name = table.header[column].strip()
        if is_label(name):
            complaints.add_note(describe_location(table.path), f"{name!r} is a label, no level")
            continue
        cells = [row[column] for _, row in table.rows if column < len(row)]
        values = [table.parse_number(cell, column) for cell in cells]
        reason = find_misfit(name, values)
        if reason is not None:
            reasons.append(reason)
            complaints.add(describe_location(table.path), reason)
        elif any(value is not None for value in values):
            fitting.append(column)
            _complain_of_words(table, column, values, cells, complaints)
    if reasons and not fitting:
        raise ImportRefusedError(f"{table.path}: {reasons[0]}.")
    if not fitting:
        raise ImportRefusedError(
            f"{table.path} has no column of numbers beside its times and labels: add one that "
            "counts what answers."
        )
    return _drop_bounds(table, fitting, complaints)


def _drop_bounds(table: Table, columns: Sequence[int], complaints: Complaints) -> list[int]:
    """Leave out the bounds of another column: they are no separate sources."""
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
    table: Table, columns: Sequence[int], scope: Scope, codes: Mapping[int, str]
) -> dict[int, Key]:
    """Name the place and source of each column.

    A column named by a country or network is its level.
    """
    if codes:
        return {column: (Scope(code), "value") for column, code in codes.items()}
    networks = {c: match[1] for c in columns if (match := _NETWORK.search(table.header[c]))}
    sources = {c: guess_source(table.header[c]) for c in columns if c not in networks}
    counts = Counter(sources.values())
    keys = {c: (scope._replace(asn=int(asn) % 2**32), "value") for c, asn in networks.items()}
    for column, source in sources.items():
        name = table.header[column].strip()
        is_guess = source != name[:64]
        shared = f"{source}.{name}"[:64] if is_guess else source  # such as gtr.google maps
        keys[column] = scope, source if counts[source] == 1 else shared
    return keys
