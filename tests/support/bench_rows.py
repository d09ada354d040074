"""Make many measurements for benches inside the engines of store and archive."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from zlib import crc32

from heliograph.units import DAY_US
from heliograph_collector.http.history_rows import HourCount, build_day_rows
from heliograph_collector.store.history import HistoryTable
from heliograph_collector.store.imported_history import SUM_NETWORKS, TARGET_GROUPS
from heliograph_collector.store.imported_results import ImportedResults
from heliograph_collector.store.store import Store

VANTAGES = 5_000
COUNTRY = "KZ"  # the largest of the sixty
_SLICES = 10
_REGIONS = ("KZ-10", "KZ-11", "KZ-15", "KZ-19", "KZ-23", "KZ-71", "KZ-75", "KZ-79")
_PLACE = """
  if(c = 0, 'KZ', char(65 + c % 6, 65 + intDiv(c, 6))) AS country,
  if(c = 0, ['KZ-10', 'KZ-11', 'KZ-15', 'KZ-19', 'KZ-23', 'KZ-71', 'KZ-75', 'KZ-79']
    [1 + cityHash64({who}, 8) % 8], '') AS region"""

# 5,000 vantages in 60 countries and their twenty networks, unevenly; twelve services, one of them
# thirty pages; a whole-target verdict and one of an endpoint for each measurement.
_LOAD = """
INSERT INTO verdicts
  (id, judged, started, nym, prefix, role, country, region, asn, access, link, experiment, service,
   target, endpoint, state, layer, method, rule, confidence, evidence, reachable_endpoints,
   endpoints, established)
SELECT
  lower(hex(MD5(toString(n)))), 1, fromUnixTimestamp64Micro({since} + toInt64(n * {step}), 'UTC'),
  'nym' || toString(who) AS nym, 'net' || toString(intDiv(who, 3)), 'volunteer', {place},
  1000 + 20 * c + intDiv(cityHash64(who, 2) % 400, 20) AS asn,
  if(cityHash64(who, 3) % 3 = 0, 'mobile', 'fixed'), 'online',
  if(what = 0, 'web', 'telegram'), if(what = 0, 'web', 'service' || toString(what)) AS service,
  if(what = 0, 'https://site' || toString(cityHash64(n, 5) % 30) || '.example/', service),
  end, if(bad, 'blocked', 'reachable'), if(bad, 'tls', ''),
  if(bad, if(cityHash64(n, 7) % 9 = 0, 'block_page', 'reset_after_hello'), ''), 'bench', 1, [], 0,
  0, 1
FROM (
  SELECT number AS n, intHash32(number) % {vantages} AS who,
    toUInt8(60 * pow((cityHash64(who, 1) % 100000) / 100000, 2)) AS c,
    cityHash64(n, 4) % 12 AS what, (c + what) % 23 = 0 OR cityHash64(n, 6) % 200 = 0 AS bad
  FROM numbers_mt({first}, {rows})
) ARRAY JOIN ['', 'dc1'] AS end"""

_LOSSES = """
INSERT INTO presence
  (journal, position, received, kind, nym, prefix, role, country, region, asn, access)
SELECT 'j', number, fromUnixTimestamp64Micro({since} + toInt64(number * {step}), 'UTC'),
  if(cityHash64(number) % 40 = 0, 'lost', 'arrival'), 'nym' || toString(who), 'net',
  'volunteer', {place}, 1000 + 20 * c + intDiv(cityHash64(who, 2) % 400, 20),
  if(cityHash64(who, 3) % 3 = 0, 'mobile', 'fixed')
FROM (
  SELECT number, number % {vantages} AS who,
    toUInt8(60 * pow((cityHash64(who, 1) % 100000) / 100000, 2)) AS c
  FROM numbers({rows})
)"""


def load_rows(store: Store, rows: int, days: int, until_us: int) -> None:
    """Load `rows` measurements, evenly over the `days` before `until_us`."""
    span = days * DAY_US
    since = until_us - span
    place = _PLACE.format(who="who")
    words = {"since": since, "step": span // rows, "vantages": VANTAGES, "place": place}
    each = rows // _SLICES
    for n in range(_SLICES):
        store._clickhouse.command(_LOAD.format(first=n * each, rows=each, **words))
    losses = VANTAGES * 2 * days
    words["step"] = span // losses
    store._clickhouse.command(_LOSSES.format(rows=losses, **words))


_DISTINCT_DAYS = 3  # the others are copies of them
_SERVICES = tuple(f"service{n}" for n in range(1, 21))
_SITES = tuple(f"web/https://site{n}.example/" for n in range(300))
_WORKS = ("reachable", "", "")
_RESET = ("blocked", "tls", "reset_after_hello")
_COPY_DAY = """
INSERT INTO rows SELECT axis, country, :day, region, asn, access, service, hours, shares, vantages,
  layer, method, trouble FROM rows WHERE country = :country AND day = :from
