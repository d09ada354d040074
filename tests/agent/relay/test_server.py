"""A relay lends its connection to an offline agent, and cannot forge receipts."""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph import codec, plan_chunks, relay_line
from heliograph.clock import SystemClock
from heliograph.envelope import SIZES, VERSION
from heliograph.keys import SealingKey, key_id
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import envelope_pb2, intake_pb2, plan_pb2
from heliograph_agent.relay import server as relay_server
from heliograph_agent.relay.key import compute_pin, load_relay_pem
from heliograph_agent.relay.server import MAX_CONNECTIONS, MAX_VERSION, Relay
from heliograph_agent.state import Collector as StoredCollector
from heliograph_agent.state import State
from heliograph_agent.uplink.dial_context import DialContext
from support.ports import HOST, free_port
from support.post_entrance import post_entrance
from support.results import open_spool
from support.scripted_intake import Collector, Identity, identity, intake, plan_of
from support.uplink_agent import Agent, UplinkSealer, running

CLOCK = SystemClock()
DEADLINE_S = 120.0


@pytest.fixture(scope="module")
def who() -> Identity:
    return identity()


@pytest_asyncio.fixture
async def agent(tmp_path: Path, who: Identity) -> AsyncIterator[Agent]:
    (tmp_path / "dark").mkdir()
    async with open_spool(tmp_path / "dark" / "spool.db", CLOCK, sealer=UplinkSealer(who)) as spool:
        yield Agent(State(tmp_path / "dark"), spool, who)


@dataclass
class NeighborPolicy:
    """The collectors that a relay has, one after the other, and their entrances."""

    collectors: list[StoredCollector]
    entrances: Sequence[Entrance]

    @property
    def collector(self) -> StoredCollector:
        return self.collectors.pop(0) if len(self.collectors) > 1 else self.collectors[0]

    def list_planned(self) -> Sequence[Entrance]:
        return self.entrances

    def is_guarded(self, entrance: Entrance) -> bool:
        del entrance
        return False


@asynccontextmanager
async def relay(
    agent: Agent,
    collector: Collector,
    folder: Path,
    *ways: Entrance,
    per_day: int = 10**9,
    sealed_to: Sequence[bytes] = (),
) -> AsyncIterator[tuple[Relay, Entrance]]:
    """Run a neighbor that relays to the collector; yield it and its entrance.

    `sealed_to` lists sealing keys that it presents one after another, instead of the collector's.
    """
    state = State(folder)
    state.prepare()
    agent.know(collector)
    stored = agent.state.collector()
    assert stored is not None
    collectors = [replace(stored, sealing_key=key) for key in sealed_to] or [stored]
    own = DialContext(CLOCK, random.Random(1))
    server = Relay(state, NeighborPolicy(collectors, ways), own, (HOST, 0), per_day)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        async with asyncio.timeout(DEADLINE_S):
            await server.ready_event.wait()
        pin = compute_pin(load_relay_pem(state, CLOCK))
        yield (
            server,
            Entrance(carrier=Carrier.RELAY, host=HOST, port=server.port, pin=pin),
        )
        task.cancel()


def as_unreachable(collector: Collector) -> Collector:
    """Return the same collector without a reachable port, as an offline agent has it."""
    gone = Collector(collector.who, plan_of())
    gone.agents, gone.port = collector.agents, free_port()
    return gone


