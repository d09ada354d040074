"""CPU of the first read of each kind of page, beside the raw engine's.

HELIOGRAPH_BENCH_ROWS is the number of measurements in a month; `make soak` takes ten million. CI
reads the archive of one country, without the store. What is printed is the table of the README.
HELIOGRAPH_BENCH_FOLDER keeps what is filled, for the next run. HELIOGRAPH_BENCH_DAYS fills only the
store's last days, at the same pace: the archive of past days is as large however many measured, and
the present asks the store for no more.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from heliograph.units import DAY_US, MINUTE_US
from heliograph_collector.aggregate.query_cache import CellQueryCache
from heliograph_collector.app.garbage_search import limit_garbage_search
from heliograph_collector.http.app import build_app
from heliograph_collector.http.pages.day_charts import DayCharts
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.store import Store, StoreLimits
from support.bench_rows import COUNTRY, load_rows, write_archive, write_imported
from support.fake_feed import NOW_US, World
from support.hand_clock import HandClock
from support.incident_book import KEY, book, closed, silence
from support.past_days import read_past
from support.rows import T0
from support.web_app import serve_app

ROWS = int(os.environ.get("HELIOGRAPH_BENCH_ROWS", "1_000_000"))
LIMIT_MS = 100 if ROWS <= 10_000_000 else 300  # of CPU, for the first look at a page
MARGIN = 3  # CPU on a shared machine, with cold caches of the processor
DAYS = 30
FILLED_DAYS = int(os.environ.get("HELIOGRAPH_BENCH_DAYS", str(DAYS)))
FIRST = T0 // DAY_US * DAY_US
END = FIRST + DAYS * DAY_US + DAY_US // 2
K = 5  # as a collector is configured
SERVICES = {f"service{n}": f"Service {n}" for n in range(1, 21)} | {"web": "Web"}
MONTH = "since=2022-01-05&until=2022-02-03"
WEEK = "since=2022-01-05&until=2022-01-11"
ARCHIVE = (
    f"/countries/{COUNTRY}?{MONTH}",
    f"/countries/{COUNTRY}?{WEEK}",
    f"/countries/{COUNTRY}?since=2022-02-02&until=2022-02-02",
    f"/countries/{COUNTRY}?{MONTH}&service=service1",
    f"/services/service1?{MONTH}",
    f"/countries/{COUNTRY}?{MONTH}&service=web/https://site8.example/",
    f"/countries/{COUNTRY}/KZ-75?{MONTH}",
    f"/countries/DE?{MONTH}",
    "/incidents",
    f"/incidents?country={COUNTRY}&kind=network_silence&{MONTH}",
    "/search?q=service1",
    f"/countries/ZY?{MONTH}",
)
PRESENT = (
    f"/networks/AS1000?{MONTH}",
    "/",
    "/networks/AS1000",
    "/services/service1",
    f"/countries/{COUNTRY}/KZ-75",
    "/countries/BA",
    f"/countries/{COUNTRY}",
    f"/countries/{COUNTRY}?window=week",
    f"/countries/{COUNTRY}?window=month",
    f"/countries/{COUNTRY}?bin=1m",
    f"/incidents/{1_000:016x}",
)
INCIDENT = PRESENT[-1]
# The same questions to the raw engine, of the verdicts: states by bin, service and network.
_RAW = """
SELECT toStartOfInterval(started, toIntervalSecond({bin:UInt32})) AS start, country, service, asn,
  access, countIf(state = 'blocked'), count()
FROM verdicts FINAL
WHERE endpoint = '' AND started >= fromUnixTimestamp64Micro({since:Int64}, 'UTC') AND %s
GROUP BY start, country, service, asn, access
"""
_OF_COUNTRY = f"country = '{COUNTRY}'"
_HOUR_S = 3_600
RAW = {  # page: minutes, seconds of a bin, condition
    f"/countries/{COUNTRY}?{MONTH}": (DAYS * 1_440, _HOUR_S, _OF_COUNTRY),
    f"/countries/{COUNTRY}?{WEEK}": (7 * 1_440, _HOUR_S, _OF_COUNTRY),
    f"/countries/{COUNTRY}?since=2022-02-02&until=2022-02-02": (1_440, _HOUR_S, _OF_COUNTRY),
    f"/services/service1?{MONTH}": (DAYS * 1_440, _HOUR_S, "service = 'service1'"),
    f"/countries/{COUNTRY}/KZ-75?{MONTH}": (DAYS * 1_440, _HOUR_S, "region = 'KZ-75'"),
    f"/networks/AS1000?{MONTH}": (DAYS * 1_440, _HOUR_S, "asn = 1000"),
    "/": (10, 300, "1"),
    f"/countries/{COUNTRY}": (1_440, 900, _OF_COUNTRY),
    f"/countries/{COUNTRY}?window=week": (7 * 1_440, _HOUR_S, _OF_COUNTRY),
    f"/countries/{COUNTRY}?window=month": (DAYS * 1_440, 6 * _HOUR_S, _OF_COUNTRY),
    f"/countries/{COUNTRY}?bin=1m": (60, 60, _OF_COUNTRY),
    INCIDENT: (100, 300, _OF_COUNTRY),
}


@asynccontextmanager
async def serve_pages(folder: Path, **changes: Any) -> AsyncIterator[str]:
    """Serve the contents of a folder, with 1,001 incidents, on the day after its last.

    The bars of the last day are not cached yet, as for the first reader in an hour.
    """
    clock = HandClock(wall=END)
    old = [closed(silence(f"{n:016x}", 100 + 30 * n), 90 + 30 * n) for n in range(1_000)]
    ahead = (END - NOW_US) // MINUTE_US  # one is of the day of which the store has the most
    old.append(closed(silence(f"{1_000:016x}", 100 - ahead), 90 - ahead))
    feed = World(clock=clock).feed(
        k_anonymity=K,
        services=SERVICES,
        public_key=KEY.public,
        book=book(*old),
        **read_past(folder),
        **changes,
    )
    snapshots = SnapshotCache(feed)
    await snapshots.refresh()  # as live events do every few seconds
    snapshots.is_polled = True
    charts = DayCharts(feed)
    began = time.process_time()
    await charts.read_next()  # as a collector does 96 times while somebody reads countries
    print(f"a quarter of an hour of all countries: {_count_ms(began):.0f} ms")
    async with serve_app(build_app(feed, snapshots, charts)) as origin:
        await read_pages(origin, ("/about",))  # what every first request of a process loads
        limit_garbage_search()  # as `serve` does when it has started
        yield origin


async def read_pages(origin: str, paths: Iterable[str]) -> dict[str, float]:
    """Return milliseconds of CPU for each page, the reader's own included."""
    spent = {}
    async with aiohttp.ClientSession() as session:
        for path in paths:
            began = time.process_time()
            async with session.get(origin + path) as response:
                body = await response.read()
            spent[path] = _count_ms(began)
            assert response.status == (404 if "ZY" in path else 200), body[:500]
            row = f"| `{path}` | {spent[path]:.0f} ms | {len(body) / 1_000:.0f} kB |"
            print(row, flush=True)
    return spent


