"""Readers' queries over many measurements, beside the raw engine's time.

HELIOGRAPH_BENCH_ROWS=10000000 takes ten million; CI a million. Ratios decide, not times.
"""

import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heliograph_collector.aggregate.cell_updater import DailyUpdater
from heliograph_collector.aggregate.query_cache import CellQueryCache
from heliograph_collector.http.api import status
from heliograph_collector.http.app import build_app
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.headers import prepare_json
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.pages.country_routes import CountryRoutes
from heliograph_collector.http.pages.country_timeline import WINDOWS
from heliograph_collector.http.pages.day_charts import DayCharts
from heliograph_collector.http.pages.history_routes import HistoryPages
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.store import aggregation, daily_totals
from heliograph_collector.store.aggregation import AggregationQuery
from heliograph_collector.store.clickhouse import ClickHouse
from heliograph_collector.store.daily_totals import AnonymityRule, UncachedDays
from heliograph_collector.store.store import Store, StoreLimits
from support.bench_rows import COUNTRY, load_rows
from support.fake_feed import World
from support.hand_clock import HandClock
from support.ports import HOST
from support.rows import DAY, T0, US
from support.waiting import until_true
from support.web_app import serve_app

ROWS = int(os.environ.get("HELIOGRAPH_BENCH_ROWS", "1_000_000"))
DAYS, K, HOUR = 30, 5, 3_600 * US
PACE_S = 0.04  # in which a second goes by, for those who ask every second
FIRST = T0 // DAY * DAY + DAY // 2
END = FIRST + DAYS * DAY
SERVICES = {f"service{n}": f"Service {n}" for n in range(1, 12)} | {"web": "Web"}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Open a store with the limits of `serve`, filled with higher ones."""
    maker = Store(
        f"chdb://{tmp_path}/store", limits=StoreLimits(memory_mib=6_000), verdicts_days=99_999
    )
    await maker.open()
    await asyncio.to_thread(load_rows, maker, ROWS, DAYS, END)
    await maker.close()
    store = Store(f"chdb://{tmp_path}/store", verdicts_days=99_999)
    await store.open()
    yield store
    await store.close()


async def timed(
    ask: Callable[[], Awaitable[Any]],
    times: int,
    before: Callable[[], Awaitable[None]] | None = None,
) -> tuple[float, float]:
    """Return the median and 95th percentile in ms, without the time of `before`."""
    took: list[float] = []
    for _ in range(times):
        if before is not None:
            await before()
        began = time.perf_counter()
        await ask()
        took.append(1_000 * (time.perf_counter() - began))
    return statistics.median(took), sorted(took)[int(0.95 * (len(took) - 1))]


def said(name: str, ours: tuple[float, float], raw: float) -> None:
    print(
        f"{name}: {ours[0]:.0f} ms, p95 {ours[1]:.0f}; the raw engine {raw:.0f} ms; "
        f"ratio {ours[0] / raw:.2f}"
    )


@pytest.mark.slow
async def test_what_readers_ask_over_many_measurements(store: Store) -> None:
    clock = HandClock(wall=END)
    print(f"\n{ROWS} measurements, 5,000 vantages, {DAYS} days; load_rows {os.getloadavg()[0]:.1f}")
    await _month(store, clock)
    feed = World(clock=clock).feed(
        votes=store.votes,
        silences=store.silences,
        services=SERVICES,
        wide=CellQueryCache(store, clock).cells,
    )
    await _country(store, clock)
    await _world(store, feed, clock)
    await _pruned_votes(store)


async def _month(store: Store, clock: HandClock) -> None:
    """Measure a month by day and country, the present day counted live.

    The raw engine counts it all from the verdicts, as the collector did once.
    """
    began = time.perf_counter()
    assert await DailyUpdater(store, clock, AnonymityRule(K)).update_due_days() == DAYS
    print(f"{DAYS} days summed in {time.perf_counter() - began:.1f} s")
    since_us = FIRST // DAY * DAY
    axes = ("measurement_start_day", "probe_cc")
    wanted = AggregationQuery(since_us=since_us, until_us=END + DAY // 2, k=K, axes=axes)
    whole = tuple(daily_totals.day_at(since_us + n * DAY) for n in range(DAYS + 1))
    counted = aggregation.query_totals(wanted, UncachedDays(whole_days=whole))
    ours = await timed(lambda: store.totals(wanted), 11)
    with_room = StoreLimits(query_mib=3_000, query_s=120)
    raw, rows = await _raw(store, with_room, counted.sql, counted.parameters)
    said("an aggregation of a month", ours, raw)
    assert [aggregation.parse_total(row) for row in rows] == await store.totals(wanted), (
        "and it is the same"
    )
    assert ours[0] < raw / 2


async def _country(store: Store, clock: HandClock) -> None:
    """Measure a big country's page for two minutes with a reader every second.

    The data are counted in the background. Beside it the engine alone answers one of three queries.
    """
    counting = CellQueryCache(store, clock)
    feed = World(clock=clock).feed(
        votes=store.votes, silences=store.silences, services=SERVICES, wide=counting.cells
    )
    desk = SnapshotCache(feed)
    incidents = IncidentCache(feed)
    days = HistoryPages(feed, incidents, {})
    stories = CountryRoutes(feed, incidents, desk, DayCharts(feed), days, {})

    async def page() -> Any:
        return await stories.read_country_timeline(COUNTRY, WINDOWS["day"].bin_starts(END))

    async def a_second_later() -> None:
        clock.advance_us(US)
        await asyncio.sleep(PACE_S)  # the real time in which others count

    async with asyncio.TaskGroup() as group:
        renewing = [group.create_task(kept.run()) for kept in (counting.cache, desk.page_cache)]
        cold = await timed(page, 1)
        warm = await timed(page, 120, a_second_later)
        for task in renewing:
            task.cancel()
    raw = await timed(lambda: _votes(store), 3)
    said(f"a country's page ({cold[0]:.0f} ms at first)", warm, raw[0])
    assert warm[0] < raw[0]


async def _world(store: Store, feed: Any, clock: HandClock) -> None:
    desk = SnapshotCache(feed)
    cold = await timed(desk.refresh, 1)
    desk.is_polled = True

    async def status_of_the_world() -> Any:
        world = await desk.current_snapshot()
        return await desk.derive(world, "status", lambda: prepare_json(status.build_status(world)))

    async def look() -> Any:
        clock.advance_us(60 * US)
        return await desk.refresh()

    again = await timed(look, 5)
    readers = await timed(status_of_the_world, 40)
    raw = await timed(lambda: store.counts(END - 600 * US, END, 300), 5)
    said(f"the world ({cold[0]:.0f} ms at first, {again[0]:.0f} a look)", readers, raw[0])
    assert readers[0] < raw[0]


async def _votes(store: Store) -> Any:
    return await store.counts(END - DAY, END, 900, country=COUNTRY, wider=("region",))


async def _pruned_votes(store: Store) -> None:
    """Check that the primary key spares votes of a small country the whole scan.

    Votes of one hour, too.
    """
    query = "SELECT country, countIf(state = 'blocked') FROM verdicts FINAL GROUP BY country"
    scan, _ = await _raw(store, StoreLimits(query_mib=3_000, query_s=120), query, {})
    small = await timed(lambda: store.votes(END - 2 * DAY, END - DAY, 300, country="FJ"), 5)
    said("votes of a small country's day", small, scan)
    assert small[0] < scan
    hour = await timed(lambda: store.votes(END - HOUR, END, 300), 5)
    said("votes of the world's last hour", hour, scan)
    assert hour[0] < 2 * scan


async def _raw(store: Store, limits: StoreLimits, text: str, values: dict[str, Any]) -> Any:
    """Return the engine's milliseconds for a raw query, and its rows."""
    clickhouse = store._clickhouse
    kept = clickhouse._engine.limits
    _limit_readers(clickhouse, limits)
    took: list[float] = []
    rows: list[Any] = []
    for _ in range(3):
        began = time.perf_counter()
        rows = await asyncio.to_thread(clickhouse.query, text, values)
        took.append(1_000 * (time.perf_counter() - began))
    _limit_readers(clickhouse, kept)
    return statistics.median(took), rows


