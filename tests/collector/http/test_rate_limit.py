"""A reader's network has a request limit, gets notice, and is never stored."""

import re

from heliograph_collector.http.rate_limit import MAX_CLIENTS, RateLimiter
from support.fake_feed import World
from support.hand_clock import HandClock
from support.site import Serve

US = 1_000_000


def test_all_at_once_then_one_at_a_time_and_each_network_for_itself() -> None:
    clock = HandClock()
    allowance = RateLimiter(6, clock)
    assert [allowance.spend("192.0.2.1").remaining for _ in range(6)] == [5, 4, 3, 2, 1, 0]
    refused = allowance.spend("192.0.2.200")
    assert (refused.remaining, refused.wait_s, refused.reset_s) == (0, 10, 60)
    assert (allowance.spend("198.51.100.1").wait_s, allowance.spend("2001:db8::1").wait_s) == (0, 0)
    clock.advance_us(10 * US)
    assert (allowance.spend("192.0.2.1").wait_s, allowance.spend("192.0.2.1").wait_s) == (0, 10)
    clock.advance_us(60 * US)
    assert allowance.spend("192.0.2.1").remaining == 5
    assert len(allowance._clients) == 1, "the others are forgotten"


def test_no_address_is_kept_and_no_flood_of_them_fills_the_memory() -> None:
    allowance = RateLimiter(6, HandClock())
    for n in range(MAX_CLIENTS + 10):
        allowance.spend(f"10.{n >> 8 & 255}.{n & 255}.7" if n < 65_536 else "")
    assert len(allowance._clients) <= MAX_CLIENTS
    names = allowance._clients._buckets
    assert not any(re.search(rb"10\.\d+\.\d+", name) for name in names)


async def test_a_reader_is_told_what_is_left_and_when_to_come_again(serve: Serve) -> None:
    feed = World().feed(requests_a_minute=12)
    client = await serve(feed)
    first = await client.get("/api/v1/incidents")
    assert first.headers["RateLimit-Policy"] == '"reader";q=12;w=60'
    assert first.headers["RateLimit"] == '"reader";r=11;t=5'
    assert (await client.get("/api/v1/aggregation")).headers["RateLimit"] == '"reader";r=1;t=55'
    assert (await client.get("/api/v1/log")).status == 200
    refused = await client.get("/api/v1/log")
    assert (refused.status, refused.content_type) == (429, "application/problem+json")
    assert int(refused.headers["Retry-After"]) == 5
    assert re.search("more than 12 requests a minute", (await refused.json())["detail"])
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
    assert (await client.get("/healthz")).status == 200, "who watches us is not counted"


async def test_only_a_proxy_that_is_trusted_says_who_asks(serve: Serve) -> None:
    feed = World().feed(requests_a_minute=1, client_address=lambda way: way.split(",")[0])
    client = await serve(feed)
    for n in range(3):
        told = {"X-Forwarded-For": f"192.0.{n}.1"}
        assert (await client.get("/api/v1/log", headers=told)).status == 200
    feed = World().feed(requests_a_minute=1)
    client = await serve(feed)
    await client.get("/api/v1/log")
    told = {"X-Forwarded-For": "192.0.2.1"}
    assert (await client.get("/api/v1/log", headers=told)).status == 429


async def test_a_request_without_an_address_is_not_counted(serve: Serve) -> None:
    feed = World().feed(requests_a_minute=1, client_address=lambda way: "")
    client = await serve(feed)
    for _ in range(3):
        answer = await client.get("/api/v1/log")
        assert (answer.status, "RateLimit" in answer.headers) == (200, False)


async def test_scripts_of_other_sites_may_read_only_what_is_public(
    serve: Serve,
) -> None:
    asks = {"Origin": "https://news.example", "Access-Control-Request-Method": "GET"}
    client = await serve(World().feed())
    may = await client.options("/api/v1/incidents/x", headers=asks)
    assert (may.status, may.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert may.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert "Last-Event-ID" in may.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in may.headers
    may_not = await client.options("/api/v1/measurements", headers=asks)
    assert may_not.status == 405
    assert "Access-Control-Allow-Origin" not in may_not.headers
