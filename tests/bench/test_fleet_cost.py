"""What a connected agent costs the collector, beside a server that does nothing but gRPC.

The same virtual agents come to both in one run, so the machine's load falls on both alike.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph_lab.simulate.addresses import assign_addresses
from heliograph_lab.simulate.channel import connect_endpoint, read_invite
from heliograph_lab.simulate.collector_process import start_collector
from heliograph_lab.simulate.report import Cost, read_cost
from heliograph_lab.simulate.script import Actor
from heliograph_lab.simulate.worker import Command, WorkerSetup
from heliograph_lab.simulate.worker_pool import start_workers

AGENTS = int(os.environ.get("HELIOGRAPH_FLEET", "200"))
BEATS = 6 * AGENTS  # once a second each
CLOCK = SystemClock()
BARE = (sys.executable, "-m", "support.bare_intake")


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


def now(pid: int) -> Cost:
    found = read_cost(pid, time.monotonic)
    assert found is not None, "it ended"
    return found


async def price(pid: int, invite: str) -> Price:
    """Of one server, while everybody comes in and then beats."""
    actors = people()
    door = await asyncio.to_thread(connect_endpoint, read_invite(invite))
    part = WorkerSetup(
        endpoint=door, control_token=b"", actors=actors, addresses=assign_addresses(actors),
        plan=b"", speed=1.0, seconds=600.0, shared=False, seed=0,
    )  # fmt: skip
    empty = now(pid)
    async with start_workers([part]) as crew, asyncio.TaskGroup() as group:
        listening = group.create_task(crew.read_counters(0))
        await crew.wait_until(lambda t: t.enrolled == AGENTS, 60)
        await crew.send_command(Command("connect"))
        await crew.wait_until(lambda t: t.sessions == AGENTS, 60)
        here = now(pid)
        await crew.wait_until(lambda t: t.answers >= AGENTS, 30)
        before, answered = now(pid), crew.counters.answers
        await crew.wait_until(lambda t: t.answers >= answered + BEATS, 60)
        after, answers = now(pid), crew.counters.answers - answered
        listening.cancel()
    return Price(
        (after.rss_kib - empty.rss_kib) / AGENTS,
        (here.cpu_s - empty.cpu_s) / AGENTS * 1e3,
        (after.cpu_s - before.cpu_s) / answers * 1e6,
    )


@asynccontextmanager
async def bare(data: Path) -> AsyncIterator[tuple[int, str]]:
    process = await asyncio.create_subprocess_exec(
        *BARE, str(data), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    try:
        assert process.stdout is not None
        yield process.pid, (await process.stdout.readline()).decode()
    finally:
        process.kill()
        await process.wait()


@pytest.mark.slow
async def test_a_session_costs_little_more_than_grpc_asks_for(tmp_path: Path) -> None:
    async with bare(tmp_path / "bare") as (pid, invite):
        least = await price(pid, invite)
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
