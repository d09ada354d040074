"""`/api/v1/stream` as a browser receives it."""

import asyncio
import json
import re
from typing import Any

import pytest

from heliograph_collector.http.api.stream import EventStream
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.published_incidents import IncidentEvents
from support.fake_feed import World
from support.incident_book import ALMATY, evening_book
from support.site import Serve


async def until(answer: Any, wanted: bytes) -> bytes:
    """Read all up to and with `wanted`."""
    heard = b""
    async with asyncio.timeout(60):
        while wanted not in heard:
            chunk = await answer.content.readany()
            assert chunk, f"the stream ended after {heard!r}"
            heard += chunk
    return heard


async def test_events_come_with_id_name_and_data(serve: Serve) -> None:
    feed = World().feed()
    client = await serve(feed)
    async with client.get("/api/v1/stream") as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Security-Policy" in answer.headers
        assert await until(answer, b"welcome\n\n")
        feed.bus.publish("cell", '{"service": "telegram"}')
        heard = await until(answer, b"}\n\n")
    assert heard == b'id: t-1\nevent: cell\ndata: {"service": "telegram"}\n\n'


async def test_a_reader_disconnected_before_any_event_misses_none(serve: Serve) -> None:
    """A browser sends back the last id that it saw, be it that of the welcome."""
    feed = World().feed()
    feed.bus.publish("cell", "[0]")
    client = await serve(feed)
    async with client.get("/api/v1/stream") as answer:
        welcome = await until(answer, b"welcome\n\n")
    last_id = welcome.split(b"id: ")[1].split(b"\n")[0].decode()
    feed.bus.publish("incident", "[1]")
    again = {"Last-Event-ID": last_id}
    async with client.get("/api/v1/stream", headers=again) as answer:
        heard = await until(answer, b"[1]\n\n")
    assert b"[0]" not in heard
    assert b"id: t-1\n" in heard.partition(b"welcome")[0]  # what follows may be lost once more
    other = await serve(World().feed(bus=EventBus("u")))
    async with other.get("/api/v1/stream", headers=again) as answer:
        assert b"event: resync" in await until(answer, b"{}\n\n")


async def test_a_country_is_heard_without_the_others(serve: Serve) -> None:
    feed = World().feed()
    client = await serve(feed)
    async with client.get("/api/v1/stream?country=kz") as answer:
        await until(answer, b"welcome\n\n")
        feed.bus.publish("cell", "[1]", "IR")
        feed.bus.publish("cell", "[2]", "KZ")
        feed.bus.publish("coverage", "[3]")
        heard = await until(answer, b"[3]\n\n")
    assert heard == b"id: t-2\nevent: cell\ndata: [2]\n\nid: t-3\nevent: coverage\ndata: [3]\n\n"
    problem = await client.problem("/api/v1/stream?country=QQ", 404)
    assert problem["parameter"] == "country"


async def test_a_reader_of_a_quiet_country_is_kept_and_resumes_after_the_others(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventStream.__init__, "__defaults__", (0.2,))
    feed = World().feed()
    client = await serve(feed)
    async with client.get("/api/v1/stream?country=KZ") as answer:
        await until(answer, b"welcome\n\n")
        alive = asyncio.create_task(until(answer, b": alive\n\n"))
        while not alive.done():  # the others never leave it without an event for a heartbeat
            feed.bus.publish("cell", "[1]", "IR")
            await asyncio.wait({alive}, timeout=0.05)
    assert re.search(rb"id: t-\d+\n: alive\n\n", alive.result())
    assert b"data:" not in alive.result()


async def test_events_name_the_country_that_they_are_about(serve: Serve) -> None:
    bus = EventBus("t")
    feed = World().feed(book=evening_book(), bus=bus)
    IncidentEvents(bus, feed.services, feed.k_anonymity).publish_incident(feed.book, ALMATY)
    assert [(event.name, event.country) for event in bus._recent] == [("incident", "KZ")]


@pytest.mark.parametrize(
    ("query", "headers", "lang"),
    [("", {}, "en"), ("?lang=ru", {}, "ru"), ("", {"Accept-Language": "fa"}, "fa")],
)
async def test_the_sentence_of_an_incident_is_in_the_readers_language(
    serve: Serve, query: str, headers: dict[str, str], lang: str
) -> None:
    feed = World().feed(book=evening_book(), bus=EventBus("t"))
    client = await serve(feed)
    async with client.get(f"/api/v1/stream{query}", headers=headers) as answer:
        assert answer.headers["Content-Language"] == lang
        await until(answer, b"welcome\n\n")
        IncidentEvents(feed.bus, feed.services, feed.k_anonymity).publish_incident(
            feed.book, ALMATY
        )
        heard = await until(answer, b"}\n\n")
    sent = json.loads(heard.split(b"data: ")[1])
    document = await client.json(f"/api/v1/incidents/{ALMATY}?lang={lang}")
    assert sent["sentence"] == document["sentence"]
    assert sent["updated"] == document["updated"]


async def test_silence_is_a_comment_now_and_then(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventStream.__init__, "__defaults__", (0.01,))
    client = await serve(World().feed())
    async with client.get("/api/v1/stream") as answer:
        assert await until(answer, b": alive\n\n")


async def test_head_tells_what_the_stream_is_and_ends(serve: Serve) -> None:
    answer = await (await serve(World().feed())).head("/api/v1/stream")
    assert (answer.status, answer.content_type) == (200, "text/event-stream")


async def test_a_stopping_server_lets_its_readers_go(serve: Serve) -> None:
    feed = World().feed()
    client = await serve(feed)
    async with client.get("/api/v1/stream") as answer:
        await until(answer, b"welcome\n\n")
        feed.bus.close()
        async with asyncio.timeout(60):
            assert b"event: resync" in await answer.read()


async def test_one_reader_too_many_is_told_when_to_come_back(serve: Serve) -> None:
    client = await serve(World().feed(bus=EventBus("t", readers=0)))
    answer = await client.get("/api/v1/stream")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
