"""What a connected agent costs the collector, beside a server that does nothing but gRPC.

The same virtual agents come to both in one run, so the machine's load falls on both alike.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph_lab.simulate.addresses import assign_addresses
from heliograph_lab.simulate.channel import connect_endpoint, read_invite
from heliograph_lab.simulate.collector_process import start_collector
from heliograph_lab.simulate.script import Actor
from heliograph_lab.simulate.worker import Command, WorkerSetup
from heliograph_lab.simulate.worker_pool import start_workers
from support.load_bench import program
from support.programs import cost_of
from support.values import present

AGENTS = int(os.environ.get("HELIOGRAPH_FLEET", "200"))
BEATS = 6 * AGENTS  # once a second each
CLOCK = SystemClock()


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


def people() -> list[Actor]:
    return [Actor(n, "KZ", asn=9198, access="mobile") for n in range(AGENTS)]


async def price(pid: int, invite: str) -> Price:
    """Of one server, while everybody comes in and then beats."""
    actors = people()
    door = await asyncio.to_thread(connect_endpoint, read_invite(invite))
    part = WorkerSetup(
        endpoint=door, control_token=b"", actors=actors, addresses=assign_addresses(actors),
        plan=b"", speed=1.0, seconds=600.0, shared=False, seed=0,
    )  # fmt: skip
    empty = cost_of(pid)
    async with start_workers([part]) as crew, asyncio.TaskGroup() as group:
        listening = group.create_task(crew.read_counters(0))
        await crew.wait_until(lambda t: t.enrolled == AGENTS, 60)
        await crew.send_command(Command("connect"))
        await crew.wait_until(lambda t: t.sessions == AGENTS, 60)
        here = cost_of(pid)
        await crew.wait_until(lambda t: t.answers >= AGENTS, 30)
        before, answered = cost_of(pid), crew.counters.answers
        await crew.wait_until(lambda t: t.answers >= answered + BEATS, 60)
        after, answers = cost_of(pid), crew.counters.answers - answered
        listening.cancel()
    return Price(
        (after.rss_kib - empty.rss_kib) / AGENTS,
        (here.cpu_s - empty.cpu_s) / AGENTS * 1e3,
        (after.cpu_s - before.cpu_s) / answers * 1e6,
    )


@pytest.mark.slow
async def test_a_session_costs_little_more_than_grpc_asks_for(tmp_path: Path) -> None:
    async with program("support.bare_intake", str(tmp_path / "bare")) as process:
        invite = await present(process.stdout).readline()
        least = await price(process.pid, invite.decode())
    async with start_collector(tmp_path, people(), 1, CLOCK) as (collector, invites):
        await collector.wait_until_ready()
        await asyncio.sleep(3)  # what its start leaves to do is not the agents' cost
        ours = await price(collector.pid, invites.volunteers)
    print(
        f"\ngRPC alone: {least}\ncollector:  {ours}\n"
        f"ratios: RSS {ours.rss_kib / least.rss_kib:.2f} (limit 2.5), "
        f"coming in {ours.connect_ms / least.connect_ms:.2f} (limit 5), "
        f"heartbeat {ours.beat_us / least.beat_us:.2f} (limit 4)"
    )
    assert ours.rss_kib / least.rss_kib <= 2.5
    assert ours.connect_ms / least.connect_ms <= 5
    assert ours.beat_us / least.beat_us <= 4
