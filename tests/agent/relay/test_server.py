"""One agent's way out lent to another: real doors on both sides, and a relay that cannot lie."""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph import codec, plan_chunks, relay_line
from heliograph.clock import SystemClock
from heliograph.envelope import SIZES
from heliograph.keys import SealingKey, key_id
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import envelope_pb2, intake_pb2, plan_pb2
from heliograph_agent.relay.key import pin_of, relay_pem
from heliograph_agent.relay.server import AT_ONCE, Relay
from heliograph_agent.spool import Spool
from heliograph_agent.state import Collector as Known
from heliograph_agent.state import State
from heliograph_agent.uplink.dial_context import Ways
from support.ports import HOST, free_port
from support.post_door import post_door
from support.scripted_intake import Collector, Identity, identity, intake, plan_of
from support.uplink_agent import Agent, running

CLOCK = SystemClock()
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def who() -> Identity:
    return identity()


@pytest_asyncio.fixture
async def agent(tmp_path: Path, who: Identity) -> AsyncIterator[Agent]:
    (tmp_path / "dark").mkdir()
    spool = Spool(tmp_path / "dark" / "spool.db", clock=CLOCK)
    try:
        yield Agent(State(tmp_path / "dark"), spool, who)
    finally:
        await spool.close()


@asynccontextmanager
async def relay(
    agent: Agent,
    there: Collector,
    folder: Path,
    *ways: Entrance,
    per_day: int = 10**9,
    sealed_to: Sequence[bytes] = (),
) -> AsyncIterator[tuple[Relay, Entrance]]:
    """A neighbour that serves the same collector, and what its line says. `sealed_to`: the keys
    that it is told of one after the other, instead of the collector's."""
    state = State(folder)
    state.prepare()
    agent.know(there)
    known = agent.state.collector()
    assert known is not None
    own = Ways(CLOCK, random.Random(1))
    told = [replace(known, sealing_key=key) for key in sealed_to] or [known]

    def serves() -> Known:
        return told.pop(0) if len(told) > 1 else told[0]

    lent = Relay(state, serves, own, (HOST, 0), per_day, lambda: ways)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        going = group.create_task(lent.run(ready.set))
        async with asyncio.timeout(DEADLINE_S):
            await ready.wait()
        pin = pin_of(relay_pem(state, CLOCK))
        yield lent, Entrance(carrier=Carrier.RELAY, host=HOST, port=lent.port, pin=pin)
        going.cancel()


def unreachable(there: Collector) -> Collector:
    """The same collector as the dark agent finds it."""
    gone = Collector(there.who, plan_of())
    gone.agents, gone.port = there.agents, free_port()
    return gone


