"""`top` shows an evening on 80 by 24, follows the stream, and gives data's age."""

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from heliograph_collector.cli.top.client import ApiClientError, fetch_snapshot, parse_metrics
from heliograph_collector.cli.top.model import CellEvent, OpenIncident, WorldModel, format_age
from heliograph_collector.cli.top.screen import Top
from heliograph_collector.http.app import build_app
from heliograph_collector.http.event_bus import EventBus
from support.hand_clock import HandClock
from support.incident_book import KEY, evening_book
from support.kazakhstan_votes import evening
from support.ports import refusing_port
from support.receivers import receiving
from support.waiting import until

STOPPED_S = 12.0  # the stream beats every 15 s, an answer is waited for 30, the next look longer


class Page:
    """A collector's page that a test can close."""

    def __init__(self) -> None:
        self.bus, self.book, self.world = EventBus("t"), evening_book(), evening()
        self.origin = ""
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        feed = self.world.feed(bus=self.bus, book=self.book, public_key=KEY.public)
        self._runner = web.AppRunner(build_app(feed), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None


@pytest.fixture
async def place() -> AsyncIterator[Page]:
    found = Page()
    await found.open()
    yield found
    await found.close()


def text_of(top: Top) -> str:
    """Return the screen as a reader sees it."""
    return "\n".join(
        "".join(segment.text for segment in strip).rstrip()
        for strip in top.screen._compositor.render_strips()
    )


async def showing(top: Top, words: str) -> None:
    async def there() -> bool:
        return words in text_of(top)

    await until(there)


async def test_top_shows_the_evening_on_80_by_24(place: Page) -> None:
    clock = HandClock()
    top = Top(place.origin, clock=clock)
    async with top.run_test(size=(80, 24)) as pilot:
        await showing(top, "● live")
        await showing(top, "4 networks")
        await showing(top, "Mobile networks in Kazakhstan went offline")  # columns widen later
        seen = text_of(top).replace(place.origin, "http://sun")
        assert seen == (Path(__file__).parent / "top.txt").read_text().rstrip("\n")
        table = top.query_one("#open")
        table.focus()
        await pilot.press("down")
        await showing(top, "still offline.")

        place.world.votes.clear()
        place.bus.publish("incident", json.dumps({"id": "a0b1" * 4, "state": "closed"}))
        event = {"country": "FR", "asn": 3215, "access": "fixed", "service": "signal"}
        place.bus.publish("cell", json.dumps({**event, "state": "down", "start": "x"}))
        await showing(top, "FR")
        assert "Mobile networks in Kazakhstan" not in text_of(top)
        await place.close()
        clock.advance_us(125_000_000)
        await showing(top, "○ 2 min old")
        await pilot.press("q")
        await top.screen.remove_children()
        top.draw_all()  # an answer may come while the screen closes
    assert top.return_code == 0


async def test_top_reports_dead_and_foreign_servers() -> None:
    with refusing_port() as port:
        dead = Top(f"http://127.0.0.1:{port}")
        async with dead.run_test(size=(80, 24)) as pilot:
            await showing(dead, "nothing known yet: no answer")
            await pilot.press("ctrl+c")
    assert dead.return_code == 0
    async with receiving(body=10) as strange:
        with pytest.raises(ApiClientError, match="something else than a collector"):
            await fetch_snapshot(strange.origin, "")
    async with receiving(body=20_000_000) as endless:
        with pytest.raises(ApiClientError, match="more than"):
            await fetch_snapshot(endless.origin, "")


async def test_snapshot_as_json(place: Page) -> None:
    found = json.loads(await fetch_snapshot(place.origin, ""))
    assert found["ready"]
    worst = found["countries"][0]
    assert (worst["country"], worst["networks"]) == ("KZ", 3)
    assert worst["services"]["telegram"]["blocked"] >= 1
    assert worst["incidents"] == {"confirmed": 2, "suspected": 0}
    assert [one["state"] for one in found["incidents"]] == ["confirmed", "confirmed", "suspected"]


def open_incident(state: str) -> OpenIncident:
    return {
        "id": "a", "state": state, "kind": "network_silence", "sentence": "x",
        "scope": {"country": "KZ"}, "started": {"latest": "1"},
    }  # fmt: skip


def test_stream_and_list_agree() -> None:
    seen = WorldModel()
    seen.apply_incidents([open_incident("suspected")], "suspected")
    seen.apply_incident(open_incident("confirmed"))
    seen.apply_incidents([], "suspected")
    assert [one["state"] for one in seen.list_open_incidents()] == ["confirmed"]
    seen.apply_incident(open_incident("withdrawn"))
    assert seen.list_open_incidents() == []
    assert [format_age(s) for s in (-1, 59, 60, 7_200)] == ["0 s", "59 s", "1 min", "2 h"]
    text = '# HELP x\nheliograph_envelopes_total{a="b c"} 2\nheliograph_envelopes_total 3.0\nx 9\n'
    assert parse_metrics(text) == {"heliograph_envelopes_total": 5.0}


def test_silent_country_stays_on_the_screen() -> None:
    seen = WorldModel()

    def cell(country: str, asn: int, state: str, start: str | None) -> CellEvent:
        return {
            "country": country, "asn": asn, "access": "fixed", "service": "signal",
            "state": state, "start": start,
        }  # fmt: skip

    told = (("KZ", 9198, "reachable"), ("KZ", 29355, "unknown"), ("DE", 1, "down"),
            ("RU", 1, "partial"), ("RU", 2, "reachable"))  # fmt: skip
    for country, asn, state in told:
        seen.apply_cell(cell(country, asn, state, "x"))
    assert {row.country: row.services["signal"].sign_text for row in seen.build_rows()} == {
        "KZ": "✓ 1/2",  # half of it can tell nothing
        "DE": "▼ 1/1",
        "RU": "◐ 1/2",
    }
    seen.apply_incident(open_incident("confirmed"))
    for asn in (9198, 29355):
        seen.apply_cell(cell("KZ", asn, "unknown", None))
    worst = seen.build_rows()[0]
    assert (worst.country, worst.networks, worst.confirmed) == ("KZ", 0, 1)


async def test_top_stops_at_ctrl_c(place: Page) -> None:
    """`top` stops at Ctrl-C in a terminal.

    On a busy machine a second of work takes several; what could delay it, an answer or the next
    look, lasts longer than the test waits.
    """
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "heliograph_collector", "top", "--url", place.origin]
    process = await asyncio.create_subprocess_exec(*command, stdin=its, stdout=its, stderr=its)
    os.close(its)
    try:
        seen = b""
        async with asyncio.timeout(60):
            while b"vantages" not in seen:
                seen += await asyncio.to_thread(os.read, ours, 65_536)
        rest = asyncio.get_running_loop().run_in_executor(None, drain, ours)
        os.write(ours, b"\x03")
        async with asyncio.timeout(STOPPED_S):
            assert await process.wait() == 0
        await rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


def drain(terminal: int) -> None:
    """Read a terminal until its other end is closed."""
    with suppress(OSError):
        while os.read(terminal, 65_536):
            pass
