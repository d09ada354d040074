"""A session with a real gRPC server on loopback: TLS, real spool, real codec."""

import asyncio
from dataclasses import replace

import pytest

from heliograph import keys
from heliograph.clock import SystemClock
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import envelope_pb2, intake_pb2
from heliograph_agent.state import COLLECTOR
from heliograph_agent.uplink.reconnection import SHORT_WAIT_PASSES
from heliograph_agent.uplink.transports import Reason
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
from support.uplink_agent import SIGNER, Agent, number_of, running


async def test_acknowledged_envelopes_leave_spool(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector, running(agent, collector):
        await agent.put(40)  # more than one window
        await collector.until(lambda: len(collector.batches) == 40)
        await agent.empty()
        assert (await agent.spool.read_counts()).waiting == 0
        assert collector.stored == set(range(1, 41))
        assert collector.hellos[0].plan_version == 4
        dialed = Entrance(carrier=Carrier.STREAM, host="127.0.0.1", port=collector.port)
        assert collector.hellos[0].entrance == dialed.tag
        assert collector.heartbeats[0].link == "online"


@pytest.mark.parametrize("on_battery", [None, False, True])
async def test_power_is_said_where_known(
    agent: Agent, who: Identity, on_battery: bool | None
) -> None:
    agent.facts = replace(agent.facts, on_battery=on_battery, uptime_s=300)
    async with intake(who=who) as collector, running(agent, collector):
        await collector.until(lambda: bool(collector.heartbeats))
    for message in (collector.hellos[0], collector.heartbeats[0]):
        said = message.on_battery if message.HasField("on_battery") else None
        assert said is on_battery
    assert collector.hellos[0].uptime_s == 300


async def test_clean_stop_says_goodbye(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector:
        async with running(agent, collector):
            await collector.until(lambda: bool(collector.heartbeats))
        await collector.until(lambda: collector.goodbyes == ["shutdown"])
    assert not agent.uplink.status.connected


async def test_unacknowledged_envelopes_stay_in_spool(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector, running(agent, collector):
        collector.acknowledge = False
        await agent.put(20)
        await collector.until(lambda: len(collector.batches) >= 16)
        agent.uplink.wake()
        for _ in range(2):  # a seventeenth would be here before the agent has taken two plans
            agent.plans.clear()
            await collector.send(intake_pb2.CollectorMessage(plan=collector.plan))
            await agent.until(lambda: bool(agent.plans))
        assert (await agent.spool.read_counts()).waiting == 20
        assert len(collector.batches) == 16, "the window bounds what is under way"


async def test_broken_session_sends_same_envelope_again(agent: Agent, who: Identity) -> None:
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


async def test_restarted_collector_gets_results(agent: Agent, who: Identity) -> None:
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


DUPLICATE, REJECTED = intake_pb2.STATUS_DUPLICATE, intake_pb2.STATUS_REJECTED


@pytest.mark.parametrize(
    ("status", "sequence", "rejected"),
    [
        (DUPLICATE, number_of(2), []),
        (REJECTED, number_of(2), [(number_of(2), "bad_batch")]),
        # A receipt without a sequence, as for an unknown key, means the oldest one in flight.
        (REJECTED, 0, [(number_of(2), "bad_batch")]),
    ],
)
async def test_duplicate_is_settled_and_rejected_batch_is_quarantined(
    agent: Agent,
    who: Identity,
    status: intake_pb2.Status.ValueType,
    sequence: int,
    rejected: list[tuple[int, str]],
) -> None:
    def answer(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
        if batch.sequence != number_of(2):
            return stored(batch)
        return intake_pb2.Receipt(sequence=sequence, status=status, reason="bad_batch")

    async with intake(who=who) as collector, running(agent, collector):
        collector.answer = answer
        await agent.deliver(4)
        counts = await agent.spool.read_counts()
        assert (counts.waiting, counts.quarantined) == (0, len(rejected))
        assert agent.rejected == rejected
        assert len(collector.batches) == 4, "and is not sent again"


async def test_collector_of_an_earlier_version_loses_no_results(
    agent: Agent, who: Identity
) -> None:
    """A collector of an earlier version loses no results.

    It refuses what it cannot open, and takes it once it was upgraded.
    """
    offered: list[int] = []

    def refuse(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
        offered.append(batch.sequence)
        return make_receipt(batch, REJECTED, "unknown_version")

    async with intake(who=who) as collector, running(agent, collector):
        collector.answer = refuse
        await agent.put()
        await collector.until(lambda: offered == [number_of(1)])
        await collector.hang_up()
        collector.answer = stored
        await agent.empty()
        assert agent.rejected == []
        assert collector.stored == {1}


async def test_retry_sends_again_later(agent: Agent, who: Identity) -> None:
    refused: list[int] = []

    def answer(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
        if batch.sequence in refused:
            return stored(batch)
        refused.append(batch.sequence)
        return make_receipt(batch, intake_pb2.STATUS_RETRY, retry_after_s=1)

    async with intake(who=who) as collector, running(agent, collector):
        collector.answer = answer
        await agent.deliver(2)
        assert sorted(refused) == [number_of(1), number_of(2)]
        assert len(collector.batches) == 4


async def test_silent_collector_ends_session(agent: Agent, who: Identity) -> None:
    agent.heartbeat_s = 1
    async with intake(who=who) as collector:
        collector.answers_heartbeats = False
        async with running(agent, collector):
            await collector.until(lambda: len(collector.hellos) == 2)
            assert agent.uplink.status.last_failure == "no_answer"


async def test_heartbeats_measure_clock_offset(agent: Agent, who: Identity) -> None:
    agent.heartbeat_s = 1
    async with intake(who=who) as collector:
        collector.skew_us = 90_000_000
        async with running(agent, collector):
            await collector.until(lambda: len(collector.heartbeats) >= 2)
            clock = SystemClock()
            offset = agent.uplink.offsets.offset_us(clock.wall_us(), clock.monotonic_us())
    assert offset is not None
    assert abs(offset - 90_000_000) < 2_000_000


def know_certificate(agent: Agent, collector: Collector, who: Identity, pin: bytes) -> None:
    """Let the agent store the certificate of `who` for the collector."""
    agent.know(collector)
    stored_collector = agent.state.collector()
    assert stored_collector
    certificate = who.certificate.decode()
    agent.state.save_collector(replace(stored_collector, pin=pin, certificate=certificate))


async def test_wrong_key_gets_nothing(agent: Agent, who: Identity) -> None:
    async with intake(who=identity()) as stranger:
        know_certificate(agent, stranger, who, pin=who.pin)
        async with running(agent, stranger, enroll=False, know=False):
            await agent.until(lambda: agent.uplink.status.last_failure == "pin_mismatch")
        assert not stranger.hellos
        assert not stranger.batches


async def test_renewed_certificate_with_same_key_is_accepted(agent: Agent, who: Identity) -> None:
    renewed = identity(who.key)
    async with intake(who=renewed) as collector:
        know_certificate(agent, collector, who, pin=renewed.pin)
        async with running(agent, collector, know=False):
            await collector.until(lambda: bool(collector.hellos))


async def test_unreadable_state_is_retried(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector:
        agent.state.path(COLLECTOR).mkdir()  # stands in for a disk that fails to read
        async with running(agent, collector, know=False):
            await agent.until(lambda: agent.uplink.status.last_failure == Reason.STATE)
            agent.state.path(COLLECTOR).rmdir()
            agent.know(collector)
            await agent.until(lambda: agent.uplink.status.connected)


async def test_unknown_agent_backs_off(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector, running(agent, collector, enroll=False):
        # One of its attempts may also be cut off by the server's own goodbye to the connection.
        await agent.until(lambda: agent.uplink.status.last_failure == "unknown_agent")
        await agent.until(lambda: len(agent.waits) >= 4)
    assert agent.waits[:4] == [1, 2, 3, 4]


async def test_busy_collector_is_not_asked_before_retry_after(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector:
        collector.full_for_s = 600
        async with running(agent, collector):
            await agent.until(lambda: agent.uplink.status.last_failure == "busy")
            await agent.until(lambda: bool(agent.waits))
            collector.full_for_s = 0
            await asyncio.sleep(0.2)  # twenty times its own patience
            assert collector.knocks == 1


async def test_shorten_wait_after_many_failures(agent: Agent, who: Identity) -> None:
    """After many failures the wait is long; when the anchors answer, it is cut short."""
    agent.patient_from = 6
    async with intake(who=who) as collector, running(agent, collector, enroll=False):
        await agent.until(lambda: 6 in agent.waits)
        agent.uplink.shorten_wait()
        await agent.until(lambda: agent.waits.count(6) == 2)
    assert agent.waits == [1, 2, 3, 4, 5, 6, SHORT_WAIT_PASSES, 5, 6]


async def test_an_online_link_shortens_no_wait_that_the_collector_asked_for(
    agent: Agent, who: Identity
) -> None:
    async with intake(who=who) as collector, running(agent, collector, enroll=False):
        await agent.until(lambda: len(agent.waits) > SHORT_WAIT_PASSES)
        collector.full_for_s = 600
        await agent.until(lambda: agent.uplink.status.last_failure == "busy")
        count = len(agent.waits)
        agent.uplink.shorten_wait()
        await asyncio.sleep(0.05)  # five times its own patience
        assert len(agent.waits) == count
        agent.uplink.restart()  # on another network it tries at once
        await agent.until(lambda: len(agent.waits) > count)


async def test_advice_pauses_batches(agent: Agent, who: Identity) -> None:
    agent.heartbeat_s = 1
    async with intake(who=who) as collector, running(agent, collector):
        await collector.until(lambda: bool(collector.heartbeats))
        advice = intake_pb2.Advice(retry_after_s=600)
        await collector.send(intake_pb2.CollectorMessage(advice=advice))
        await collector.send(intake_pb2.CollectorMessage(plan=collector.plan))
        await agent.until(lambda: bool(agent.plans))
        await agent.put()
        heartbeat_count = len(collector.heartbeats)
        await collector.until(lambda: len(collector.heartbeats) > heartbeat_count)
        assert not collector.batches


async def test_advice_on_intervals_reaches_the_schedule(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector, running(agent, collector):
        await collector.until(lambda: bool(collector.heartbeats))
        for advice in (intake_pb2.Advice(reason="renew"), intake_pb2.Advice(interval_percent=400)):
            await collector.send(intake_pb2.CollectorMessage(advice=advice))
        await agent.until(lambda: bool(agent.percents))
    assert agent.percents == [400]


async def test_network_change_restarts_session(agent: Agent, who: Identity) -> None:
    async with intake(who=who) as collector, running(agent, collector):
        await collector.until(lambda: bool(collector.heartbeats))
        agent.uplink.restart()
        await collector.until(lambda: len(collector.hellos) == 2)
        assert collector.goodbyes == ["network_change"]
        assert not agent.waits
