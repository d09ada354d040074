"""The page and the API over the real store and the real rollup."""

import asyncio
from dataclasses import replace

import msgspec

from heliograph.observation import Link
from heliograph_collector.http import basic_auth
from heliograph_collector.http.api.stream import CellEvents
from heliograph_collector.http.backend import Feed, LinkCount
from heliograph_collector.model.records import Block, JudgedMeasurement, Vantage, Verdict
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.store import Store
from support.fake_feed import NOW_US, World
from support.rows import block, blocked, reachable, taken
from support.site import Serve, Site

MINUTE = 60_000_000
BLOCKED, REACHABLE = msgspec.structs.replace(blocked(), evidence=()), reachable()


def judged(number: int, minutes: int, verdict: Verdict) -> JudgedMeasurement:
    """Return a judged measurement by one of six vantages, `minutes` before now."""
    at_us = NOW_US - minutes * MINUTE
    vantage = Vantage(country="KZ", asn=9198, access="fixed")
    record = taken(number, position=number, at_us=at_us, who=f"{number % 6:016x}", vantage=vantage)
    row = replace(
        record, id=f"{number:032x}", received_us=at_us + 1, seniority=Seniority.ESTABLISHED
    )
    return row, (verdict,)


def build_block(first: int, rows: list[JudgedMeasurement]) -> Block:
    return block(first, first + len(rows) - 1, *rows)


def over(store: Store) -> Feed:
    world = World()
    world.links = [LinkCount(country="KZ", asn=9198, access="fixed", link=Link.ONLINE, vantages=6)]
    return world.feed(
        votes=store.votes,
        silences=store.silences,
        measurements=store.measurements,
        measurement=store.measurement,
        operator_hash=basic_auth.hash_password("pass", b"s"),
    )


async def test_a_cut_goes_from_the_store_to_every_reader(serve: Serve, store: Store) -> None:
    before = [judged(n, 30 - n // 6 * 5, REACHABLE) for n in range(6, 30)]
    await store.insert_block(build_block(6, before))
    feed = over(store)
    client = await serve(feed)
    events = CellEvents(feed)
    await events.publish_changes()
    assert "1 service reachable" in await client.html()
    after = [judged(n, 0, BLOCKED) for n in range(100, 106)]
    await store.insert_block(build_block(100, after))
    feed.clock.advance_us(150_000_000)  # type: ignore[attr-defined] # a HandClock
    await events.publish_changes()
    assert feed.bus.last == "t-1"
    page = await client.html()
    assert "Telegram blocked (TLS) since 13:" in page
    assert "TLS: reset after ClientHello" in page
    await _read_api(client)


async def _read_api(client: Site) -> None:
    query = "country=KZ&asn=9198&service=telegram&since=2022-01-05T13:00:00Z"
    cells = (await client.json(f"/api/v1/timeline?{query}"))["cells"]
    assert [c["state"] for c in cells if c["vantages"]][-1] == "blocked"
    assert cells[0]["vantages"] == 0
    headers = {"Authorization": "Bearer pass"}
    ids: list[str] = []
    cursor = ""
    async with asyncio.timeout(60):
        while cursor is not None:
            path = "/api/v1/measurements?state=blocked&limit=4"
            body = await client.json(path + (cursor and f"&cursor={cursor}"), headers=headers)
            ids += [m["id"] for m in body["measurements"]]
            cursor = body["next"]
    assert sorted(ids) == [f"{n:032x}" for n in range(100, 106)]
    item = await client.json(f"/api/v1/measurements/{ids[0]}", headers=headers)
    assert item["verdicts"][0]["rule"] == "tls.reset"
