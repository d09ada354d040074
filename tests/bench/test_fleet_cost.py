"""The cost of a connected agent, beside a server that does nothing but gRPC.

The same virtual agents come to both in one run, so the machine's load falls on both alike.
"""

import asyncio
import os
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph_lab.simulate.processes import start_collector
from support.load_bench import program
from support.session_price import people, price
from support.values import present

AGENTS = int(os.environ.get("HELIOGRAPH_FLEET", "200"))
CLOCK = SystemClock()


@pytest.mark.slow
async def test_a_session_costs_little_more_than_grpc_asks_for(tmp_path: Path) -> None:
    async with program("support.bare_intake", str(tmp_path / "bare")) as process:
        invite = await present(process.stdout).readline()
        least = await price(process.pid, invite.decode(), people(AGENTS))
    async with start_collector(tmp_path, people(AGENTS), 1, CLOCK) as (collector, invites):
        await collector.wait_until_ready()
        await asyncio.sleep(3)  # what its start leaves to do is not the agents' cost
        ours = await price(collector.pid, invites.volunteers, people(AGENTS))
    print(
        f"\ngRPC alone: {least}\ncollector:  {ours}\n"
        f"ratios: RSS {ours.rss_kib / least.rss_kib:.2f} (limit 2.5), "
        f"coming in {ours.connect_ms / least.connect_ms:.2f} (limit 5), "
        f"heartbeat {ours.beat_us / least.beat_us:.2f} (limit 4)"
    )
    assert ours.rss_kib / least.rss_kib <= 2.5
    assert ours.connect_ms / least.connect_ms <= 5
    assert ours.beat_us / least.beat_us <= 4
