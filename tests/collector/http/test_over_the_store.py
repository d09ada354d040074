"""The page and the API over the real store and the real rollup."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from heliograph.observation import Link, Measurement
from heliograph_collector.http import basic_auth
from heliograph_collector.http.api.announcer import Announcer
from heliograph_collector.http.backend import Feed, LinkCount
from heliograph_collector.model.records import Block, Judged, Role, State, Taken, Vantage, Verdict
from heliograph_collector.store.store import Store
from support.fake_feed import NOW_US, World

Serve = Callable[[Feed], Awaitable[Any]]
MINUTE = 60_000_000
BLOCKED = Verdict(
    state=State.BLOCKED,
    rule="tls.reset",
    layer="tls",
    method="reset_after_hello",
    confidence=0.9,
)
REACHABLE = Verdict(state=State.REACHABLE, rule="all.ok", confidence=0.9)


def judged(number: int, minutes: int, verdict: Verdict) -> Judged:
    """By one of six vantages, `minutes` before now."""
    at_us = NOW_US - minutes * MINUTE
    measurement = Measurement(
        experiment="telegram",
        experiment_version=1,
        service="telegram",
        target="",
        started_us=at_us,
        monotonic_us=1,
        boot="b",
        runtime_us=1_000,
        epoch="e",
        link=Link.ONLINE,
    )
    taken = Taken(
        id=f"{number:032x}",
        position=number,
        received_us=at_us + 1,
        nym=f"{number % 6:016x}",
        prefix=f"p{number % 6}",
        role=Role.VOLUNTEER,
        vantage=Vantage(country="KZ", asn=9198, access="fixed"),
        measurement=measurement,
    )
    return taken, (verdict,)


def block(first: int, rows: list[Judged]) -> Block:
    return Block(journal="j", first=first, last=first + len(rows) - 1, judged=tuple(rows))


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


async def test_a_cut_goes_from_the_store_to_every_reader(serve: Serve, tmp_path: Path) -> None:
    store = Store(f"chdb://{tmp_path}/store", observations_days=99_999, verdicts_days=99_999)
    await store.open()
    try:
        before = [judged(n, 30 - n // 6 * 5, REACHABLE) for n in range(6, 30)]
        await store.insert_block(block(6, before))
        feed = over(store)
        client = await serve(feed)
        announcer = Announcer(feed)
        await announcer.look()
        assert "1 service reachable" in await (await client.get("/")).text()
        after = [judged(n, 0, BLOCKED) for n in range(100, 106)]
        await store.insert_block(block(100, after))
        feed.clock.advance_us(2_000_000)  # type: ignore[attr-defined] # a HandClock
        await announcer.look()
        assert feed.bus.last == "t-1"
        page = await (await client.get("/")).text()
        assert "Telegram blocked (TLS) since 13:" in page
        assert "TLS: reset after ClientHello" in page
        await _api(client)
    finally:
        await store.close()


async def _api(client: Any) -> None:
    query = "country=KZ&asn=9198&service=telegram&since=2022-01-05T13:00:00Z"
    cells = (await (await client.get(f"/api/v1/timeline?{query}")).json())["cells"]
    assert [c["state"] for c in cells if c["vantages"]][-1] == "blocked"
    assert cells[0]["vantages"] == 0
    headers = {"Authorization": "Bearer pass"}
    ids: list[str] = []
    cursor = ""
    async with asyncio.timeout(60):
        while cursor is not None:
            path = "/api/v1/measurements?state=blocked&limit=4"
            answer = await client.get(path + (cursor and f"&cursor={cursor}"), headers=headers)
            body = await answer.json()
            ids += [m["id"] for m in body["measurements"]]
            cursor = body["next"]
    assert sorted(ids) == [f"{n:032x}" for n in range(100, 106)]
    one = await client.get(f"/api/v1/measurements/{ids[0]}", headers=headers)
    assert (await one.json())["verdicts"][0]["rule"] == "tls.reset"
