"""One session with a real gRPC server on loopback: TLS, the real spool, the real codec."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph import keys
from heliograph.clock import SystemClock
from heliograph.v1 import envelope_pb2, intake_pb2
from heliograph_agent.spool import Spool
from heliograph_agent.state import COLLECTOR, State
from heliograph_agent.uplink.channel import Reason
from heliograph_agent.uplink.connection_manager import HURRIED
from support.scripted_intake import Collector, Identity, identity, intake, plan_of, serving
from support.uplink_agent import DEADLINE_S, SIGNER, Agent, running


@pytest.fixture(scope="module")
def who() -> Identity:
    return identity()


@pytest_asyncio.fixture
async def agent(tmp_path: Path, who: Identity) -> AsyncIterator[Agent]:
    state = State(tmp_path)
    spool = Spool(tmp_path / "spool.db", clock=SystemClock())
    try:
        yield Agent(state, spool, who)
    finally:
        await spool.close()


async def test_what_is_acknowledged_leaves_the_spool(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector, running(agent, collector):
        await agent.put(40)  # more than one window
        await collector.until(lambda: len(collector.batches) == 40)
        await agent.empty()
        assert (await agent.spool.counts()).waiting == 0
        assert collector.stored == set(range(1, 41))
        assert collector.hellos[0].plan_version == 4
        assert collector.heartbeats[0].link == "online"


async def test_a_clean_stop_says_goodbye(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector:
        async with running(agent, collector):
            await collector.until(lambda: bool(collector.heartbeats))
        await collector.until(lambda: collector.goodbyes == ["shutdown"])
    assert not agent.uplink.reached.connected


async def test_nothing_leaves_the_spool_without_a_receipt(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector, running(agent, collector):
        collector.acknowledge = False
        await agent.put(20)
        await collector.until(lambda: len(collector.batches) >= 16)
        assert (await agent.spool.counts()).waiting == 20
        assert len(collector.batches) == 16, "the window bounds what is under way"


async def test_a_collector_that_went_away_and_came_back_gets_the_same_envelope_again(
    agent: Agent, who: Identity
) -> None:
    async with intake(who=who) as collector:
        collector.acknowledge = False
        port = collector.port
        async with running(agent, collector):
            await agent.put()
            await collector.until(lambda: len(collector.batches) == 1)
            await collector.hang_up()
            await collector.until(lambda: len(collector.batches) == 2)
            assert port == collector.port
            collector.acknowledge = True
            await collector.hang_up()
            await agent.empty()
    first, second, *_ = collector.batches
    assert first == second
    assert len(collector.hellos) == 3


async def test_the_server_process_may_die_and_return(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector:
        port = collector.port
    collector = Collector(who, plan_of())
    async with asyncio.TaskGroup() as group:
        async with serving(collector, port):
            collector.agents[keys.agent_id(SIGNER.public)] = SIGNER.public
            agent.know(collector)
            group.create_task(agent.uplink.run())
            await collector.until(lambda: len(collector.hellos) == 1)
        await agent.put(3)
        async with serving(collector, port):
            await collector.until(lambda: len(collector.batches) == 3)
            await agent.empty()
            agent.uplink.leave("shutdown")
    assert agent.waits, "it was patient in between"
    assert collector.stored == {1, 2, 3}


async def test_a_duplicate_is_as_good_as_stored(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector, running(agent, collector):
        collector.answer = lambda batch: receipt(batch, intake_pb2.STATUS_DUPLICATE)
        await agent.put(2)
        await agent.empty()
        assert (await agent.spool.counts()).quarantined == 0


async def test_a_rejected_batch_stands_aside_and_the_others_pass(
    agent: Agent, who: Identity
) -> None:
    def answer(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
        if batch.sequence != 2:
            return receipt(batch, intake_pb2.STATUS_STORED)
        return receipt(batch, intake_pb2.STATUS_REJECTED, reason="bad_batch")

    async with intake(who=who) as collector, running(agent, collector):
        collector.answer = answer
        await agent.put(4)
        await agent.empty()
        counts = await agent.spool.counts()
        assert (counts.waiting, counts.quarantined) == (0, 1)
        assert agent.rejected == [(2, "bad_batch")]
        assert len(collector.batches) == 4, "and is not sent again"


async def test_an_envelope_that_could_not_be_opened_is_known_by_its_turn(
    agent: Agent, who: Identity
) -> None:
    def answer(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
        if batch.sequence != 2:
            return receipt(batch, intake_pb2.STATUS_STORED)
        return intake_pb2.Receipt(status=intake_pb2.STATUS_REJECTED, reason="unknown_key")

    async with intake(who=who) as collector, running(agent, collector):
        collector.answer = answer
        await agent.put(4)
        await agent.empty()
        assert (await agent.spool.counts()).quarantined == 1
        assert agent.rejected == [(2, "unknown_key")]


async def test_retry_is_obeyed_and_nothing_is_lost(agent: Agent, who: Identity) -> None:
    refused: list[int] = []

    def answer(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
        if batch.sequence in refused:
            return receipt(batch, intake_pb2.STATUS_STORED)
        refused.append(batch.sequence)
        return receipt(batch, intake_pb2.STATUS_RETRY, retry_after_s=1)

    async with intake(who=who) as collector, running(agent, collector):
        collector.answer = answer
        await agent.put(2)
        await agent.empty()
        assert sorted(refused) == [1, 2]
        assert len(collector.batches) == 4


async def test_a_collector_that_falls_silent_is_left(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector:
        collector.answers_heartbeats = False
        async with running(agent, collector):
            await collector.until(lambda: len(collector.hellos) == 2)
            assert agent.uplink.reached.last_failure == "no_answer"


async def test_the_collectors_clock_is_told_from_heartbeats(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector:
        collector.skew_us = 90_000_000
        async with running(agent, collector):
            await collector.until(lambda: len(collector.heartbeats) >= 2)
            clock = SystemClock()
            offset = agent.uplink.offsets.offset_us(clock.wall_us(), clock.monotonic_us())
    assert offset is not None
    assert abs(offset - 90_000_000) < 2_000_000


async def test_a_stranger_in_the_collectors_place_gets_nothing(agent: Agent, who: Identity) -> None:
    async with intake(who=identity()) as stranger:
        agent.know(stranger)
        known = agent.state.collector()
        assert known
        agent.state.save_collector(
            replace(known, pin=who.pin, certificate=who.certificate.decode())
        )
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            group.create_task(agent.uplink.run())
            await agent.until(lambda: agent.uplink.reached.last_failure == "pin_mismatch")
            agent.uplink.leave("shutdown")
        assert not stranger.hellos
        assert not stranger.batches


async def test_a_renewed_certificate_with_the_same_key_is_learnt(
    agent: Agent, who: Identity
) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(who.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    renewed = identity(key)
    async with intake(who=renewed) as collector:
        collector.agents[keys.agent_id(SIGNER.public)] = SIGNER.public
        agent.know(collector)
        known = agent.state.collector()
        assert known
        agent.state.save_collector(replace(known, certificate=who.certificate.decode()))
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            group.create_task(agent.uplink.run())
            await collector.until(lambda: bool(collector.hellos))
            agent.uplink.leave("shutdown")


async def test_files_that_cannot_be_read_now_end_nothing(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector:
        collector.agents[keys.agent_id(SIGNER.public)] = SIGNER.public
        agent.state.path(COLLECTOR).mkdir()  # stands in for a disk that fails to read
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            group.create_task(agent.uplink.run())
            await agent.until(lambda: agent.uplink.reached.last_failure == Reason.STATE)
            agent.state.path(COLLECTOR).rmdir()
            agent.know(collector)
            await agent.until(lambda: agent.uplink.reached.connected)
            agent.uplink.leave("shutdown")


async def test_an_agent_that_was_struck_off_backs_off(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector:
        agent.know(collector)  # but the collector does not know the agent
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            group.create_task(agent.uplink.run())
            # One of its knocks may also be cut off by the server's own goodbye to the connection.
            await agent.until(lambda: agent.uplink.reached.last_failure == "unknown_agent")
            await agent.until(lambda: len(agent.waits) >= 4)
            agent.uplink.leave("shutdown")
    assert agent.waits[:4] == [1, 2, 3, 4]


async def test_a_full_collector_is_left_alone_for_as_long_as_it_wishes(
    agent: Agent, who: Identity
) -> None:
    async with intake(who=who) as collector:
        collector.full_for_s = 600
        async with running(agent, collector):
            await agent.until(lambda: agent.uplink.reached.last_failure == "busy")
            await agent.until(lambda: bool(agent.waits))
            collector.full_for_s = 0
            await asyncio.sleep(0.2)  # twenty times its own patience
            assert collector.knocks == 1


async def test_a_link_that_is_whole_again_cuts_the_wait_short(agent: Agent, who: Identity) -> None:
    """Failures have made it patient; when its anchors answer, it knocks again soon."""
    async with intake(who=who) as collector:
        agent.know(collector)  # but the collector does not know the agent, so every knock fails
        agent.patient_from = 6
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            group.create_task(agent.uplink.run())
            await agent.until(lambda: 6 in agent.waits)
            agent.uplink.hurry()
            await agent.until(lambda: agent.waits.count(6) == 2)
            agent.uplink.leave("shutdown")
    assert agent.waits == [1, 2, 3, 4, 5, 6, HURRIED, 5, 6]


async def test_advice_changes_the_heartbeat_and_holds_the_batches(
    agent: Agent, who: Identity
) -> None:
    async with intake(who=who) as collector, running(agent, collector):
        await collector.until(lambda: bool(collector.heartbeats))
        advice = intake_pb2.Advice(retry_after_s=600)
        await collector.send(intake_pb2.CollectorMessage(advice=advice))
        await collector.send(intake_pb2.CollectorMessage(plan=collector.plan))
        await agent.until(lambda: bool(agent.plans))
        await agent.put()
        seen = len(collector.heartbeats)
        await collector.until(lambda: len(collector.heartbeats) > seen)
        assert not collector.batches


async def test_a_changed_network_makes_a_new_session_at_once(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector, running(agent, collector):
        await collector.until(lambda: bool(collector.heartbeats))
        agent.uplink.renew()
        await collector.until(lambda: len(collector.hellos) == 2)
        assert collector.goodbyes == ["network_change"]
        assert not agent.waits


def receipt(
    batch: envelope_pb2.Batch,
    status: intake_pb2.Status.ValueType,
    *,
    reason: str = "",
    retry_after_s: int = 0,
) -> intake_pb2.Receipt:
    return intake_pb2.Receipt(
        sequence=batch.sequence, status=status, reason=reason, retry_after_s=retry_after_s
    )
