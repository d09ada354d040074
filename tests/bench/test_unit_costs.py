"""The collector's cost for 30,000 agents: unit costs times rates, as a table.

The stages run one by one on envelopes of the plan's own mix (`support.unit_load`), a session and
its heartbeats on a collector that runs. HELIOGRAPH_BENCH_RESULTS is the number of results, 400.
Printed are figures; asserted is a ratio within the run, which the machine's load leaves.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph.units import HOUR_S
from heliograph_lab.simulate.processes import start_collector
from support.load_bench import answer_of, table
from support.session_price import Price, people, price
from support.stage_costs import STAGES
from support.unit_load import write_load

AGENTS = 30_000  # those of the table
RESULTS = int(os.environ.get("HELIOGRAPH_BENCH_RESULTS", "400"))
MEASURED_AGENTS = 48
SESSIONS = 400  # few, and what a collector does each second would count as their heartbeats
HEARTBEATS = HOUR_S / 15  # of one agent in an hour, by the default plan
RENEWALS = 60 / 24  # a session lives for 24 minutes
MOST = 45.0  # times opening, which is signature and cipher, of a result's whole way


@pytest.mark.slow
@pytest.mark.timeout(1_800)
async def test_thirty_thousand_agents_cost_what_is_stated(tmp_path: Path) -> None:
    data, folder, running = (tmp_path / name for name in ("data", "stages", "running"))
    envelopes = tmp_path / "envelopes"
    for made in (data, folder, running):
        made.mkdir()
    per_hour = await asyncio.to_thread(
        write_load, data, envelopes, agents=MEASURED_AGENTS, results=RESULTS
    )
    stages = await answer_of(
        "support.stage_costs", "stages", str(data), str(envelopes), str(folder)
    )
    session = await _price_session(running)
    spent_us: Mapping[str, float] = stages["cpu_us"]
    print(
        f"\n{AGENTS:,} agents, {per_hour:.0f} results per agent and hour, of "
        f"{stages['observations'] / stages['results']:.1f} observations and "
        f"{stages['verdicts'] / stages['results']:.1f} verdict rows. {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}.\n{table(_rows(spent_us, session, per_hour))}"
    )
    whole = sum(spent_us.values()) / spent_us["open"]
    print(f"a result's whole way to opening it: {whole:.0f} (limit {MOST:.0f})")
    assert whole <= MOST


async def _price_session(folder: Path) -> Price:
    actors = people(SESSIONS)
    async with start_collector(folder, actors, 1, SystemClock()) as (collector, invites):
        await collector.wait_until_ready()
        await asyncio.sleep(3)  # what its start leaves to do is not the agents' cost
        return await price(collector.pid, invites.volunteers, actors)


def _rows(spent_us: Mapping[str, float], session: Price, per_hour: float) -> list[tuple[str, ...]]:
    units = [(f"result: {stage}", spent_us[stage], per_hour) for stage in STAGES]
    units.append(("heartbeat", session.beat_us, HEARTBEATS))
    units.append(("session", 1e3 * session.connect_ms, RENEWALS))
    rows = [(name, cost_us, AGENTS * rate / HOUR_S) for name, cost_us, rate in units]
    cores = sum(cost_us * rate for _, cost_us, rate in rows) / 1e6
    return [
        ("what", "CPU \N{MICRO SIGN}s", "a second", "cores"),
        *(
            (name, f"{cost_us:.0f}", f"{rate:.0f}", f"{cost_us * rate / 1e6:.2f}")
            for name, cost_us, rate in rows
        ),
        ("all of it", "", "", f"{cores:.2f}"),
    ]