async def test_relay_delivers_by_session_or_post(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    async with intake(who=who) as collector, post_entrance(collector, tmp_path) as door:
        for name, ways in (("session", ()), ("post", (door,))):
            async with relay(agent, collector, tmp_path / name, *ways) as (server, entrance):
                before = len(collector.batches)
                async with running(agent, as_unreachable(collector), entrance):
                    await agent.deliver(3)
                    assert agent.uplink.status.transport == f"relay://{HOST}:{server.port}"
                assert (len(collector.batches) - before, server.carried_count) == (3, 3)
    assert collector.stored == set(range(1, 7))
    assert set(collector.places) == {"relay"}, "the neighbour's address is nobody's vantage"


async def test_relay_accepts_earlier_and_later_sealing_keys(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    """A relay accepts earlier and later sealing keys.

    An agent that followed the charter seals to the new key, one long offline to the old one.
    """
    keys_ = (SealingKey(bytes(31) + b"o").public, who.sealing.public)
    for name, sealed_to in (("later", keys_), ("before", keys_[::-1])):
        async with (
            intake(who=who) as collector,
            relay(agent, collector, tmp_path / name, sealed_to=sealed_to) as (
                server,
                entrance,
            ),
            running(agent, as_unreachable(collector), entrance),
        ):
            await agent.deliver()
            assert server.carried_count == 1


async def test_relay_brings_back_plan(agent: Agent, who: Identity, tmp_path: Path) -> None:
    async with intake(who=who) as collector:
        plan = collector.signed(replace(plan_of(), version=9, services_version="x" * 1_900))
        collector.news = 9, plan_chunks.pack_plan(plan.SerializeToString())
        async with (
            relay(agent, collector, tmp_path / "relay") as (_, entrance),
            running(agent, as_unreachable(collector), entrance),
        ):
            await agent.deliver(2)
    assert agent.plans[0] == plan
    assert codec.plan_from_pb(plan_pb2.Plan.FromString(agent.plans[0].plan)).version == 9


async def test_unsigned_receipt_of_relay_settles_nothing(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    """An unsigned receipt of a relay settles nothing.

    It shows its pinned key and answers "stored": nothing leaves the spool.
    """
    liar = Collector(identity(), plan_of())
    liar.who = replace(liar.who, sealing=who.sealing)
    async with intake(who=who) as collector, post_entrance(liar, tmp_path) as false:
        agent.know(collector)
        liar.agents = collector.agents
        entrance = replace(false, carrier=Carrier.RELAY, pin=liar.who.pin.hex())
        async with running(agent, as_unreachable(collector), entrance):
            await agent.put(1)
            await agent.until(lambda: len(liar.batches) >= 1)
            await agent.until(lambda: agent.uplink.status.last_failure != "")
            counts = await agent.spool.read_counts()
            assert (counts.waiting, agent.uplink.status.connected) == (1, False)


async def say(port: int, body: bytes, record_bytes: int = 16_384) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
        head = b"POST /v1/envelopes HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        sent = body if body.startswith(b"CONNECT") else head + body
        for at in range(0, len(sent), record_bytes):
            writer.write(sent[at : at + record_bytes])
        try:
            return await reader.read()
        finally:
            writer.transport.abort()


def sealed_for(
    collector: Identity, size: int = SIZES[0], more: bytes = b"", version: int = VERSION
) -> bytes:
    envelope_message = envelope_pb2.Envelope(
        version=version, key_id=key_id(collector.sealing.public), sealed=bytes(size)
    )
    return envelope_message.SerializeToString() + more


async def test_relay_refuses_other_requests(agent: Agent, who: Identity, tmp_path: Path) -> None:
    stranger = replace(who, sealing=SealingKey(bytes(range(9, 41))))
    async with (
        intake(who=who) as collector,
        relay(agent, collector, tmp_path / "relay") as (server, _),
    ):
        for sent in (
            b"anything at all",
            sealed_for(stranger),
            sealed_for(who, SIZES[0] + 1),
            sealed_for(who, more=b"\x7a\x03abc"),
            sealed_for(who, version=MAX_VERSION + 1),
        ):
            assert (await say(server.port, sent)).startswith(b"HTTP/1.1 422 ")
        answer = await say(server.port, b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 ")
        one_by_one = await say(server.port, sealed_for(who), record_bytes=1)
        assert one_by_one.startswith(b"HTTP/1.1 400 "), "one-byte records end early"
    assert (collector.batches, collector.knocks) == ([], 0)


async def test_relay_without_collector_asks_for_retry(
    agent: Agent, who: Identity, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gone = Collector(who, plan_of())
    gone.port = free_port()
    async with relay(agent, gone, tmp_path / "relay") as (server, _):
        for version in (VERSION, VERSION - 1, VERSION + 1):  # of other agents, who upgrade alone
            answer = await say(server.port, sealed_for(who, version=version))
            assert answer.startswith(b"HTTP/1.1 503 ")
    response = intake_pb2.SubmitResponse.FromString(answer.partition(b"\r\n\r\n")[2])
    assert response.receipt.status == intake_pb2.STATUS_RETRY
    assert response.receipt.retry_after_s > 0
    assert HOST not in caplog.text


async def test_idle_connections_are_replaced(agent: Agent, who: Identity, tmp_path: Path) -> None:
    async with (
        intake(who=who) as collector,
        relay(agent, collector, tmp_path / "relay") as (server, entrance),
    ):
        idle = [
            await asyncio.open_connection(HOST, server.port) for _ in range(2 * MAX_CONNECTIONS)
        ]
        async with running(agent, as_unreachable(collector), entrance):
            await agent.deliver()
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()
    assert collector.stored == {1}


async def test_a_crowd_from_few_networks_displaces_itself(
    agent: Agent, who: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_server, "READ_S", 300.0)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with intake(who=who) as collector, relay(agent, collector, tmp_path / "r") as (server, _):
        lone, *crowd = [
            await asyncio.open_connection(HOST, server.port, local_addr=(source, 0))
            for source in ("127.0.9.1", *(f"127.0.{n % 5}.{n + 1}" for n in range(2 * 32)))
        ]
        ended = [asyncio.create_task(reader.read()) for reader, _ in crowd]
        await asyncio.wait(ended[:1])
        async with asyncio.timeout(120):
            await lone[1].start_tls(context)
        for _, writer in (lone, *crowd):
            writer.close()
        await asyncio.gather(*ended, return_exceptions=True)


async def test_daily_bytes_are_limited(agent: Agent, who: Identity, tmp_path: Path) -> None:
    async with (
        intake(who=who) as collector,
        relay(agent, collector, tmp_path / "relay", per_day=100) as (server, _),
    ):
        answer = await say(server.port, sealed_for(who))
        assert answer.startswith(b"HTTP/1.1 503 ")
    assert collector.batches == []


def test_relay_line_names_address_and_key(tmp_path: Path) -> None:
    pem = load_relay_pem(State(tmp_path), CLOCK)
    assert load_relay_pem(State(tmp_path), CLOCK) == pem
    assert (tmp_path / "relay.pem").stat().st_mode & 0o777 == 0o600
    entrance = Entrance(
        carrier=Carrier.RELAY, host="relay.example", port=7446, pin=compute_pin(pem)
    )
    assert relay_line.parse_relay_line(relay_line.format_relay_line(entrance)) == entrance
