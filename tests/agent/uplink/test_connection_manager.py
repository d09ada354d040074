"""Falling back between transports: results arrive once, attempts are recorded."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph.observation import Link
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import envelope_pb2, intake_pb2
from heliograph_agent.spool import Spool
from heliograph_agent.state import UPLINK, State
from heliograph_agent.uplink.connection_manager import STABLE_US
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.transports import MAX_PROBE_S
from support.hand_clock import HandClock
from support.ports import HOST
from support.post_entrance import front, post_entrance
from support.results import open_spool
from support.scripted_intake import (
    Collector,
    Identity,
    identity,
    intake,
    make_receipt,
    plan_of,
    serving,
    stored,
)
from support.uplink_agent import Agent, UplinkSealer, number_of, running

RNG = random.Random(5)


def assert_once_each(collector: Collector, count: int) -> None:
    numbers = [batch.sequence for batch in collector.batches]
    assert sorted(numbers) == [number_of(batch) for batch in range(1, count + 1)]


def name_of(entrance: Entrance) -> str:
    return f"{entrance.carrier}://{entrance.host}:{entrance.port}"


async def test_without_session_envelopes_are_posted(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    ways: list[str] = []
    async with post_entrance(away, tmp_path, ways) as entrance, running(agent, away, entrance):
        await agent.deliver(5)
        assert_once_each(away, 5)
        assert (agent.uplink.status.connected, agent.uplink.status.transport) == (
            True, name_of(entrance),
        )  # fmt: skip
        await agent.deliver(2)
    assert_once_each(away, 7)
    assert ways == [HOST] * 7
    assert State(tmp_path).read_json(UPLINK) == {"good": name_of(entrance), "probes": 0}


async def test_attempts_are_recorded_once_with_steps(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    async with post_entrance(away, tmp_path) as entrance, running(agent, away, entrance):
        await agent.deliver(5)
    stream = f"stream://{HOST}:{away.port}"
    assert agent.steps_of(stream) == [
        ("exchange", "connection_aborted"),
        ("connect", "connection_refused"),
    ]
    assert agent.steps_of(name_of(entrance)) == [
        ("connect", ""), ("tls_handshake", ""), ("http_round_trip", ""),
    ], "that it goes on working is told by what arrives"  # fmt: skip
    assert all(attempt.is_changed for attempt in agent.attempts)


@pytest.mark.slow
async def test_frozen_session_falls_back_to_post(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    def freeze(so_far: bytes, piece: bytes) -> bytes:
        return piece if len(so_far) < 9_000 else b""

    agent.heartbeat_s = 1
    async with (
        intake(who=who) as collector,
        front(collector.port, freeze) as port,
        post_entrance(collector, tmp_path) as entrance,
    ):
        collector.port = port
        async with running(agent, collector, entrance):
            await agent.deliver(30)
            assert agent.uplink.status.transport == name_of(entrance)
    assert collector.hellos, "the session had begun well"
    assert collector.stored == set(range(1, 31))
    assert agent.steps_of(f"stream://{HOST}:{port}") == [("exchange", "generic_timeout_error")]


async def test_lost_answer_makes_duplicate_only(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    def answer(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
        before = sum(b.sequence == batch.sequence for b in away.batches)
        status = intake_pb2.STATUS_STORED if before == 1 else intake_pb2.STATUS_DUPLICATE
        return make_receipt(batch, status)

    away.answer = answer
    broken: list[int] = []

    def break_the_first(so_far: bytes, piece: bytes) -> bytes | None:
        if len(so_far) > 2_000 and not broken:
            broken.append(1)
            return None
        return piece

    async with (
        post_entrance(away, tmp_path) as door,
        front(door.port, break_the_first) as port,
        running(agent, away),
    ):
        agent.entrances = [Entrance(carrier=Carrier.POST, host=HOST, port=port)]
        await agent.deliver(2)
    assert broken
    assert (await agent.spool.read_counts()).waiting == 0
    assert away.stored == {1, 2}


async def test_posted_receipts_settle_envelopes(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    asked_again: list[int] = []

    def answer(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
        if batch.sequence == number_of(1):
            return make_receipt(batch, intake_pb2.STATUS_REJECTED, reason="bad_batch")
        if batch.sequence == number_of(2) and not asked_again:
            asked_again.append(2)
            return make_receipt(batch, intake_pb2.STATUS_RETRY, retry_after_s=1)
        return stored(batch)

    away.answer = answer
    async with post_entrance(away, tmp_path) as entrance, running(agent, away, entrance):
        await agent.deliver(3)
    assert agent.rejected == [(number_of(1), "bad_batch")]
    counts = await agent.spool.read_counts()
    assert (counts.waiting, counts.quarantined) == (0, 1)
    assert [batch.sequence for batch in away.batches].count(number_of(2)) == 2


async def test_small_envelopes_are_posted_first(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    noise = "".join(chr(RNG.randrange(33, 127)) for _ in range(12_000))
    await agent.put(note=noise)
    await agent.put(3)
    async with post_entrance(away, tmp_path) as entrance, running(agent, away, entrance):
        await agent.empty()
    assert [batch.sequence for batch in away.batches][-1] == number_of(1), "and it still goes, last"
    assert_once_each(away, 4)


async def test_post_to_wrong_key_sends_nothing(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    stranger = Collector(identity(), plan_of())
    stranger.agents = away.agents
    async with post_entrance(stranger, tmp_path) as false, post_entrance(away, tmp_path) as true:
        agent.entrances = [false]  # alone at first: agents order two entrances at random
        async with running(agent, away):
            await agent.put(2)
            await agent.until(lambda: len(agent.steps_of(name_of(false))) >= 2)
            agent.entrances = [false, true]
            await agent.empty()
    assert stranger.batches == []
    assert_once_each(away, 2)
    assert agent.steps_of(name_of(false))[:2] == [
        ("connect", ""),
        ("tls_handshake", "ssl_unknown_authority"),
    ]


async def test_response_without_receipt_settles_nothing(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    async with post_entrance(away, tmp_path) as entrance:
        away.answer = lambda batch: intake_pb2.Receipt()
        async with running(agent, away, entrance):
            await agent.put()
            await agent.until(lambda: agent.uplink.status.last_failure == "refused")
            assert (await agent.spool.read_counts()).waiting == 1
            away.answer = stored
            await agent.empty()


async def test_restart_begins_with_preferred_transport(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    async with intake(who=who) as collector, post_entrance(collector, tmp_path) as entrance:
        stored_choice = {"good": name_of(entrance), "probes": 6}
        agent.state.write_json(UPLINK, stored_choice)
        async with running(agent, collector, entrance):
            await agent.deliver(2)
        assert collector.hellos == [], "no session was begun"
        assert agent.state.read_json(UPLINK) == stored_choice


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest_asyncio.fixture
async def aged_spool(tmp_path: Path, clock: HandClock, who: Identity) -> AsyncIterator[Spool]:
    async with open_spool(tmp_path / "aged.db", clock, sealer=UplinkSealer(who)) as spool:
        yield spool


async def test_better_transport_is_probed_and_preferred(
    clock: HandClock, aged_spool: Spool, tmp_path: Path, who: Identity, away: Collector
) -> None:
    agent = Agent(State(tmp_path), aged_spool, who, clock=clock)
    agent.heartbeat_s = 1
    async with post_entrance(away, tmp_path) as entrance, running(agent, away, entrance):
        await agent.deliver()
        async with serving(away, away.port):
            clock.advance_us(int(2 * MAX_PROBE_S * 1e6))
            await agent.put()
            await away.until(lambda: bool(away.heartbeats))
            await agent.empty()
            assert agent.uplink.status.transport == f"stream://{HOST}:{away.port}"
            clock.advance_us(STABLE_US)
            stored_choice = {"good": f"stream://{HOST}:{away.port}", "probes": 0}
            await away.until(
                lambda: agent.state.read_json(UPLINK) == stored_choice
            )  # with some heartbeat
    assert_once_each(away, 2)


class PublicDialContext(DialContext):
    """Loopback counts as the Internet."""

    def is_local_address(self, host: str) -> bool:
        return False


@pytest.mark.parametrize("host", [HOST, "localhost"])
async def test_guarded_session_never_reaches_local_address(
    agent: Agent, away: Collector, who: Identity, tmp_path: Path, host: str
) -> None:
    agent.guards = True
    async with intake(who=who) as elsewhere, post_entrance(away, tmp_path) as entrance:
        listed = Entrance(carrier=Carrier.STREAM, host=host, port=elsewhere.port)
        async with running(agent, away):
            agent.entrances = [listed, entrance]
            await agent.put()
            await agent.until(lambda: agent.waits.count(1) > 2)
            assert not agent.uplink.status.connected
            assert agent.steps_of(name_of(listed)) in ([], [("exchange", "connection_aborted")])
        assert elsewhere.hellos == away.batches == []
        agent.uplink.context.dial_context = PublicDialContext(agent.clock, RNG)
        agent.entrances = [listed]
        elsewhere.agents = away.agents
        async with running(agent, away):
            await elsewhere.until(lambda: bool(elsewhere.hellos))
            await agent.empty()
    assert elsewhere.stored == {1}


async def test_network_change_tries_best_transport_first(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    async with post_entrance(away, tmp_path) as entrance, running(agent, away, entrance):
        await agent.deliver()
        async with serving(away, away.port):
            agent.uplink.restart()
            await away.until(lambda: bool(away.hellos))
            await agent.deliver()
    assert_once_each(away, 2)


@pytest.mark.parametrize(
    ("link", "waits"), [(Link.ONLINE, [1, 2, 3, 4, 1, 1]), (Link.OFFLINE, [1, 2, 3, 4, 5, 6])]
)
async def test_refusal_on_an_online_link_is_tried_again_before_the_wait_grows(
    agent: Agent, who: Identity, link: Link, waits: list[int]
) -> None:
    """A balancer leads to a dead host, until it leads to another one."""
    agent.facts = replace(agent.facts, link=link)

    def refuse(so_far: bytes, piece: bytes) -> bytes | None:
        return piece if len(agent.waits) >= len(waits) else None

    async with intake(who=who) as collector, front(collector.port, refuse) as port:
        collector.said_endpoint = f"{HOST}:{port}"
        async with running(agent, collector):
            await agent.deliver()
    assert agent.waits == waits
