"""Alive, ready and the figures."""

from aiohttp import encode_basic_auth
from prometheus_client import CollectorRegistry, Counter

from heliograph_collector.http.basic_auth import hash_password
from support.fake_feed import World
from support.site import Serve


async def test_alive_and_ready_or_why_not(serve: Serve) -> None:
    world = World()
    client = await serve(world.feed())
    for path in ("/healthz", "/readyz"):
        assert (await client.get(path)).status == 200
    world.problems.append("The store is 40 s behind the journal.")
    assert (await client.json("/readyz", status=503))["problems"] == world.problems
    assert (await client.get("/healthz")).status == 200


async def test_metrics_are_prometheus_text(serve: Serve) -> None:
    registry = CollectorRegistry()
    Counter("heliograph_envelopes", "Envelopes.", registry=registry).inc(3)
    client = await serve(World().feed(registry=registry))
    answer = await client.get("/metrics")
    assert answer.content_type == "text/plain"
    assert "heliograph_envelopes_total 3.0" in await answer.text()


async def test_figures_are_for_the_operator_alone_where_that_is_said(serve: Serve) -> None:
    feed = World().feed(metrics_open=False, operator_hash=hash_password("pass", b"s"))
    client = await serve(feed)
    refused = await client.get("/metrics")
    assert refused.status == 401
    assert "Basic" in refused.headers["WWW-Authenticate"]
    told = {"Authorization": encode_basic_auth("prometheus", "pass")}
    assert (await client.get("/metrics", headers=told)).status == 200
