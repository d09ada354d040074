"""Idle connections from anywhere shut out no other network."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import grpc
import pytest
from prometheus_client import Counter

from heliograph.network_shares import NetworkKey
from heliograph.v1 import intake_pb2
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.geo.lookup import Address
from heliograph_collector.ingest.grpc.strangers import (
    Connection,
    StrangerConnections,
    select_surplus,
)
from support.intake import (
    HOST,
    Caller,
    IngestServer,
    beat,
    channel,
    enrolled,
    greeted,
    ingest_server,
    tunnel,
)
from support.waiting import until

CONNECTIONS = 50  # of which 20 without a proven key may stay
FLOOD = 120
DEADLINE_S = 120.0
LASTING_MS = 600_000  # the flood would end by itself, as a new one comes in its place outside


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[IngestServer]:
    options = dict(rate_limits.build_server_options(10))
    options["grpc.max_allowed_incoming_connections"] = CONNECTIONS
    options["grpc.server_handshake_timeout_ms"] = LASTING_MS
    monkeypatch.setattr(rate_limits, "build_server_options", lambda _: list(options.items()))
    monkeypatch.setattr(rate_limits, "max_strangers", lambda _: 20)
    async with ingest_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def flooded(server: IngestServer, sources: list[str]) -> AsyncIterator[None]:
    """Open idle connections, more than gRPC accepts at a time."""
    lines = []
    for number in range(FLOOD):
        source = (sources[number % len(sources)], 0)
        lines.append(await asyncio.open_connection(HOST, server.intake.port, local_addr=source))
    try:
        yield
    finally:
        for _, writer in lines:
            writer.close()


async def get_in(server: IngestServer, caller: Caller) -> bool:
    """Try once, as an agent of 127.0.7.0/24, which comes again until it is in."""
    async with tunnel(server, "127.0.7.7") as port, channel(server, port) as stub:
        call = stub.Session()
        try:
            challenge = await call.read()
            if not isinstance(challenge, intake_pb2.CollectorMessage):
                return False
            await call.write(caller.hello(challenge.challenge.nonce))
            return (await beat(call)).HasField("clock")
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, AssertionError):  # refused
            return False
        finally:
            call.cancel()


SOURCES = {
    "from one address": ["127.0.1.1"],
    "from the agent's own network": ["127.0.7.8"],
    "from a hundred networks": [f"127.0.{number}.1" for number in range(100, 200)],
}


@pytest.mark.parametrize("sources", SOURCES.values(), ids=SOURCES)
async def test_a_flood_of_idle_connections_locks_nobody_out(
    server: IngestServer, sources: list[str]
) -> None:
    async with channel(server) as stub:
        session = await greeted(stub, await enrolled(server))
        assert (await beat(session)).HasField("clock")
        newcomer = await enrolled(server)
        async with flooded(server, sources):
            await until(lambda: get_in(server, newcomer), DEADLINE_S)
            assert (await beat(session)).HasField("clock"), "who has proved its key stays"
        session.cancel()


class NoNetworks:
    def list_networks(self, address: Address) -> tuple[NetworkKey, ...]:
        return ()


async def test_connection_that_no_free_file_could_look_at_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strangers = StrangerConnections(NoNetworks(), Counter("displaced", "", registry=None))
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((HOST, port)) as client:
            accepted, _ = listener.accept()
            with accepted:
                with monkeypatch.context() as patch:
                    patch.setattr(os, "dup", refuse)
                    assert not await strangers.check(port, 0)
                assert await strangers.check(port, 0)
                client.settimeout(DEADLINE_S)
                assert client.recv(1) == b"", "it is ended"


def refuse(_: int) -> int:
    raise OSError(errno.EMFILE, "Too many open files")


def connect(count: int, *networks: NetworkKey) -> list[Connection]:
    return [Connection(0, 0, networks) for _ in range(count)]


SITE, OTHER = NetworkKey("24", "site"), NetworkKey("24", "other")
PROVIDER = NetworkKey("32", "provider")


def test_newest_of_each_network_stay() -> None:
    lone, proxy = connect(1, OTHER), connect(3)
    crowd = connect(50, SITE)
    sites = [c for n in range(40) for c in connect(1, NetworkKey("48", str(n)), PROVIDER)]
    strangers = [*lone, *proxy, *crowd, *sites]
    Random(1).shuffle(strangers)
    surplus = select_surplus(strangers, 20)
    assert len(surplus) == len(strangers) - 20
    kept = [c for c in strangers if not any(c is other for other in surplus)]
    assert {id(c) for c in (*lone, *proxy)} <= {id(c) for c in kept}
    newest_of_crowd = [c for c in strangers if SITE in c.networks][-1]
    assert newest_of_crowd in kept
    many = sum(PROVIDER in c.networks for c in kept)
    assert 8 <= many <= 12, "a provider's sites share its places, as a /24 twice over"
    assert select_surplus(strangers, len(strangers)) == []
