"""The cached bars of each country's last day equal freshly counted ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.http.app import build_app
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.cell_queries import feed_disclosure, query_cells
from heliograph_collector.http.pages.country_timeline import (
    MERGED_FIELDS,
    WINDOWS,
    CountryTimeline,
    TimelineRow,
    compose_timeline,
)
from heliograph_collector.http.pages.day_charts import DayCharts
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.model.records import SilenceCount, VerdictState
from heliograph_collector.model.scope import ScopeFilter
from heliograph_collector.store.clickhouse import TooMuchError
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.kazakhstan_votes import long_evening
from support.past_days import feed_with_past
from support.site import Serve
from support.web_app import serve_app


async def read_all(charts: DayCharts) -> int:
    """Read what is due; return the number of bins."""
    count = 0
    while await charts.read_next():
        count += 1
    return count


async def count_directly(feed: Feed, country: str) -> CountryTimeline:
    starts = WINDOWS["day"].bin_starts(feed.clock.wall_us())
    networks, regions = [
        await query_cells(
            feed, starts.start, starts.stop, starts.step // 1_000_000,
            ScopeFilter(country=country), merged_fields, keep_empty=False,
        )
        for merged_fields in MERGED_FIELDS
    ]  # fmt: skip
    return compose_timeline(feed_disclosure(feed), networks, regions, starts, feed.services)


def tell_rows(rows: Mapping[Any, TimelineRow]) -> list[tuple[Any, ...]]:
    """Return all that a page shows of the rows, and the newest cell's cause."""
    return [
        (
            *(key, row.marks, row.shares, row.blocked, row.judged),
            row.newest and (row.newest.state, row.newest.layer, row.newest.method),
        )
        for key, row in rows.items()
    ]


