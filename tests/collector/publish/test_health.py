"""Alive, ready and the figures."""

from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from heliograph_collector.publish.feed import Feed
from support.fake_feed import World

Serve = Callable[[Feed], Awaitable[Any]]


async def test_alive(serve: Serve) -> None:
    client = await serve(World().feed())
    assert (await client.get("/healthz")).status == 200


async def test_ready_or_why_not(serve: Serve) -> None:
    world = World()
    client = await serve(world.feed())
    assert (await client.get("/readyz")).status == 200
    world.problems.append("The store is 40 s behind the journal.")
    answer = await client.get("/readyz")
    assert answer.status == 503
    assert (await answer.json())["problems"] == ["The store is 40 s behind the journal."]


async def test_metrics_are_prometheus_text(serve: Serve) -> None:
    registry = CollectorRegistry()
    Counter("heliograph_envelopes", "Envelopes.", registry=registry).inc(3)
    client = await serve(World().feed(registry=registry))
    answer = await client.get("/metrics")
    assert answer.content_type == "text/plain"
    assert "heliograph_envelopes_total 3.0" in await answer.text()
