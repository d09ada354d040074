"""Measure the cost of a session for a server: memory, connecting, heartbeats."""

import asyncio
import time
from dataclasses import dataclass

from heliograph_lab.simulate.addresses import assign_addresses
from heliograph_lab.simulate.channel import connect_endpoint, read_invite
from heliograph_lab.simulate.processes import start_workers
from heliograph_lab.simulate.script import Actor
from heliograph_lab.simulate.worker import Command, WorkerSetup
from support.programs import cost_of

IDLE_S = 6.0
SETTLE_BEATS = 5  # of each agent: what its arrival leaves to do is no cost of a heartbeat


@dataclass(frozen=True)
class Price:
    rss_kib: float  # of a session
    connect_ms: float  # CPU, enrolment and hello included
    beat_us: float  # CPU

    def __str__(self) -> str:
        return (
            f"{self.rss_kib:.0f} KiB a session, {self.connect_ms:.2f} ms CPU to come in, "
            f"{self.beat_us:.0f} us CPU a heartbeat"
        )


def people(agents: int) -> list[Actor]:
    return [Actor(n, "KZ", asn=9198, access="mobile") for n in range(agents)]


async def price(pid: int, invite: str, actors: list[Actor]) -> Price:
    """Measure one server while all agents connect and then beat once a second each."""
    agents, beats = len(actors), 6 * len(actors)
    door = await asyncio.to_thread(connect_endpoint, read_invite(invite))
    part = WorkerSetup(
        endpoint=door, control_token=b"", actors=actors, addresses=assign_addresses(actors),
        plan=b"", speed=1.0, seconds=600.0, shared=False, seed=0,
    )  # fmt: skip
    fixed_cores = await _measure_idle(pid)
    empty = cost_of(pid)
    async with start_workers([part]) as crew, asyncio.TaskGroup() as group:
        listening = group.create_task(crew.read_counters(0))
        await crew.wait_until(lambda t: t.enrolled == agents, 60)
        await crew.send_command(Command("connect"))
        await crew.wait_until(lambda t: t.sessions == agents, 60)
        here = cost_of(pid)
        await crew.wait_until(lambda t: t.answers >= SETTLE_BEATS * agents, 60)
        before, answered, since_s = cost_of(pid), crew.counters.answers, time.monotonic()
        await crew.wait_until(lambda t: t.answers >= answered + beats, 60)
        after, answers = cost_of(pid), crew.counters.answers - answered
        idle_s = fixed_cores * (time.monotonic() - since_s)
        listening.cancel()
    return Price(
        (after.rss_kib - empty.rss_kib) / agents,
        (here.cpu_s - empty.cpu_s) / agents * 1e3,
        (after.cpu_s - before.cpu_s - idle_s) / answers * 1e6,
    )


async def _measure_idle(pid: int) -> float:
    """Measure the server's CPU while it has no agent, to subtract it from heartbeats."""
    before = cost_of(pid).cpu_s
    await asyncio.sleep(IDLE_S)
    return (cost_of(pid).cpu_s - before) / IDLE_S
