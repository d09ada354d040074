"""Days of imported results, from the counts by day that `ImportedResults.add` keeps."""

import sqlite3
from collections.abc import Mapping, Sequence

from heliograph.units import DAY_US
from heliograph_collector.model.imported import (
    ImportedFilter,
    ImportedHistory,
    ImportedRow,
    StateCounts,
)

_Key = tuple[str, str, str]  # source, test, target
_SUMS = "sum(reachable), sum(partial), sum(blocked), sum(down), sum(unknown)"
# Two thirds of what is known, as of a cell: such targets come first.
_IS_BLOCKED = (
    "sum(blocked) > 0 AND "
    "sum(blocked) * 3 >= 2 * (sum(reachable) + sum(partial) + sum(blocked) + sum(down))"
)
_ORDER = f"{_IS_BLOCKED} DESC, sum(blocked) DESC, sum(partial) DESC, source, test, target"


def read_imported_history(
    db: sqlite3.Connection, filters: ImportedFilter, most: int
) -> ImportedHistory:
    """Read the targets found blocked most often, by day and network. Raises sqlite3.Error.

    Args:
        filters: What to count; its times are extended to whole days.
        most: How many targets; the SQL has a place for each.
    """
    where, values = _build_condition(filters)
    targets = db.execute(
        f"SELECT source, test, target, {_SUMS}, max(newest_us), max(imported_us), "  # noqa: S608 fixed names
        f"count(*) OVER () FROM day_counts WHERE {where} GROUP BY source, test, target "
        f"ORDER BY {_ORDER} LIMIT ?",
        (*values, most),
    ).fetchall()
    keys = [tuple(record[:3]) for record in targets]
    days = _read_parts(db, "day", filters, keys)
    networks = _read_parts(db, "asn", filters, keys)
    return ImportedHistory(
        rows=[
            ImportedRow(
                source=record[0],
                test=record[1],
                target=record[2],
                total=StateCounts(*record[3:8]),
                days={day * DAY_US: counts for day, counts in days.get(key, {}).items()},
                networks=networks.get(key, {}),
            )
            for key, record in zip(keys, targets, strict=True)
        ],
        targets=targets[0][10] if targets else 0,
        newest_us=max((record[8] for record in targets), default=0),
        imported_us=max((record[9] for record in targets), default=0),
    )


def _read_parts(
    db: sqlite3.Connection, column: str, filters: ImportedFilter, keys: Sequence[_Key]
) -> Mapping[_Key, Mapping[int, StateCounts]]:
    """Read the counts of some targets by day, or by network, in one pass."""
    if not keys:
        return {}
    where, values = _build_condition(filters)
    places = ", ".join(["(?, ?, ?)"] * len(keys))
    records = db.execute(
        f"SELECT source, test, target, {column}, {_SUMS} FROM day_counts "  # noqa: S608 fixed names
        f"WHERE {where} AND (source, test, target) IN (VALUES {places}) "
        f"GROUP BY source, test, target, {column} ORDER BY {column}",
        (*values, *(name for key in keys for name in key)),
    )
    parts: dict[_Key, dict[int, StateCounts]] = {}
    for source, test, target, part, *counts in records:
        parts.setdefault((source, test, target), {})[part] = StateCounts(*counts)
    return parts


def _build_condition(filters: ImportedFilter) -> tuple[str, list[object]]:
    """Return the WHERE clause and its values; only what is asked for, so that the key is used."""
    clauses = ["day >= ?", "day < ?"]
    values: list[object] = [filters.since_us // DAY_US, -(-filters.until_us // DAY_US)]
    for name in ("source", "country", "test"):
        if value := getattr(filters, name):
            clauses.append(f"{name} = ?")
            values.append(value)
    for name in ("asn", "target"):
        if getattr(filters, name) is not None:
            clauses.append(f"{name} = ?")
            values.append(getattr(filters, name))
    return " AND ".join(clauses), values