"""
_COPY_COUNTRY = """
INSERT INTO rows SELECT axis, :copy, day, region, asn + :n, access, service, hours, shares,
  vantages, layer, method, trouble FROM rows WHERE country = :country
"""
# 4 networks measure 300 sites on each of 30 days, as OONI's do: of a site in eight all but one
# network find it blocked, of the others one measurement in fifty.
_IMPORT = """
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :rows)
INSERT INTO day_counts SELECT :country, :day + n / 9000, 'ooni', 'web_connectivity',
  'https://site' || (n % 300) || '.example/', 9000 + n / 300 % 30, 5, 0,
  CASE WHEN n % 300 % 8 = 0 AND n / 300 % 30 THEN 20 ELSE n % 50 = 0 END, 0, 1,
  :newest_us, :newest_us FROM numbers
"""


def write_archive(file: Path, first_us: int, days: int, countries: int) -> int:
    """Write the hours of a country and of its copies; return the number of rows."""
    with closing(HistoryTable(file)) as history, _dropped_indexes(history._db) as db:
        first = first_us // DAY_US
        for day in range(days):
            if day < _DISTINCT_DAYS:
                day_us = first_us + day * DAY_US
                hours = {hour: _build_hour(day * 24 + hour) for hour in range(24)}
                history.replace_day(day_us, f"{day}", build_day_rows(hours, day_us))
                continue
            with db:
                names = {"country": COUNTRY, "day": first + day}
                db.execute(_COPY_DAY, names | {"from": first + day % _DISTINCT_DAYS})
                db.execute("INSERT INTO days VALUES (?, ?, 1)", (first + day, f"{day}"))
        for n in range(1, countries):
            copy = chr(65 + n % 6) + chr(65 + n // 6)
            with db:
                db.execute(_COPY_COUNTRY, {"country": COUNTRY, "copy": copy, "n": 1_000 * n})
        ((rows,),) = db.execute("SELECT count(*) FROM rows")
        return int(rows)


@contextmanager
def _dropped_indexes(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Drop the indexes during a fill; updated row by row it takes 20 times as long."""
    indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql > ''")
    made = list(indexes)
    db.execute("PRAGMA synchronous = OFF")
    for name, _ in made:
        db.execute(f"DROP INDEX {name}")
    yield db
    for _, sql in made:
        db.execute(sql)


def _build_hour(hour: int) -> list[HourCount]:
    """Build an hour in which 12 networks test 20 services, and two of them 300 sites."""
    counts = []
    for n in range(12):
        region = _REGIONS[n % len(_REGIONS)]
        access = "mobile" if n % 3 == 0 else "fixed"
        services: Sequence[str] = _SERVICES if n > 1 else (*_SERVICES, *_SITES)
        for service in services:
            is_blocked = _draw(service) % 23 == 0 or _draw(f"{service} {n} {hour}") % 200 == 0
            state = _RESET if is_blocked else _WORKS
            counts.append(
                HourCount(COUNTRY, region, 1_000 + n, access, service, *state, 120, 10, 0)
            )
    return counts


def _draw(name: str) -> int:
    return crc32(name.encode())


def write_imported(file: Path, first_us: int, days: int) -> int:
    """Write what 30 networks measured on 300 sites a day; return the number of counts."""
    rows = 9_000 * days
    with closing(ImportedResults(file)) as imported, imported._db as db:
        newest_us = first_us + days * DAY_US
        values = {"day": first_us // DAY_US, "rows": rows, "newest_us": newest_us}
        db.execute(_IMPORT, values | {"country": COUNTRY})
        db.execute(f"{SUM_NETWORKS} {TARGET_GROUPS}")
    return rows
