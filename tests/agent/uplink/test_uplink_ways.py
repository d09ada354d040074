"""Falling from way to way, on real doors: results arrive once, and what was tried is told."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph.clock import SystemClock
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import envelope_pb2, intake_pb2
from heliograph_agent.spool import Spool
from heliograph_agent.state import UPLINK, State
from heliograph_agent.uplink.connection_manager import STEADY_US
from heliograph_agent.uplink.dial_context import Ways
from heliograph_agent.uplink.transport_selector import MOST_PROBE_S
from support.hand_clock import HandClock
from support.ports import HOST, free_port
from support.post_door import front, post_door
from support.scripted_intake import Collector, Identity, identity, intake, plan_of, serving
from support.uplink_agent import Agent, running

RNG = random.Random(5)


@pytest.fixture(scope="module")
def who() -> Identity:
    return identity()


@pytest_asyncio.fixture
async def agent(tmp_path: Path, who: Identity) -> AsyncIterator[Agent]:
    spool = Spool(tmp_path / "spool.db", clock=SystemClock())
    try:
        yield Agent(State(tmp_path), spool, who)
    finally:
        await spool.close()


@pytest.fixture
def away(who: Identity) -> Collector:
    """A collector whose session door is shut."""
    collector = Collector(who, plan_of())
    collector.port = free_port()
    return collector


def receipt(
    batch: envelope_pb2.Batch, status: int, *, reason: str = "", retry_after_s: int = 0
) -> intake_pb2.Receipt:
    return intake_pb2.Receipt(
        sequence=batch.sequence,
        status=intake_pb2.Status.ValueType(status),
        reason=reason,
        retry_after_s=retry_after_s,
    )


def once_each(collector: Collector, count: int) -> None:
    numbers = [batch.sequence for batch in collector.batches]
    assert sorted(numbers) == list(range(1, count + 1))


def name_of(entrance: Entrance) -> str:
    return f"{entrance.carrier}://{entrance.host}:{entrance.port}"


async def test_where_no_session_begins_envelopes_go_one_by_one(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    ways: list[str] = []
    async with post_door(away, tmp_path, ways) as entrance, running(agent, away):
        agent.entrances = [entrance]
        await agent.put(5)
        await agent.empty()
        once_each(away, 5)
        assert (agent.uplink.reached.connected, agent.uplink.reached.way) == (
            True, name_of(entrance),
        )  # fmt: skip
        await agent.put(2)
        await agent.empty()
    once_each(away, 7)
    assert ways == [HOST] * 7
    assert State(tmp_path).read_json(UPLINK) == {"good": name_of(entrance), "probes": 0}


async def test_what_was_tried_is_told_step_by_step_and_once(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    async with post_door(away, tmp_path) as entrance, running(agent, away):
        agent.entrances = [entrance]
        await agent.put(5)
        await agent.empty()
    stream = f"stream://{HOST}:{away.port}"
    assert agent.way(stream) == [
        ("exchange", "connection_aborted"),
        ("connect", "connection_refused"),
    ]
    assert agent.way(name_of(entrance)) == [
        ("connect", ""), ("tls_handshake", ""), ("http_round_trip", ""),
    ], "that it goes on working is told by what arrives"  # fmt: skip
    assert all(attempt.changed for attempt in agent.attempts)


@pytest.mark.slow
async def test_a_session_that_freezes_falls_to_the_next_way_by_itself(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    def freeze(so_far: bytes, piece: bytes) -> bytes:
        return piece if len(so_far) < 9_000 else b""

    async with (
        intake(who=who) as collector,
        front(collector.port, freeze) as port,
        post_door(collector, tmp_path) as entrance,
    ):
        collector.port = port
        async with running(agent, collector):
            agent.entrances = [entrance]
            await agent.put(30)
            await agent.empty()
            assert agent.uplink.reached.way == name_of(entrance)
    assert collector.hellos, "the session had begun well"
    assert collector.stored == set(range(1, 31))
    assert agent.way(f"stream://{HOST}:{port}") == [("exchange", "generic_timeout_error")]


async def test_an_answer_that_is_lost_makes_a_duplicate_and_no_second_result(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    def answer(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
        before = sum(b.sequence == batch.sequence for b in away.batches)
        status = intake_pb2.STATUS_STORED if before == 1 else intake_pb2.STATUS_DUPLICATE
        return receipt(batch, status)

    away.answer = answer
    broken: list[int] = []

    def break_the_first(so_far: bytes, piece: bytes) -> bytes | None:
        if len(so_far) > 2_000 and not broken:
            broken.append(1)
            return None
        return piece

    async with (
        post_door(away, tmp_path) as door,
        front(door.port, break_the_first) as port,
        running(agent, away),
    ):
        agent.entrances = [Entrance(carrier=Carrier.POST, host=HOST, port=port)]
        await agent.put(2)
        await agent.empty()
    assert broken
    assert (await agent.spool.counts()).waiting == 0
    assert away.stored == {1, 2}


async def test_receipts_mean_what_they_mean_in_a_session(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    asked_again: list[int] = []

    def answer(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
        if batch.sequence == 1:
            return receipt(batch, intake_pb2.STATUS_REJECTED, reason="bad_batch")
        if batch.sequence == 2 and not asked_again:
            asked_again.append(2)
            return receipt(batch, intake_pb2.STATUS_RETRY, retry_after_s=1)
        return receipt(batch, intake_pb2.STATUS_STORED)

    away.answer = answer
    async with post_door(away, tmp_path) as entrance, running(agent, away):
        agent.entrances = [entrance]
        await agent.put(3)
        await agent.empty()
    assert agent.rejected == [(1, "bad_batch")]
    counts = await agent.spool.counts()
    assert (counts.waiting, counts.quarantined) == (0, 1)
    assert [batch.sequence for batch in away.batches].count(2) == 2


async def test_small_envelopes_do_not_wait_for_large_ones(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    noise = "".join(chr(RNG.randrange(33, 127)) for _ in range(12_000))
    await agent.put(note=noise)
    await agent.put(3)
    async with post_door(away, tmp_path) as entrance, running(agent, away):
        agent.entrances = [entrance]
        await agent.empty()
    assert [batch.sequence for batch in away.batches][-1] == 1, "and it still goes, last"
    once_each(away, 4)


async def test_who_does_not_show_the_pin_gets_nothing(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    stranger = Collector(identity(), plan_of())
    stranger.agents = away.agents
    async with post_door(stranger, tmp_path) as false, post_door(away, tmp_path) as true:
        agent.entrances = [false, true]
        async with running(agent, away):
            await agent.put(2)
            await agent.empty()
    assert stranger.batches == []
    once_each(away, 2)
    assert agent.way(name_of(false)) == [
        ("connect", ""),
        ("tls_handshake", "ssl_unknown_authority"),
    ]


async def test_a_page_in_place_of_a_receipt_settles_nothing(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    async with post_door(away, tmp_path) as entrance:
        away.answer = lambda batch: intake_pb2.Receipt()
        async with running(agent, away):
            agent.entrances = [entrance]
            await agent.put()
            await agent.until(lambda: agent.uplink.reached.last_failure == "refused")
            assert (await agent.spool.counts()).waiting == 1
            away.answer = lambda batch: receipt(batch, intake_pb2.STATUS_STORED)
            await agent.empty()


async def test_the_way_that_delivered_last_is_the_first_after_a_restart(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    async with intake(who=who) as collector, post_door(collector, tmp_path) as entrance:
        kept = {"good": name_of(entrance), "probes": 6}
        agent.state.write_json(UPLINK, kept)
        async with running(agent, collector):
            agent.entrances = [entrance]
            await agent.put(2)
            await agent.empty()
        assert collector.hellos == [], "no session was begun"
        assert agent.state.read_json(UPLINK) == kept


async def test_a_better_way_is_looked_for_and_kept_once_it_stood(
    tmp_path: Path, who: Identity, away: Collector
) -> None:
    clock = HandClock()
    spool = Spool(tmp_path / "spool.db", clock=clock)
    agent = Agent(State(tmp_path), spool, who, clock=clock)
    async with post_door(away, tmp_path) as entrance, running(agent, away):
        agent.entrances = [entrance]
        await agent.put()
        await agent.empty()
        async with serving(away, away.port):
            clock.advance_us(int(2 * MOST_PROBE_S * 1e6))
            await agent.put()
            await away.until(lambda: bool(away.heartbeats))
            await agent.empty()
            assert agent.uplink.reached.way == f"stream://{HOST}:{away.port}"
            clock.advance_us(STEADY_US)
            kept = {"good": f"stream://{HOST}:{away.port}", "probes": 0}
            await away.until(lambda: agent.state.read_json(UPLINK) == kept)  # with some heartbeat
    once_each(away, 2)
    await spool.close()


class Abroad(Ways):
    """Loopback is the Internet of a test."""

    def leads_home(self, place: str) -> bool:
        return False


@pytest.mark.parametrize("host", [HOST, "localhost"])
async def test_a_session_goes_where_only_the_plan_leads_but_never_home(
    agent: Agent, away: Collector, who: Identity, tmp_path: Path, host: str
) -> None:
    agent.guards = True
    async with intake(who=who) as elsewhere, post_door(away, tmp_path) as entrance:
        listed = Entrance(carrier=Carrier.STREAM, host=host, port=elsewhere.port)
        async with running(agent, away):
            agent.entrances = [listed, entrance]
            await agent.put()
            await agent.until(lambda: agent.waits.count(1) > 2)
            assert not agent.uplink.reached.connected
            assert agent.way(name_of(listed)) in ([], [("exchange", "connection_aborted")])
        assert elsewhere.hellos == away.batches == []
        agent.uplink.ways, agent.entrances = Abroad(agent.clock, RNG), [listed]
        elsewhere.agents = away.agents
        async with running(agent, away):
            await elsewhere.until(lambda: bool(elsewhere.hellos))
            await agent.empty()
    assert elsewhere.stored == {1}


async def test_the_next_network_gets_the_best_way_first(
    agent: Agent, away: Collector, tmp_path: Path
) -> None:
    async with post_door(away, tmp_path) as entrance, running(agent, away):
        agent.entrances = [entrance]
        await agent.put()
        await agent.empty()
        async with serving(away, away.port):
            agent.uplink.renew()
            await away.until(lambda: bool(away.hellos))
            await agent.put()
            await agent.empty()
    once_each(away, 2)
