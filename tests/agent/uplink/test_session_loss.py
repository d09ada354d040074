"""A session that breaks on a working network is reported by another transport."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from heliograph.plan import Carrier, Entrance
from heliograph.units import SECOND_US
from heliograph.v1 import intake_pb2
from heliograph_agent.uplink.reconnection import LEAST_BETWEEN_US, WORD_S, SessionLoss
from heliograph_agent.uplink.transports import Transport, TransportSelector, list_transports
from support.hand_clock import HandClock
from support.post_entrance import post_entrance
from support.scripted_intake import Collector, Identity, plan_of, serving
from support.uplink_agent import Agent, running

if TYPE_CHECKING:
    from support.scripted_intake import Context

ENDPOINT = "collector.example:7443"
STREAM = Entrance(carrier=Carrier.STREAM, host="collector.example", port=7443)
OWN_POST = Entrance(carrier=Carrier.POST, host="collector.example", port=443)
FRONTS = [Entrance(carrier=Carrier.POST, host=f"front{n}.example", port=443) for n in range(4)]
RELAY = Entrance(carrier=Carrier.RELAY, host="192.0.2.7", port=9443, pin="ab" * 32)


@asynccontextmanager
async def broken_session(
    agent: Agent, who: Identity, tmp_path: Path
) -> AsyncIterator[tuple[Collector, AsyncExitStack]]:
    """Yield an agent in a session, and the stack whose end breaks it.

    Another entrance stays open.
    """
    collector = Collector(who, plan_of())
    async with AsyncExitStack() as session, AsyncExitStack() as stack:
        entrance = await stack.enter_async_context(post_entrance(collector, tmp_path))
        await session.enter_async_context(serving(collector))
        await stack.enter_async_context(running(agent, collector, entrance))
        await agent.until(lambda: agent.uplink.status.connected)
        yield collector, session


async def test_broken_session_is_told_by_another_transport(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    agent.network_works = True
    async with broken_session(agent, who, tmp_path) as (collector, session):
        await session.aclose()
        await collector.until(lambda: len(collector.batches) == 1)
        await agent.until(lambda: agent.uplink.status.transport.startswith("post://"))
    assert agent.losses == 1


async def test_dead_network_tells_nothing(agent: Agent, who: Identity, tmp_path: Path) -> None:
    async with broken_session(agent, who, tmp_path) as (collector, session):
        await session.aclose()
        await agent.until(lambda: agent.losses == 1)
        await agent.deliver()  # it still delivers
    assert (agent.losses, len(collector.batches)) == (1, 1)


class StoppingCollector(Collector):
    """A collector that restarts: it ends each session as heliograph_collector does."""

    async def Session(  # noqa: N802
        self, request_iterator: AsyncIterator[intake_pb2.AgentMessage], context: "Context"
    ) -> AsyncIterator[intake_pb2.CollectorMessage]:
        async for message in super().Session(request_iterator, context):
            yield message
        await context.abort(grpc.StatusCode.UNAVAILABLE, "stopped")


@pytest.mark.parametrize("kind", [Collector, StoppingCollector])
async def test_session_that_the_collector_ends_is_no_loss(
    agent: Agent, who: Identity, kind: type[Collector]
) -> None:
    agent.network_works = True
    collector = kind(who, plan_of())
    async with serving(collector), running(agent, collector):
        await collector.until(lambda: bool(collector.heartbeats))
        await collector.hang_up()
        await collector.until(lambda: len(collector.hellos) == 2)
    assert (agent.losses, agent.uplink.status.last_failure) == (0, "ended")


def test_flapping_line_gets_one_word_per_interval() -> None:
    clock = HandClock()
    loss = SessionLoss(clock)
    due = []
    for _ in range(20):
        due.append(loss.begin())
        loss.end()
        clock.advance_us(LEAST_BETWEEN_US // 10)
    assert due == [True, *[False] * 9] * 2


@pytest.mark.parametrize("transports", [1, 3, 5])
def test_dead_transports_leave_time_for_the_last(transports: int) -> None:
    """Each dead one takes its whole share, after anchors that took 10 s."""
    clock = HandClock()
    loss = SessionLoss(clock)
    assert loss.limit_s(transports) is None, "nothing is lost yet"
    loss.begin()
    began_us = clock.monotonic_us()
    clock.advance_us(10 * SECOND_US)
    for remaining in range(transports, 0, -1):
        limit_s = loss.limit_s(remaining)
        assert limit_s is not None
        assert limit_s >= 4
        assert clock.monotonic_us() - began_us <= (WORD_S - 4) * SECOND_US, "in time for its word"
        clock.advance_us(int(limit_s * SECOND_US))
    loss.end()
    assert loss.limit_s(transports) is None


def test_other_hosts_come_first_and_a_lasting_session_once_more() -> None:
    clock = HandClock()
    listed = (OWN_POST, FRONTS[0], RELAY)
    transports = list_transports(ENDPOINT, listed, None)
    own, front, relay = transports[1:]
    lost = transports[0]
    for had_lasted in (True, False):
        selector = TransportSelector(clock, None)  # type: ignore[arg-type] # no probe is planned
        assert selector.select_next(transports) == lost
        if had_lasted:
            selector.record_delivery(lost, transports)
        selector.order_after_loss(lost, transports)
        tried: list[Transport] = []
        while not tried or selector.remaining:
            tried.append(selector.select_next(transports))
            selector.record_failure(tried[-1])
        assert tried == ([lost] if had_lasted else []) + [front, own, relay]


def test_agents_are_spread_over_entrances_that_are_alike() -> None:
    listed = (OWN_POST, *FRONTS, RELAY)
    agents = [number.to_bytes(16, "big") for number in range(400)]

    def order(agent: bytes, entrances: tuple[Entrance, ...]) -> list[Entrance]:
        return [t.entrance for t in list_transports(ENDPOINT, entrances, None, agent=agent)]

    for agent in agents:
        first, *posts, last = order(agent, listed)
        assert (first, last) == (STREAM, RELAY), "other kinds keep their places"
        assert {*posts} == {OWN_POST, *FRONTS}
        fewer = order(agent, (*FRONTS, RELAY))
        assert fewer == [e for e in order(agent, listed) if e is not OWN_POST], "stable"
    seconds = Counter(order(agent, listed)[1] for agent in agents)
    assert min(seconds.values()) > 400 / 5 / 2, "evenly"
    assert order(agents[0], listed) == order(agents[0], listed)
