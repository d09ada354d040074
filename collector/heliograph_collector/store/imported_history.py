"""Days of imported results, from the counts by day that `ImportedResults.add` keeps.

A month of one country has hundreds of thousands of counts. So the targets are chosen by partial
indexes, which hold only what was found blocked and tests without a target, and then the counts of
these few are read by the key of each day.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from heliograph.units import DAY_US
from heliograph_collector.model.imported import (
    ImportedFilter,
    ImportedHistory,
    ImportedRow,
    StateCounts,
)

DAY_INDEXES = """
CREATE INDEX IF NOT EXISTS day_counts_blocked
  ON day_counts (country, day, blocked) WHERE blocked > 0;
CREATE INDEX IF NOT EXISTS day_counts_plain ON day_counts (country, day) WHERE target = '';
CREATE INDEX IF NOT EXISTS day_counts_blocked_asn
  ON day_counts (asn, day, blocked) WHERE blocked > 0;
CREATE INDEX IF NOT EXISTS day_counts_plain_asn ON day_counts (asn, day) WHERE target = '';
CREATE INDEX IF NOT EXISTS day_counts_plain_test ON day_counts (test, day) WHERE target = '';
CREATE INDEX IF NOT EXISTS day_counts_target ON day_counts (target, day) WHERE target != '';
"""
_LONG_DAYS = 62  # beyond them half as many targets are read; assumed
_STATES = ("reachable", "partial", "blocked", "down", "unknown")
_Key = tuple[str, str, str, str]  # country, source, test, target
_Record = tuple[str, str, str, str, int, int, int, int, int, int, int, int, int]


def read_imported_history(
    db: sqlite3.Connection, filters: ImportedFilter, most: int
) -> ImportedHistory:
    """Read targets by day and network: tests without one, and those found blocked most often.

    Args:
        filters: What to count; its times are extended to whole days. One of country, asn, test and
            target is needed.
        most: How many targets; half as many for more than 62 days.

    Raises:
        sqlite3.Error
    """
    if filters.until_us - filters.since_us > _LONG_DAYS * DAY_US:
        most //= 2
    keys, blocked_count = _choose_keys(db, filters, most)
    by_key: dict[_Key, list[_Record]] = {}
    for record in _read_records(db, filters, keys):
        by_key.setdefault(record[:4], []).append(record)
    rows = [_build_row(key, by_key[key]) for key in keys if key in by_key]
    records = [record for key in by_key for record in by_key[key]]
    return ImportedHistory(
        rows=sorted(rows, key=_rank_row),
        targets=max(blocked_count, len(rows)),
        newest_us=max((record[11] for record in records), default=0),
        imported_us=max((record[12] for record in records), default=0),
    )


def _rank_row(row: ImportedRow) -> tuple[bool, int, str, str]:
    """Rank what most measurements found blocked first, by how many did."""
    blocked = row.total.blocked
    known = sum(row.total) - row.total.unknown
    return not (blocked and 3 * blocked >= 2 * known), -blocked, row.test, row.target


def _choose_keys(
    db: sqlite3.Connection, filters: ImportedFilter, most: int
) -> tuple[list[_Key], int]:
    """Choose targets; and count those that were found blocked."""
    parts = ["target = ''"] if not filters.target else ["target != ''"]
    if not filters.test and filters.target is None:
        parts.insert(0, "blocked > 0")
    keys: dict[_Key, None] = {}
    blocked_count = 0
    condition, values = _build_condition(filters)
    for part in parts:
        records = db.execute(
            f"SELECT country, source, test, target, count(*) OVER () FROM day_counts "  # noqa: S608 fixed names
            f"WHERE {part} AND {condition} GROUP BY country, source, test, target "
            f"ORDER BY sum(blocked) DESC, country, source, test, target LIMIT ?",
            (*values, most),
        ).fetchall()
        keys |= dict.fromkeys(record[:4] for record in records)
        if part == "blocked > 0" and records:
            blocked_count = records[0][4]
    return list(keys), blocked_count


def _read_records(
    db: sqlite3.Connection, filters: ImportedFilter, keys: Sequence[_Key]
) -> Iterable[_Record]:
    """Read the counts of some targets, by the key of each of their days."""
    days = range(filters.since_us // DAY_US, -(-filters.until_us // DAY_US))
    if not keys:
        return ()
    places = ", ".join(["(?, ?, ?, ?)"] * len(keys))
    network = "" if filters.asn is None else "AND c.asn = ?"
    return db.execute(
        "WITH RECURSIVE days (day) AS (SELECT ? UNION ALL SELECT day + 1 FROM days WHERE day < ?), "  # noqa: S608 fixed names
        f"keys (country, source, test, target) AS (VALUES {places}) "
        "SELECT c.country, c.source, c.test, c.target, c.day, c.asn, "
        f"{', '.join(f'c.{state}' for state in _STATES)}, c.newest_us, c.imported_us "
        "FROM keys CROSS JOIN days CROSS JOIN day_counts c ON c.country = keys.country "
        "AND c.day = days.day AND c.source = keys.source AND c.test = keys.test "
        f"AND c.target = keys.target {network}",
        (
            days.start,
            days.stop - 1,
            *(name for key in keys for name in key),
            *(() if filters.asn is None else (filters.asn,)),
        ),
    )


def _build_row(key: _Key, records: Sequence[_Record]) -> ImportedRow:
    days: dict[int, list[int]] = {}
    networks: dict[int, list[int]] = {}
    for record in records:
        counts = record[6:11]
        for sums in (days.setdefault(record[4], [0] * 5), networks.setdefault(record[5], [0] * 5)):
            for index, count in enumerate(counts):
                sums[index] += count
    country, source, test, target = key
    return ImportedRow(
        country=country,
        source=source,
        test=test,
        target=target,
        total=StateCounts(*map(sum, zip(*networks.values(), strict=True))),
        days={day * DAY_US: StateCounts(*sums) for day, sums in days.items()},
        networks={asn: StateCounts(*sums) for asn, sums in networks.items()},
    )


def _build_condition(filters: ImportedFilter) -> tuple[str, list[object]]:
    """Return the WHERE clause and its values; only what is asked for, so that an index is used."""
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