def _count_ms(began: float) -> float:
    return 1_000 * (time.process_time() - began)


def check_limit(spent: dict[str, float]) -> None:
    over = {path: round(cost) for path, cost in spent.items() if cost > LIMIT_MS}
    print(f"over {LIMIT_MS} ms: {over or 'none'}; load {os.getloadavg()[0]:.1f}")
    assert max(spent.values()) < MARGIN * LIMIT_MS


async def test_the_archive_of_a_country(tmp_path: Path) -> None:
    rows = write_archive(tmp_path / "history.db", FIRST, DAYS, countries=1)
    imported = write_imported(tmp_path / "imported.db", FIRST, DAYS)
    print(f"\n{rows:,} rows of history, {imported:,} imported counts")
    async with serve_pages(tmp_path) as origin:
        # A page of each kind first, which compiles its template; of another country or day.
        await read_pages(origin, ("/countries/DE?since=2022-01-01&until=2022-01-01",))
        check_limit(await read_pages(origin, ARCHIVE))


@pytest.mark.slow
@pytest.mark.timeout(14_400)
async def test_pages_over_many_measurements(tmp_path: Path) -> None:
    folder = Path(os.environ.get("HELIOGRAPH_BENCH_FOLDER", tmp_path))
    await _fill(folder)
    limits = StoreLimits(memory_mib=8_000, query_mib=6_000, query_s=300)
    store = Store(f"chdb://{folder}/store{ROWS}", limits=limits, verdicts_days=99_999)
    await store.open()
    cells = CellQueryCache(store, HandClock(wall=END), K)
    feed = {"votes": store.votes, "silences": store.silences, "wide": cells.cells}
    async with serve_pages(folder, **feed) as origin:
        await read_pages(origin, ("/countries/DE?since=2022-01-01&until=2022-01-01",))
        archive = await read_pages(origin, ARCHIVE)
        present = await read_pages(origin, PRESENT)
    await _ask_engine(store, archive | present)
    await store.close()
    check_limit(archive | present)


async def _fill(folder: Path) -> None:
    """Fill what the folder does not hold yet."""
    if not (folder / "history.db").exists():
        rows = write_archive(folder / "history.db", FIRST, DAYS, countries=60)
        imported = write_imported(folder / "imported.db", FIRST, DAYS)
        print(f"\n{rows:,} rows of history, {imported:,} imported counts")
    if not (folder / f"store{ROWS}").exists():
        url = f"chdb://{folder}/store{ROWS}"
        maker = Store(url, limits=StoreLimits(memory_mib=8_000), verdicts_days=99_999)
        await maker.open()
        began = time.process_time()
        await asyncio.to_thread(load_rows, maker, ROWS * FILLED_DAYS // DAYS, FILLED_DAYS, END)
        await maker.close()
        print(f"{ROWS:,} measurements a month, {FILLED_DAYS} days: {_count_ms(began):,.0f} ms")


async def _ask_engine(store: Store, spent: dict[str, float]) -> None:
    """Print each page beside the raw engine's time for its question, where it has one."""
    print("| page | CPU | raw engine, the same question |")
    for path, cost in spent.items():
        told = ""
        minutes, bin_s, condition = RAW.get(path, (0, 0, ""))
        if 0 < minutes <= FILLED_DAYS * 1_440:
            values = {"since": END - minutes * MINUTE_US, "bin": bin_s}
            began = time.process_time()
            told = "more rows than it answers with"
            with suppress(TooMuchError):
                await asyncio.to_thread(store._clickhouse.query, _RAW % condition, values)
                told = f"{_count_ms(began):.0f} ms"
        print(f"| `{path}` | {cost:.0f} ms | {told} |", flush=True)
    began = time.process_time()
    await store.counts(END - DAY_US, END, 900, country=COUNTRY, wider=("region",))
    print(f"| votes of a day of a country, the engine | {_count_ms(began):.0f} ms | |")
