"""Hostile or broken servers: nothing hangs, nothing grows, nothing leaks."""

import asyncio
import gzip
import logging
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from heliograph_collector.config import outgoing_http
from heliograph_collector.config.outgoing_http import open_source_session
from heliograph_collector.corroborate import SourceContext, SourceError
from heliograph_collector.corroborate.fetch import MAX_BYTES, SourceRequest, fetch_body
from heliograph_collector.corroborate.radar import RadarConfig
from support import source_servers as o
from support.hand_clock import HandClock

NOW_US = HandClock().wall_us()


@asynccontextmanager
async def asked(manner: o.Manner, deadline_s: float = 20.0) -> AsyncIterator[o.Outside]:
    """Send one GET with a token; check that it ends as a SourceError."""
    outside = o.Outside(manner=manner)
    async with outside.serve(), open_source_session() as session:
        headers = {"Authorization": f"Bearer {o.TOKEN}"}
        request = SourceRequest(name="X", url=f"{outside.url}/a", params={}, headers=headers)
        with pytest.raises(SourceError) as caught:
            await fetch_body(session, request, now_us=NOW_US, deadline_s=deadline_s)
        assert o.TOKEN not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"
        outside.answers["error"] = {"text": str(caught.value), "again_s": caught.value.retry_s}
        yield outside


async def test_an_endless_body_is_left_when_it_is_too_long() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)
            sent += 65_536

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with asked(endless) as outside:
        assert "more than" in outside.answers["error"]["text"]
    assert sent < 64 * MAX_BYTES
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64_000, "KiB"


@pytest.mark.parametrize("drip", [False, True], ids=["hanging", "dripping"])
async def test_an_endless_server_is_left_at_the_deadline(*, drip: bool) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if drip:
            await response.prepare(request)
        while True:
            await asyncio.sleep(0.01)
            if drip:
                await response.write(b" ")

    async with asked(slow, deadline_s=0.2) as outside:
        assert outside.answers["error"]["text"] == "X gave no whole answer in 0.2 s."


@pytest.mark.parametrize(
    ("status", "headers", "retry_s"),
    [(302, {"Location": "/a"}, None), (429, {"Retry-After": "77"}, 77.0)],
)
async def test_redirect_and_limit_are_refusals_and_the_token_goes_nowhere(
    status: int, headers: dict[str, str], retry_s: float | None
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    async with asked(refuse) as outside:
        error = {"text": f"X answered {status}.", "again_s": retry_s}
        assert outside.answers["error"] == error
        assert len(outside.asked) == 1


async def test_a_packed_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)

    async def packed(request: web.Request) -> web.StreamResponse:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with asked(packed) as outside:
        assert "packed" in outside.answers["error"]["text"]


async def test_headers_without_end_and_cut_connections_are_failures() -> None:
    async def long_head(request: web.Request) -> web.StreamResponse:
        return web.Response(headers={"X-Long": "a" * 100_000})

    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    for manner in (long_head, cut):
        async with asked(manner) as outside:
            assert "cannot be read" in outside.answers["error"]["text"]


async def test_a_cookie_is_not_kept() -> None:
    async def cookie(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"{}", headers={"Set-Cookie": "id=1"})

    outside = o.Outside(manner=cookie)
    async with outside.serve(), open_source_session() as session:
        request = SourceRequest(name="X", url=f"{outside.url}/a", params={})
        for _ in range(2):
            await fetch_body(session, request, now_us=NOW_US)
    assert "Cookie" not in outside.asked[1].headers


async def test_nobody_there_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    outside = o.Outside()
    async with outside.serve():
        pass
    async with open_source_session() as session:
        headers = {"Authorization": f"Bearer {o.TOKEN}"}
        request = SourceRequest(name="X", url=f"{outside.url}/a", params={}, headers=headers)
        with pytest.raises(SourceError, match="cannot be read"):
            await fetch_body(session, request, now_us=NOW_US)
        means = SourceContext(session=session, clock=HandClock(), rng=Random(1))
    assert o.TOKEN not in f"{caplog.text}{request}{RadarConfig(token=o.TOKEN)}{means}"


class Rebound(AbstractResolver):
    """A resolver that leads every name to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        return None


@pytest.mark.parametrize("allowed", [(), ("mirror.example",)], ids=["stranger", "allowed"])
async def test_a_source_leads_into_private_networks_only_where_the_operator_says(
    allowed: tuple[str, ...],
) -> None:
    outside = o.Outside(manner=answer)
    async with (
        outside.serve(),
        outgoing_http.open_session(allowed_hosts=allowed, resolver=Rebound()) as session,
    ):
        port = outside.url.rpartition(":")[2]
        for host in ("mirror.example", "other.example"):
            request = SourceRequest(name="X", url=f"http://{host}:{port}/{host}", params={})
            with suppress(SourceError):
                await fetch_body(session, request, now_us=NOW_US)
    reached = {asked.path for asked in outside.asked}
    assert reached == {f"/{host}" for host in allowed}


async def answer(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"{}")


async def test_sources_of_the_collector_may_not_lead_to_a_private_address() -> None:
    """As `serve` opens it; 0.0.0.0 and a mapped address reach this machine too."""
    outside = o.Outside(manner=answer)
    async with outside.serve(), open_source_session() as session:
        port = outside.url.rpartition(":")[2]
        for host in ("0.0.0.0", "127.0.0.2", "[::ffff:127.0.0.1]", "2130706433"):
            request = SourceRequest(name="X", url=f"http://{host}:{port}/", params={})
            with pytest.raises(SourceError, match="cannot be read"):
                await fetch_body(session, request, now_us=NOW_US)
    assert not outside.asked
