"""Outages that other projects report, in DATA/imported.db beside what else was imported."""

import sqlite3
from collections.abc import Iterable

from heliograph_collector.model.imported import ImportedFilter, ReportedOutage

MAX_OUTAGES = 2_000  # of one question; assumed
OUTAGES_SCHEMA = """
CREATE TABLE IF NOT EXISTS outages (
  source TEXT NOT NULL, signal TEXT NOT NULL, country TEXT NOT NULL, asn INTEGER NOT NULL,
  since_us INTEGER NOT NULL, until_us INTEGER, read_us INTEGER NOT NULL, url TEXT NOT NULL,
  attribution TEXT NOT NULL, PRIMARY KEY (country, asn, source, signal, since_us)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS outages_by_network ON outages (asn, since_us) WHERE asn > 0;
"""
_COLUMNS = (
    "source", "signal", "country", "asn", "since_us", "until_us", "read_us", "url", "attribution",
)  # fmt: skip
_INSERT = (
    f"INSERT OR REPLACE INTO outages ({', '.join(_COLUMNS)}) "  # noqa: S608 fixed names
    f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)


def replace_outages(
    db: sqlite3.Connection,
    source: str,
    place: tuple[str, int],
    window: tuple[int, int],
    outages: Iterable[ReportedOutage],
) -> None:
    """Replace what a source says of a place in a window. Raises sqlite3.Error.

    Args:
        db: The database, in a transaction of the caller.
        source: Which was asked.
        place: Country and ASN that it was asked about; 0 for the whole country.
        window: From when until when, microseconds UTC.
        outages: What the source answered.
    """
    db.execute(
        "DELETE FROM outages WHERE source = ? AND country = ? AND asn = ? AND since_us < ? "
        "AND coalesce(until_us, since_us) >= ?",
        (source, *place, window[1], window[0]),
    )
    db.executemany(_INSERT, ({name: getattr(x, name) for name in _COLUMNS} for x in outages))


def read_outages(db: sqlite3.Connection, filters: ImportedFilter) -> list[ReportedOutage]:
    """Read the outages of a country as a whole, or of a network. Raises sqlite3.Error."""
    if filters.test or filters.target is not None or not (filters.country or filters.asn):
        return []
    place = "asn = ? AND ? IN ('', country)" if filters.asn else "asn = ? AND country = ?"
    records = db.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM outages WHERE {place} AND since_us < ? "  # noqa: S608 fixed names
        "AND (until_us IS NULL OR until_us >= ?) ORDER BY source, signal, since_us LIMIT ?",
        (filters.asn or 0, filters.country, filters.until_us, filters.since_us, MAX_OUTAGES),
    )
    return [ReportedOutage(**dict(zip(_COLUMNS, record, strict=True))) for record in records]