def dark_world() -> World:
    """Build a dark country, and another that tests one service alone."""
    world = World()
    world.votes += crowd(20, VerdictState.REACHABLE, NOW_US - 9 * HOUR_US, NOW_US - HOUR_US)
    world.votes += crowd(7, VerdictState.BLOCKED, NOW_US - HOUR_US, NOW_US, country="DE", asn=3320)
    world.silences += [
        SilenceCount(country=c, region="", asn=9198, access="fixed", start_us=at, vantages=19)
        for c in ("KZ", "UZ")
        for at in range(NOW_US // BIN_US * BIN_US - HOUR_US, NOW_US, BIN_US)
    ]
    return world


def half_dark_world() -> World:
    """Build a country of which one network is dark, the only one to test a service."""
    world = dark_world()
    world.votes += crowd(9, VerdictState.REACHABLE, NOW_US - 9 * HOUR_US, NOW_US, asn=7)
    world.votes += crowd(
        9, VerdictState.REACHABLE, NOW_US - 9 * HOUR_US, NOW_US - HOUR_US, service="signal"
    )
    return world


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("make", [long_evening, dark_world, half_dark_world])
async def test_what_is_kept_is_what_a_reader_would_count(make: Any, k: int) -> None:
    feed = make().feed(k_anonymity=k)
    charts = DayCharts(feed)
    assert charts.find_timeline("KZ", feed.services) is None, "nothing is known yet"
    assert await read_all(charts) >= 95
    marks = set()
    for country in ("KZ", "DE", "UZ", "FR"):
        kept = charts.find_timeline(country, feed.services)
        counted = await count_directly(feed, country)
        assert kept is not None
        assert kept.starts == counted.starts
        for axis in ("services", "networks", "regions"):
            ours, theirs = getattr(kept, axis), getattr(counted, axis)
            assert tell_rows(ours) == tell_rows(theirs), (country, axis)
        marks |= {mark for row in kept.services.values() for mark in row.marks}
    assert {"reachable", "blocked"} <= marks


async def test_a_page_of_the_present_asks_the_store_for_no_votes() -> None:
    feed = long_evening().feed()
    charts = DayCharts(feed)
    snapshots = SnapshotCache(feed)
    await snapshots.refresh()
    snapshots.is_polled = True
    await read_all(charts)

    async def refuse(*_: Any, **__: Any) -> list[Any]:
        raise AssertionError("the store was asked")

    feed.wide = feed.votes = feed.silences = refuse  # type: ignore[method-assign] # for the test
    app = build_app(feed, snapshots, charts)
    async with serve_app(app) as origin, aiohttp.ClientSession() as session:
        for country in ("KZ", "DE", "FR"):
            async with session.get(f"{origin}/countries/{country}") as response:
                assert response.status == 200, country
                assert "The collector is busy" not in await response.text(), country


async def test_late_data_appear_and_old_bins_go() -> None:
    world = World()
    world.votes += crowd(6, VerdictState.REACHABLE, NOW_US - 3 * HOUR_US, NOW_US)
    feed = world.feed(k_anonymity=5)
    charts = DayCharts(feed)
    await read_all(charts)
    late_us = NOW_US // (3 * BIN_US) * 3 * BIN_US - 5 * HOUR_US
    world.votes += crowd(6, VerdictState.BLOCKED, late_us, late_us + 3 * BIN_US)
    charts.touch([late_us])
    world.clock.advance_us(HOUR_US + 10 * MINUTE_US)
    await read_all(charts)
    kept = charts.find_timeline("KZ", ())
    assert kept is not None
    row = kept.services["telegram"]
    assert row.marks[kept.starts.index(late_us)] == "blocked"
    assert row == (await count_directly(feed, "KZ")).services["telegram"]
    assert not await charts.read_next(), "nothing is due until the next instant"
    world.clock.advance_us(25 * HOUR_US)
    await read_all(charts)
    kept = charts.find_timeline("KZ", ())
    assert kept is not None
    assert not kept.networks


@pytest.mark.parametrize(("reading_s", "expected"), [(0, range(36, 45)), (1, range(20, 34))])
async def test_a_long_reading_comes_more_seldom(reading_s: int, expected: range) -> None:
    """A long reading comes less often, so that bars take at most 5% of a core.

    That is 30 s of ten minutes.
    """
    world = World()
    feed = world.feed(k_anonymity=1)
    count = feed.wide

    async def wide(*span: Any, **names: Any) -> list[Any]:
        world.clock.advance_us(reading_s * MINUTE_US // 120)  # two make one reading
        return list(await count(*span, **names))

    feed.wide = wide  # type: ignore[method-assign] # for the test
    charts = DayCharts(feed)
    await read_all(charts)
    readings, until_us = 0, world.clock.wall_us() + 10 * MINUTE_US
    while world.clock.wall_us() < until_us:
        readings += await charts.read_next()
        world.clock.advance_us(MINUTE_US // 60)
    assert readings in expected


async def test_a_bin_that_is_too_much_leaves_the_others() -> None:
    world = World()
    world.votes += crowd(6, VerdictState.REACHABLE, NOW_US - 3 * HOUR_US, NOW_US)
    feed = world.feed(k_anonymity=5)
    large_us = NOW_US // (3 * BIN_US) * 3 * BIN_US - HOUR_US
    count = feed.wide

    async def wide(since_us: int, *rest: Any, **names: Any) -> list[Any]:
        if since_us == large_us:
            raise TooMuchError("over 384 MiB")
        return list(await count(since_us, *rest, **names))

    feed.wide = wide  # type: ignore[method-assign] # for the test
    charts = DayCharts(feed)
    await read_all(charts)
    kept = charts.find_timeline("KZ", ())
    assert kept is not None
    marks = kept.services["telegram"].marks
    assert marks[kept.starts.index(large_us)] is None
    assert marks[kept.starts.index(large_us) - 1] == "reachable"


@pytest.mark.parametrize(("window", "since"), [("week", "2021-12-30"), ("month", "2021-12-07")])
async def test_a_week_and_a_month_are_the_days_that_are_counted_already(
    serve: Serve, tmp_path: Path, window: str, since: str
) -> None:
    site = await serve(feed_with_past(tmp_path))
    path = f"/countries/KZ?window={window}&lang=ru"
    async with site.get(path, allow_redirects=False) as answer:
        assert answer.status == 307
        assert answer.headers["Location"] == (
            f"/countries/KZ?since={since}&until=2022-01-05&lang=ru"
        )
