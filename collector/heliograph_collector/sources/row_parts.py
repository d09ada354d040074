"""Find the column that separates the rows of one time, by source or network.

Without it the rows of one time would overwrite each other, and a series of the last of them looks
as if it fell and rose. A column of words that leaves one row for each time and place is chosen,
whatever its name. If it names providers, each is a network, so that the fall of one is no fall of
the country. Its number is one for private use (RFC 6996), made of the name.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import ImportRefusedError
from heliograph_collector.sources.table_file import Table

_PROVIDERS = frozenset({
    "isp", "isp_name", "operator", "provider", "carrier", "network", "network_name", "as_name",
    "asn_name", "as_org", "org", "organization", "company",
})  # fmt: skip
_MAX_PARTS = 500  # names in one column; assumed
_SAMPLE = 20_000  # rows, all of those of a time; assumed
_FEW_CLASH = 0.1  # of the rows may have the time and place of another one; assumed …
_MOST_CLASH = 0.5  # … and with more than these the table cannot be read; assumed
_NAMED_NETWORKS = 4_200_000_000  # the first number for private use
_NETWORK_COUNT = 50_000_000  # below those that a replay gives to networks without a number


def find_parting_column(table: Table, candidates: Sequence[int], keys: Sequence[int]) -> int | None:
    """Return the separating column; None if most rows have a distinct time and place.

    Rows that only repeat others, as of two downloads, need none: the later one counts.

    Args:
        candidates: Columns that may be it.
        keys: The columns of time and place.

    Raises:
        ImportRefusedError: Words part the rows of one time, but not those of one column.
    """
    rows = _sample_rows(table, keys)
    clashing = _measure_clash(rows, keys)
    if clashing < _FEW_CLASH:
        return None
    named = [column for column in candidates if _holds_words(table, rows, column)]
    for column in named:
        if _measure_clash(rows, (*keys, column)) < _FEW_CLASH * clashing:
            return column
    if named and clashing > _MOST_CLASH:
        raise ImportRefusedError(_describe_clash(table.path))
    return None


def is_provider_column(lower_name: str) -> bool:
    return lower_name in _PROVIDERS


def name_network(scope: Scope, provider: str) -> Scope:
    """Return the network of a provider that is known by its name alone."""
    number = zlib.crc32(provider.strip().lower().encode()) % _NETWORK_COUNT
    return scope._replace(asn=_NAMED_NETWORKS + number)


def _sample_rows(table: Table, keys: Sequence[int]) -> list[list[str]]:
    """List rows, all or none of one time and place: a table may be sorted by source."""
    every = len(table.rows) // _SAMPLE + 1
    return [row for _, row in table.rows if _hash_cells(row, keys) % every == 0]


def _hash_cells(row: Sequence[str], columns: Sequence[int]) -> int:
    return zlib.crc32("\0".join(_cell(row, column) for column in columns).encode())


def _holds_words(table: Table, rows: Sequence[Sequence[str]], column: int) -> bool:
    cells = {_cell(row, column) for row in rows}
    return 1 < len(cells) <= _MAX_PARTS and all(table.parse_number(cell) is None for cell in cells)


def _measure_clash(rows: Sequence[Sequence[str]], keys: Sequence[int]) -> float:
    """Measure how many different rows have equal cells in the key columns, per key."""
    different = set(map(tuple, rows))
    count = len({tuple(_cell(row, column) for column in keys) for row in different})
    return (len(different) - count) / max(1, count)


def _cell(row: Sequence[str], column: int) -> str:
    return row[column].strip() if column < len(row) else ""


def _describe_clash(path: Path) -> str:
    return (
        f"{path} has several rows for most times, and no column parts them: keep one row for each "
        "time and place, or name the column that tells them apart `datasource`."
    )
