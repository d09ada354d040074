"""Read days of imported results from the counts that `ImportedResults.add` keeps.

A month of one country has hundreds of thousands of counts. So `day_sums` has them summed over
networks, and which of these found how much blocked. The targets are chosen by partial indexes,
which hold only what was found blocked and tests without a target, and then the counts of these few
are read by the key of each day.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from heliograph.units import DAY_US
from heliograph_collector.model.imported import (
    ImportedFilter,
    ImportedHistory,
    ImportedRow,
    StateCounts,
)

DAYS_SCHEMA = """
CREATE TABLE IF NOT EXISTS day_sums (
  country TEXT NOT NULL, day INTEGER NOT NULL, source TEXT NOT NULL, test TEXT NOT NULL,
  target TEXT NOT NULL, reachable INTEGER NOT NULL, partial INTEGER NOT NULL,
  blocked INTEGER NOT NULL, down INTEGER NOT NULL, unknown INTEGER NOT NULL,
  newest_us INTEGER NOT NULL, imported_us INTEGER NOT NULL, networks TEXT NOT NULL,
  agreeing_networks TEXT NOT NULL,
  PRIMARY KEY (country, day, source, test, target)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS day_sums_blocked
  ON day_sums (country, day, blocked) WHERE blocked > 0;
CREATE INDEX IF NOT EXISTS day_sums_plain ON day_sums (country, day) WHERE target = '';
CREATE INDEX IF NOT EXISTS day_sums_plain_test ON day_sums (test, day) WHERE target = '';
CREATE INDEX IF NOT EXISTS day_sums_target ON day_sums (target, day) WHERE target != '';
CREATE INDEX IF NOT EXISTS day_counts_blocked_asn
  ON day_counts (asn, day, blocked) WHERE blocked > 0;
CREATE INDEX IF NOT EXISTS day_counts_plain_asn ON day_counts (asn, day) WHERE target = '';
-- Earlier versions chose targets from the counts of networks, and summed these for each page;
-- their sums did not tell in which networks most measurements of a day agreed.
DROP TABLE IF EXISTS target_sums;
DROP INDEX IF EXISTS day_counts_blocked;
DROP INDEX IF EXISTS day_counts_plain;
DROP INDEX IF EXISTS day_counts_plain_test;
DROP INDEX IF EXISTS day_counts_target;
DROP INDEX IF EXISTS day_counts_blocking;
DROP TABLE IF EXISTS target_days;
"""
# Two thirds of those that know, and a quarter of all: as aggregate/cell_state decides (a test
# compares them).
MOST_AGREE = """
blocked > 0 AND blocked >= 0.66 * (reachable + partial + blocked + down)
  AND blocked >= 0.25 * (reachable + partial + blocked + down + unknown)
"""
SUM_NETWORKS = f"""
INSERT INTO day_sums
SELECT country, day, source, test, target, sum(reachable), sum(partial), sum(blocked), sum(down),
  sum(unknown), max(newest_us), max(imported_us),
  json_group_object(asn, blocked) FILTER (WHERE blocked > 0),
  json_group_object(asn, blocked) FILTER (WHERE {MOST_AGREE})
FROM day_counts
"""  # noqa: S608 fixed text
TARGET_GROUPS = " GROUP BY country, day, source, test, target"
_LONG_DAYS = 62  # beyond them half as many targets are read; assumed
_STATES = ("reachable", "partial", "blocked", "down", "unknown")
_Key = tuple[str, str, str, str]  # country, source, test, target


_NETWORKS = msgspec.json.Decoder(dict[int, int])
_NO_NETWORKS = "{}"


class _Record(NamedTuple):
    """The sums of one day of a target."""

    day: int
    reachable: int
    partial: int
    blocked: int
    down: int
    unknown: int
    newest_us: int
    imported_us: int
    networks: str  # JSON: measurements that found it blocked, by ASN
    agreeing_networks: str  # JSON: the same, of networks of which most measurements agree

    @property
    def counts(self) -> StateCounts:
        return StateCounts(*self[1:6])


def read_imported_history(
    db: sqlite3.Connection, filters: ImportedFilter, most: int
) -> ImportedHistory:
    """Read the targets blocked most often, and tests without one, by day and network.

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
    by_day = _read_days(db, filters, keys)
    rows = [_build_row(key, by_day[key]) for key in keys if key in by_day]
    records = [record for key in by_day for record in by_day[key]]
    return ImportedHistory(
        rows=sorted(rows, key=_rank_row),
        targets=max(blocked_count, len(rows)),
        newest_us=max((record.newest_us for record in records), default=0),
        imported_us=max((record.imported_us for record in records), default=0),
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
            "SELECT country, source, test, target, count(*) OVER () "  # noqa: S608 fixed names
            f"FROM {_choose_table(filters)} WHERE {part} AND {condition} "
            "GROUP BY country, source, test, target "
            "ORDER BY sum(blocked) DESC, country, source, test, target LIMIT ?",
            (*values, most),
        ).fetchall()
        keys |= dict.fromkeys(record[:4] for record in records)
        if part == "blocked > 0" and records:
            blocked_count = records[0][4]
    return list(keys), blocked_count


def _choose_table(filters: ImportedFilter) -> str:
    """Return the table of a question: that of the sums has no network."""
    return "day_sums" if filters.asn is None else "day_counts"


def _read_days(
    db: sqlite3.Connection, filters: ImportedFilter, keys: Sequence[_Key]
) -> Mapping[_Key, Sequence[_Record]]:
    """Read some targets by day; each day is read by its key.

    Targets have a number, because sorting by four texts takes three times as long.
    """
    if not keys:
        return {}
    days = range(filters.since_us // DAY_US, -(-filters.until_us // DAY_US))
    places = ", ".join(["(?, ?, ?, ?, ?)"] * len(keys))
    columns = ", ".join(f"c.{name}" for name in (*_STATES, "newest_us", "imported_us"))
    table = _choose_table(filters)
    networks = "c.networks, c.agreeing_networks"
    condition = ""
    if filters.asn is not None:
        blocking = "json_object(c.asn || '', c.blocked)"
        networks = f"iif(c.blocked, {blocking}, '{{}}'), iif({MOST_AGREE}, {blocking}, '{{}}')"
        condition = "AND c.asn = ?"
    records = db.execute(
        "WITH RECURSIVE days (day) AS (SELECT ? UNION ALL SELECT day + 1 FROM days WHERE day < ?), "  # noqa: S608 fixed names
        f"keys (n, country, source, test, target) AS (VALUES {places}) "
        f"SELECT keys.n, c.day, {columns}, {networks} "
        f"FROM keys CROSS JOIN days CROSS JOIN {table} c ON c.country = keys.country "
        "AND c.day = days.day AND c.source = keys.source AND c.test = keys.test "
        f"AND c.target = keys.target {condition} ORDER BY 1, 2",
        (
            days.start,
            days.stop - 1,
            *(value for n, key in enumerate(keys) for value in (n, *key)),
            *(() if filters.asn is None else (filters.asn,)),
        ),
    )
    by_key: dict[_Key, list[_Record]] = {}
    for n, *record in records:
        by_key.setdefault(keys[n], []).append(_Record(*record))
    return by_key


def _build_row(key: _Key, days: Sequence[_Record]) -> ImportedRow:
    country, source, test, target = key
    counts = {record.day * DAY_US: record.counts for record in days}
    agreeing = {
        record.day: _NETWORKS.decode(record.agreeing_networks)
        for record in days
        if record.agreeing_networks != _NO_NETWORKS
    }
    return ImportedRow(
        country=country,
        source=source,
        test=test,
        target=target,
        total=StateCounts(*map(sum, zip(*counts.values(), strict=True))),
        days=counts,
        blocked_networks=_sum_networks(days),
        agreeing_networks={day * DAY_US: networks for day, networks in agreeing.items()},
        partly_blocked=_sum_partly(days, agreeing),
    )


def _sum_partly(
    days: Iterable[_Record], agreeing: Mapping[int, Mapping[int, int]]
) -> Mapping[int, int]:
    """Sum the results of networks that agree on no day.

    A block of some hours is less than a day's majority.
    """
    networks = {asn for day in agreeing.values() for asn in day}
    near = [day for day in days if agreeing.keys() & {day.day - 1, day.day, day.day + 1}]
    return {asn: n for asn, n in _sum_networks(near).items() if asn not in networks}


def _sum_networks(days: Iterable[_Record]) -> Mapping[int, int]:
    networks: dict[int, int] = {}  # a Counter takes twice as long
    for day in days:
        for asn, blocked in _NETWORKS.decode(day.networks).items():
            networks[asn] = networks.get(asn, 0) + blocked
    return networks


def _build_condition(filters: ImportedFilter) -> tuple[str, list[object]]:
    """Return the WHERE clause and its values.

    It names only the given filters, so that an index is used.
    """
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