async def test_a_dark_agent_delivers_by_its_neighbour_whatever_door_that_one_has(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    async with intake(who=who) as there, post_door(there, tmp_path) as door:
        for name, ways in (("session", ()), ("post", (door,))):
            async with relay(agent, there, tmp_path / name, *ways) as (lent, entrance):
                before = len(there.batches)
                async with running(agent, unreachable(there)):
                    agent.entrances = [entrance]
                    await agent.put(3)
                    await agent.empty()
                    assert agent.uplink.reached.way == f"relay://{HOST}:{lent.port}"
                assert (len(there.batches) - before, lent.carried) == (3, 3)
    assert there.stored == set(range(1, 7))
    assert set(there.places) == {"relay"}, "the neighbour's address is nobody's vantage"


async def test_a_neighbour_goes_on_lending_when_the_collector_has_other_keys(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    """Who followed the charter seals to the new key, who was long in the dark to the old one."""
    keys_ = (SealingKey(bytes(31) + b"o").public, who.sealing.public)
    for name, sealed_to in (("later", keys_), ("before", keys_[::-1])):
        async with (
            intake(who=who) as there,
            relay(agent, there, tmp_path / name, sealed_to=sealed_to) as (lent, entrance),
            running(agent, unreachable(there)),
        ):
            agent.entrances = [entrance]
            await agent.put()
            await agent.empty()
            assert lent.carried == 1


async def test_a_plan_comes_back_by_the_same_way(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    async with intake(who=who) as there:
        plan = there.signed(replace(plan_of(), version=9, services_version="x" * 1_900))
        there.news = 9, plan_chunks.pack(plan.SerializeToString())
        async with (
            relay(agent, there, tmp_path / "relay") as (_, entrance),
            running(agent, unreachable(there)),
        ):
            agent.entrances = [entrance]
            await agent.put(2)
            await agent.empty()
    assert agent.plans[0] == plan
    assert codec.plan_from_pb(plan_pb2.Plan.FromString(agent.plans[0].plan)).version == 9


async def test_a_relay_that_claims_what_the_collector_never_said_is_not_believed(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    """It shows its pinned key and says "stored": nothing leaves the spool."""
    liar = Collector(identity(), plan_of())
    liar.who = replace(liar.who, sealing=who.sealing)
    async with intake(who=who) as there, post_door(liar, tmp_path) as false:
        agent.know(there)
        liar.agents = there.agents
        entrance = replace(false, carrier=Carrier.RELAY, pin=liar.who.pin.hex())
        async with running(agent, unreachable(there)):
            agent.entrances = [entrance]
            await agent.put(1)
            await agent.until(lambda: len(liar.batches) >= 1)
            await agent.until(lambda: agent.uplink.reached.last_failure != "")
            counts = await agent.spool.counts()
            assert (counts.waiting, agent.uplink.reached.connected) == (1, False)


async def say(port: int, body: bytes) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
        head = b"POST /v1/envelopes HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(body if body.startswith(b"CONNECT") else head + body)
        try:
            return await reader.read()
        finally:
            writer.transport.abort()


def sealed_for(collector: Identity, size: int = SIZES[0], more: bytes = b"") -> bytes:
    made = envelope_pb2.Envelope(
        version=1, key_id=key_id(collector.sealing.public), sealed=bytes(size)
    )
    return made.SerializeToString() + more


async def test_it_is_nobodys_proxy(agent: Agent, who: Identity, tmp_path: Path) -> None:
    stranger = replace(who, sealing=SealingKey(bytes(range(9, 41))))
    async with intake(who=who) as there, relay(agent, there, tmp_path / "relay") as (lent, _):
        for sent in (
            b"anything at all",
            sealed_for(stranger),
            sealed_for(who, SIZES[0] + 1),
            sealed_for(who, more=b"\x7a\x03abc"),
        ):
            assert (await say(lent.port, sent)).startswith(b"HTTP/1.1 422 ")
        answer = await say(lent.port, b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 ")
    assert (there.batches, there.knocks) == ([], 0)


async def test_when_nobody_is_reached_it_says_when_to_come_again_and_logs_no_address(
    agent: Agent, who: Identity, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gone = Collector(who, plan_of())
    gone.port = free_port()
    async with relay(agent, gone, tmp_path / "relay") as (lent, _):
        answer = await say(lent.port, sealed_for(who))
    response = intake_pb2.SubmitResponse.FromString(answer.partition(b"\r\n\r\n")[2])
    assert response.receipt.status == intake_pb2.STATUS_RETRY
    assert response.receipt.retry_after_s > 0
    assert HOST not in caplog.text


async def test_who_holds_the_door_shut_is_pushed_out_by_the_next(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    async with (
        intake(who=who) as there,
        relay(agent, there, tmp_path / "relay") as (lent, entrance),
    ):
        idle = [await asyncio.open_connection(HOST, lent.port) for _ in range(2 * AT_ONCE)]
        async with running(agent, unreachable(there)):
            agent.entrances = [entrance]
            await agent.put(1)
            await agent.empty()
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()
    assert there.stored == {1}


async def test_a_days_bytes_are_its_owners_to_say(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    async with (
        intake(who=who) as there,
        relay(agent, there, tmp_path / "relay", per_day=100) as (lent, _),
    ):
        answer = await say(lent.port, sealed_for(who))
        assert answer.startswith(b"HTTP/1.1 503 ")
    assert there.batches == []


def test_its_line_names_where_it_is_and_its_own_key(tmp_path: Path) -> None:
    pem = relay_pem(State(tmp_path), CLOCK)
    assert relay_pem(State(tmp_path), CLOCK) == pem
    assert (tmp_path / "relay.pem").stat().st_mode & 0o777 == 0o600
    entrance = Entrance(carrier=Carrier.RELAY, host="relay.example", port=7446, pin=pin_of(pem))
    assert relay_line.parse_line(relay_line.line_of(entrance)) == entrance
