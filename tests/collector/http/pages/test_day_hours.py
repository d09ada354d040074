"""A country's last day for its first reader, from history and snapshot alone."""

from pathlib import Path
from typing import Any

import aiohttp

from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.http.app import build_app
from heliograph_collector.http.pages.country_timeline import BinMark
from heliograph_collector.http.pages.day_charts import compose_hours
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.model.history import MARK_CODES, Axis, DayRow
from heliograph_collector.model.records import Cell, VerdictState
from support.past_days import feed_with_past
from support.web_app import serve_app

DAY = 19_000 * DAY_US
STARTS = range(DAY + 12 * HOUR_US, DAY + 36 * HOUR_US, 15 * MINUTE_US)


def day_row(axis: Axis, day_us: int, hours: dict[int, str], **place: Any) -> DayRow:
    codes = bytes(MARK_CODES[hours[hour]] if hour in hours else 0 for hour in range(24))
    shares = bytes(51 if hour in hours else 0 for hour in range(24))
    values: dict[str, Any] = {
        "country": "KZ",
        "region": "",
        "asn": 0,
        "access": "",
        "service": "",
    } | place
    return DayRow(axis=axis, **values, day_us=day_us, hours=codes, shares=shares, vantages=10)


def cell(start_us: int, state: VerdictState) -> Cell:
    return Cell(
        country="KZ", region="", asn=9198, access="fixed", service="telegram", start_us=start_us,
        bin_s=300, vantages=10, reachable=10, blocked=0, down=0, unknown=0, silent=0, state=state,
        confidence=0.9, layer="", method="", prefixes=10,
    )  # fmt: skip


def test_bars_are_those_of_their_hours_and_the_newest_those_of_their_minutes() -> None:
    days = [
        day_row(Axis.SERVICE, DAY, {11: "blocked", 12: "blocked"}, service="telegram"),
        day_row(Axis.SERVICE, DAY + DAY_US, {10: "blocked", 11: "blocked"}, service="telegram"),
        day_row(Axis.NETWORK, DAY, {13: "silent"}, asn=9198, access="fixed"),
        day_row(Axis.REGION, DAY, {14: "reachable"}, region="KZ-75"),
    ]
    newest_us = STARTS[-2] + 5 * MINUTE_US
    newest = [cell(newest_us, VerdictState.REACHABLE)]
    told = compose_hours(days, newest, STARTS, ("telegram", "signal"), STARTS.stop)
    assert list(told.services) == ["telegram", "signal"]
    row = told.services["telegram"]
    at = {start: mark for start, mark in zip(STARTS, row.marks, strict=True) if mark}
    blocked_us = [
        *range(DAY + 12 * HOUR_US, DAY + 13 * HOUR_US, STARTS.step),
        *range(DAY + 34 * HOUR_US, DAY + 36 * HOUR_US, STARTS.step),
    ]
    expected = dict.fromkeys(blocked_us, BinMark.BLOCKED)
    expected[STARTS[-2]] = BinMark.REACHABLE  # which the newest cell says, and not its hour
    assert at == expected
    assert row.shares[0] == 0.2
    assert set(told.services["signal"].marks) == {None}
    (network,) = told.networks.values()
    assert network.marks[4:8] == (BinMark.SILENT,) * 4
    assert network.marks[-2] is BinMark.REACHABLE
    assert told.regions["KZ-75"].marks[8:12] == (BinMark.REACHABLE,) * 4
    assert told.instant_us == STARTS.stop


async def test_the_first_reader_of_a_country_asks_the_store_for_nothing(tmp_path: Path) -> None:
    feed = feed_with_past(tmp_path)
    snapshots = SnapshotCache(feed)
    await snapshots.refresh()
    snapshots.is_polled = True

    async def refuse(*_: Any, **__: Any) -> list[Any]:
        raise AssertionError("the store was asked")

    for question in ("wide", "votes", "silences"):
        setattr(feed, question, refuse)
    async with (
        serve_app(build_app(feed, snapshots)) as origin,
        aiohttp.ClientSession() as session,
        session.get(f"{origin}/countries/KZ") as response,
    ):
        page = await response.text()
        assert response.status == 200
    assert "The collector is busy" not in page
    assert page.count('class="bar ') > 10
