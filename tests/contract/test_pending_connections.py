"""Sessions without a hello: a flood ends its own, known keys get in beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from heliograph.network_shares import NetworkKey
from heliograph.pending_connections import PendingConnections
from heliograph_collector.ingest import rate_limits
from support.intake import Caller, beat, channel, enrolled, greeted, hear, ingest_server, refusal

SITE, OTHER = [NetworkKey("24", "site")], [NetworkKey("24", "other")]


async def wait_in(
    pending: PendingConnections, networks: list[NetworkKey], entered: asyncio.Event
) -> str:
    try:
        async with pending.hold_place(networks, 60.0):
            entered.set()
            await asyncio.Event().wait()
    except TimeoutError:
        return "evicted"
    return ""


@pytest.fixture
async def tasks() -> AsyncIterator[list[asyncio.Task[str]]]:
    started: list[asyncio.Task[str]] = []
    yield started
    for task in started:
        task.cancel()
    await asyncio.gather(*started, return_exceptions=True)


async def enter(
    tasks: list[asyncio.Task[str]], pending: PendingConnections, networks: list[NetworkKey]
) -> asyncio.Task[str]:
    entered = asyncio.Event()
    tasks.append(asyncio.create_task(wait_in(pending, networks, entered)))
    async with asyncio.timeout(60):
        await entered.wait()
    return tasks[-1]


async def test_a_network_over_its_share_loses_its_oldest(tasks: list[asyncio.Task[str]]) -> None:
    pending = PendingConnections(20)  # so a /24 has 4
    other = await enter(tasks, pending, OTHER)
    oldest, *rest = [await enter(tasks, pending, SITE) for _ in range(5)]
    assert await oldest == "evicted"
    assert not any(task.done() for task in (other, *rest))
    assert len(pending) == 5


async def test_when_all_is_full_the_largest_network_pays(tasks: list[asyncio.Task[str]]) -> None:
    pending = PendingConnections(4)
    other = await enter(tasks, pending, OTHER)
    first = await enter(tasks, pending, [])
    for number in range(9):
        await enter(tasks, pending, [NetworkKey("asn", "1"), NetworkKey("48", str(number))])
    assert len(pending) == 4
    assert not other.done()
    assert not first.done()


async def test_a_known_agent_behind_a_flooded_nat_connects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "MAX_PENDING", 10)
    async with ingest_server(tmp_path) as server, AsyncExitStack() as stack:
        caller = await enrolled(server)
        for _ in range(3):
            stub = await stack.enter_async_context(channel(server))
            for _ in range(8):  # as many as one connection may have
                await hear(stub.Session())
        stub = await stack.enter_async_context(channel(server))
        call = await greeted(stub, caller)
        assert (await beat(call)).HasField("clock")
        call.cancel()


async def test_slow_requests_evict_no_hello_and_have_longer_than_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow requests evict no hello and have a longer limit.

    An upload on a throttled link took the places of the hellos, and 10 s were too short.
    """
    monkeypatch.setattr(rate_limits, "MAX_PENDING", 10)
    async with ingest_server(tmp_path) as server, channel(server) as stub:
        caller = await enrolled(server)
        session = stub.Session()
        nonce = (await hear(session)).challenge.nonce
        credentials = grpc.ssl_channel_credentials(server.keyring.tls_certificate)
        options = (("grpc.ssl_target_name_override", "heliograph-collector"),)
        async with grpc.aio.secure_channel(server.endpoint, credentials, options) as line:
            method: Any = line.stream_stream("/heliograph.v1.Intake/Submit")
            uploads = [method() for _ in range(8)]
            ended, _ = await asyncio.wait(
                [asyncio.create_task(upload.code()) for upload in uploads],
                timeout=60,
                return_when=asyncio.FIRST_COMPLETED,
            )
            assert ended, "a network has a share of the requests too"
            await session.write(caller.hello(nonce))
            assert (await beat(session)).HasField("clock")
        session.cancel()
        monkeypatch.setattr(rate_limits, "HELLO_S", 0.0)
        await stub.Enrol(caller.enrol_request(server.invite()), timeout=60)


async def test_agents_in_quarantine_leave_room_for_volunteers(tmp_path: Path) -> None:
    async with (
        ingest_server(tmp_path, allows_strangers=True, sessions=4) as server,
        channel(server) as stub,
    ):
        strangers = [Caller(server.keyring) for _ in range(2)]
        for stranger in strangers:
            await stub.Enrol(stranger.enrol_request(b""), timeout=60)
        first = await greeted(stub, strangers[0])
        assert (await beat(first)).HasField("clock")
        second = await greeted(stub, strangers[1])
        assert (await refusal(second.read())).details() == "full"
        volunteer = await greeted(stub, await enrolled(server))
        assert (await beat(volunteer)).HasField("clock")
        first.cancel()
        volunteer.cancel()
