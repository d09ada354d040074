"""RIS Live over a real WebSocket: subscriptions, counts, and failures."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from aiohttp import web

from heliograph.units import MINUTE_US
from heliograph_collector.config.outgoing_http import open_source_session
from heliograph_collector.corroborate import (
    Entity,
    RisConfig,
    SourceError,
)
from heliograph_collector.corroborate.ris import (
    RisLive,
    normalize_prefix,
    parse_frame,
    parse_update,
)
from heliograph_collector.corroborate.series import SeriesEvidence
from support import source_servers as o
from support.hand_clock import HandClock
from support.waiting import until_true

KZ, TELECOM = Entity("KZ"), Entity("KZ", 9198)
PREFIXES = tuple(f"2.72.{i}.0/24" for i in range(5))
PEERS = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
CALM = RisConfig(quiet_s=5.0, deadline_s=5.0)


class Run:
    """A running RisLive beside its server, with its pauses between connections."""

    def __init__(self, outside: o.Outside, source: RisLive, pauses: o.Pauses) -> None:
        self.outside, self.source, self.pauses = outside, source, pauses
        self.clock: HandClock = pauses.clock

    async def heard(self, kind: str) -> Any:
        async with asyncio.timeout(60):
            while (told := await self.outside.heard.get())["type"] != kind:
                pass
        return told["data"]

    async def bgp(self, **told: Any) -> None:
        """Send an update from each peer; return when it has been processed."""
        now_s = self.clock.wall_us() / 1e6
        await self.outside.tell(*(o.bgp(now_s, peer, **told) for peer in PEERS))
        marker = f"10.{len(self.outside.asked)}.{self.clock.wall_us() // MINUTE_US % 250}.0/24"
        await self.outside.tell(o.bgp(now_s, "m", path=[1, 9198], announced=[marker]))
        await until_true(lambda: marker in self.source._routes.prefixes)

    async def live(self) -> None:
        await until_true(lambda: self.source._routes._live_us is not None)


@asynccontextmanager
async def running(
    outside: o.Outside, config: RisConfig = CALM, most_pauses: int = 3
) -> AsyncIterator[Run]:
    pauses = o.Pauses(most=most_pauses)
    async with outside.serve(), open_source_session() as session, asyncio.TaskGroup() as group:
        source = RisLive(replace(config, url=f"{outside.url}/v1/ws/"), pauses.context(session))
        source.follow([TELECOM, KZ])
        task = group.create_task(source.run())
        yield Run(outside, source, pauses)
        task.cancel()


async def test_it_subscribes_to_origins_and_then_to_their_prefixes() -> None:
    async with running(o.Outside(), replace(CALM, prefixes={"5.34.0.0/17": 9198})) as run:
        options = {"includeRaw": False, "acknowledge": True}
        update = {"type": "UPDATE", "socketOptions": options}
        prefix = {"prefix": "5.34.0.0/17", "moreSpecific": False}
        assert await run.heard("ris_subscribe") == update | prefix
        assert await run.heard("ris_subscribe") == update | {"path": "9198$"}
        await run.live()
        await run.bgp(path=[3356, 9198], announced=PREFIXES[:1])
        assert (await run.heard("ris_subscribe"))["prefix"] == PREFIXES[0]
        assert run.outside.asked[0].query["client"] == "heliograph-collector"


async def test_withdrawals_lower_the_share_that_is_visible() -> None:
    async with running(o.Outside()) as run:
        await run.live()
        await run.bgp(path=[3356, 9198], announced=PREFIXES)
        for withdrawn in ((), PREFIXES[:4], ()):
            run.clock.advance_us(MINUTE_US)
            await run.bgp(withdrawn=withdrawn)
        (series,) = await run.source.ask(TELECOM, 0, 1 << 62)
        (country,) = await run.source.ask(KZ, 0, 1 << 62)
        assert isinstance(series, SeriesEvidence)
        assert isinstance(country, SeriesEvidence)
        assert [point.value for point in series.points] == [1.0, 1.0, 1 - 4 / 8]
        assert country.points == series.points
        assert await run.source.ask(Entity("UZ"), 0, 1 << 62) == []


async def test_what_is_followed_no_more_is_unsubscribed() -> None:
    async with running(o.Outside()) as run:
        await run.live()
        run.source.follow([Entity("KZ", 29355)])
        await run.outside.tell({"type": "ris_rrc_list", "data": ["rrc00", "rrc01"]})
        assert (await run.heard("ris_unsubscribe"))["path"] == "9198$"
        assert (await run.heard("ris_subscribe"))["path"] == "29355$"


async def test_silence_is_asked_about_and_a_pong_is_enough() -> None:
    async with running(o.Outside()) as run:
        for _ in range(2):  # longer than the deadline of one step
            await run.heard("ping")
        assert run.pauses.taken == []


async def test_with_nothing_to_follow_nobody_is_troubled() -> None:
    outside = o.Outside()
    async with running(outside) as run:
        await run.live()
        run.source.follow([KZ])
        await run.outside.tell({"type": "pong", "data": None})
        await run.pauses.until(3)
        assert len(outside.asked) == 1


GIANT = json.dumps(o.bgp(0.0, "a", withdrawn=[f"10.0.{i % 250}.0/24" for i in range(20_000)]))


@pytest.mark.parametrize(
    "frame",
    [
        GIANT,
        "nonsense",
        "[" * 60_000,
        '{"type": 7}',
        '{"type": "strange", "data": {}}',
        '{"type": "ris_message", "data": {"timestamp": "now"}}',
        '{"type": "ris_message", "data": ' + '{"path":' + "[" * 50_000,
        '{"type": "ris_error", "data": {"message": "too slow \\u001b[31m"}}',
        b"\x00\x01",
        None,
    ],
    ids=range(10),
)
async def test_a_bad_frame_ends_the_connection_and_it_comes_again_later(
    frame: str | bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    outside = o.Outside()
    async with running(outside, most_pauses=2) as run:
        await run.live()
        outside.acknowledge = False
        socket = outside.sockets[0]
        if frame is None:
            await socket.close()
        elif isinstance(frame, bytes):
            await socket.send_bytes(frame)
        else:
            await socket.send_str(frame)
        await until_true(lambda: len(outside.sockets) == 2)
        assert 7.5 <= run.pauses.taken[0] <= 15
        assert run.source._routes._live_us is None, "deaf until the new one is acknowledged"
    assert "\x1b" not in caplog.text
    assert caplog.text.count("RIS Live") >= 1


@pytest.mark.parametrize("status", [302, 429, 500, 101], ids=str)
async def test_a_server_that_refuses_is_left_alone_longer_each_time(status: int) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        if status == 302:
            raise web.HTTPFound(location="/v1/ws/")
        if status == 101:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status, headers={"Retry-After": "900"})

    outside = o.Outside(manner=refuse)
    async with running(outside, most_pauses=4) as run:
        await run.pauses.until(5)  # the last of which has no end
        first, second, third = run.pauses.taken[:3]
        if status in (429, 500):
            assert (first, second, third) == (900, 900, 900)
        else:
            assert 7.5 <= first <= 15
            assert 15 <= second <= 30
            assert 30 <= third <= 60
        assert status != 302 or len(outside.asked) == 5, "a redirect is not followed"


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def mute(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for _ in socket:
        pass
    return socket


@pytest.mark.parametrize(
    ("manner", "limits"), [(hang, {"deadline_s": 0.1}), (mute, {"quiet_s": 0.05})]
)
async def test_server_without_handshake_or_answers_is_left(
    manner: o.Manner, limits: dict[str, Any]
) -> None:
    async with running(o.Outside(manner=manner), replace(CALM, **limits), 1) as run:
        await run.pauses.until(1)
        assert run.source._routes._live_us is None, "nothing was ever acknowledged"


def data(**changes: Any) -> msgspec.Raw:
    told = o.bgp(1_641_380_400.5, "192.0.2.1", path=[3356, 9198], announced=PREFIXES)["data"]
    return msgspec.Raw(json.dumps(told | changes).encode())


NOW_US = HandClock().wall_us()


def test_an_update_is_read_with_its_origin() -> None:
    update = parse_update(data(), NOW_US)
    assert update is not None
    assert (update.origin, update.announced, update.withdrawn) == (9198, PREFIXES, ())
    assert update.peer == "rrc25.ripe.net 192.0.2.1"


def test_a_set_of_origins_is_nobody() -> None:
    update = parse_update(data(path=[3356, [9198, 29355]]), NOW_US)
    assert update is not None
    assert update.origin == 0


@pytest.mark.parametrize("change", [{"type": "KEEPALIVE"}, {"timestamp": 1_641_300_000.0}])
def test_keepalives_and_what_is_not_of_now_are_no_updates(change: dict[str, Any]) -> None:
    assert parse_update(data(**change), NOW_US) is None


def test_a_prefix_has_one_spelling() -> None:
    assert normalize_prefix("2605:de00:bb:0:0:0:0:0/48") == "2605:de00:bb::/48"
    assert normalize_prefix("nowhere") == normalize_prefix("1.2.3.4/99") == ""


def test_pongs_and_lists_are_understood() -> None:
    assert parse_frame('{"type": "pong", "data": null}').type == "pong"
    with pytest.raises(SourceError):
        parse_frame('{"type": "%s"}' % ("x" * 65))
