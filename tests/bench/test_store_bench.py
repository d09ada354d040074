"""Millions of verdicts: how long the two questions of the front page take, beside a full scan.

Ten of them with HELIOGRAPH_BENCH_ROWS=10000000, three in CI. Ratios decide, not times.
"""

import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from heliograph_collector.store.store import Store, StoreLimits
from support.rows import T0, US, block, blocked, observations, reachable, taken

ROWS = int(os.environ.get("HELIOGRAPH_BENCH_ROWS", "2_000_000"))
DAYS = 30
SLICES = 10
DAY = 86_400 * US

# Thirty days; 180 countries and their networks unevenly, ten services, 2000 vantages a network.
LOAD = f"""
INSERT INTO verdicts
  (id, judged, started, nym, prefix, role, country, region, asn, access, link, experiment, service,
   target, endpoint, state, layer, method, rule, confidence, evidence, reachable_endpoints,
   endpoints)
SELECT
  lower(hex(MD5(toString(number)))), 1,
  fromUnixTimestamp64Micro({T0} + toInt64(number * {DAYS * DAY // ROWS}), 'UTC'),
  'nym' || toString(intHash32(number) %% 2000), 'net' || toString(intHash32(number) %% 700),
  'volunteer',
  'C' || toString(toUInt8(180 * pow((intHash32(number + 1) %% 100000) / 100000, 3))), '',
  1000 + intHash32(number + 2) %% 20, 'fixed', 'online', 'telegram',
  'service' || toString(intHash32(number + 3) %% 10), '', '',
  if(intHash32(number + 4) %% 50 = 0, 'blocked', 'reachable'),
  if(intHash32(number + 4) %% 50 = 0, 'tls', ''), '', 'bench', 1, [], 0, 0
FROM numbers_mt(%d, %d)"""


@pytest.fixture
async def loaded(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(
        f"chdb://{tmp_path}/store", limits=StoreLimits(memory_mib=4_096), verdicts_days=99_999
    )
    await store.open()
    try:
        began = time.perf_counter()
        for n in range(SLICES):
            store._clickhouse.command(LOAD % (n * ROWS // SLICES, ROWS // SLICES))
        print(f"\n{ROWS} rows loaded in {time.perf_counter() - began:.1f} s")
        yield store
    finally:
        await store.close()


async def timed(ask: Callable[[], Awaitable[Any]], times: int = 5) -> tuple[float, Any]:
    """Median milliseconds, and the last answer."""
    taken_ms: list[float] = []
    answer = None
    for _ in range(times):
        began = time.perf_counter()
        answer = await ask()
        taken_ms.append(1_000 * (time.perf_counter() - began))
    return statistics.median(taken_ms), answer


@pytest.mark.slow
async def test_the_front_page_over_millions_of_rows(loaded: Store) -> None:
    end = T0 + DAYS * DAY

    async def scan() -> Any:
        query = (
            "SELECT country, service, countIf(state = 'blocked') AS b FROM verdicts FINAL "
            "GROUP BY country, service"
        )
        return loaded._clickhouse.query(query, {})

    parts = (await loaded.health()).parts
    scan_ms, _ = await timed(scan)
    day_ms, day = await timed(lambda: loaded.votes(end - 2 * DAY, end - DAY, 300, country="C0"))
    small_ms, small = await timed(
        lambda: loaded.votes(end - 2 * DAY, end - DAY, 300, country="C90")
    )
    hour_ms, hour = await timed(lambda: loaded.votes(end - 3_600 * US, end, 300))
    health = await loaded.health()
    print(
        f"{parts} parts, {health.bytes / health.rows:.0f} B/row\n"
        f"30 days, whole world, by country and service (all rows): {scan_ms:.0f} ms\n"
        f"one big country, one day, 5-minute bins: {day_ms:.0f} ms, {len(day)} votes\n"
        f"one small country, one day, 5-minute bins: {small_ms:.0f} ms, {len(small)} votes\n"
        f"the world, last hour, 5-minute bins: {hour_ms:.0f} ms, {len(hour)} votes"
    )
    assert sum(v.reachable + v.blocked for v in hour) == pytest.approx(ROWS / DAYS / 24, rel=0.01)
    assert small_ms < scan_ms
    assert hour_ms < 2 * scan_ms
    assert day_ms < 4 * scan_ms


@pytest.mark.slow
async def test_blocks_go_in(tmp_path: Path) -> None:
    store = Store(f"chdb://{tmp_path}/store", observations_days=99_999, verdicts_days=99_999)
    await store.open()
    steps = observations()
    blocks = [
        block(
            n,
            n,
            *(
                (taken(n * 1_000 + k, position=n, steps=steps), (blocked(), reachable("dc1")))
                for k in range(1_000)
            ),
        )
        for n in range(1, 11)
    ]
    began = time.perf_counter()
    for one in blocks:
        await store.insert_block(one)
    spent = time.perf_counter() - began
    print(f"\n10 blocks of 1000 measurements with 4 steps and 2 verdicts: {10_000 / spent:.0f}/s")
    assert await store.cursor("j") == 10
    await store.close()