def _limit_readers(clickhouse: ClickHouse, limits: StoreLimits) -> None:
    for reader in clickhouse._readers:
        reader.close()
        reader._settings = replace(clickhouse._engine, limits=limits).build_reader_settings()


class Ear(asyncio.Protocol):
    """Listens to live events and counts those of all ears."""

    heard = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        Ear.heard += data.count(b"event: ")


@pytest.mark.slow
async def test_a_thousand_readers_of_live_events_cost_less_than_a_core() -> None:
    """A thousand readers of live events cost less than a core.

    Ten events a second would be a busy world: the collector sends its state every two seconds.
    """
    readers, events, data = 1_000, 200, json.dumps({"country": "KZ", "text": "a" * 400})
    bus = EventBus("t", readers=readers)
    loop = asyncio.get_running_loop()
    async with serve_app(build_app(World().feed(bus=bus))) as origin:
        port = int(origin.rpartition(":")[2])
        ears = [(await loop.create_connection(Ear, HOST, port))[0] for _ in range(readers)]
        await until_true(lambda: bus.readers == readers)
        before = time.process_time()
        for _ in range(events):
            bus.publish("cell", data)
            await asyncio.sleep(0)
        await until_true(lambda: Ear.heard >= readers * events, 120)
        each = (time.process_time() - before) / (readers * events)
        for ear in ears:
            ear.abort()
    print(
        f"\n{readers} readers: {1e6 * each:.0f} µs for each event and reader, both sides; "
        f"at ten events a second {readers * 10 * each:.2f} cores"
    )
    assert readers * 10 * each < 1
