"""Durable intake alone: `serve` with only ingest, beside a minimal server.

Both open, verify and append envelopes of one result durably before they acknowledge them. `serve`
also bounds, counts and dates them, and knows an agent from a stranger. What compares is CPU, since
the rates depend on what else uses the cores. HELIOGRAPH_BENCH_RESULTS is the number of results.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from heliograph_lab.simulate.processes import CollectorProcess
from support.load_bench import Sender, bare_server, flood, table
from support.load_fleet import connected_fleet
from support.load_sender import Report
from support.waiting import until_true

RESULTS = int(os.environ.get("HELIOGRAPH_BENCH_RESULTS", "2500"))
WARM = 300
AGENTS = 48
# Of the bare server's CPU in ours; 0.92 to 0.94 of three runs, and 0.8 is wanted.
LEAST_SHARE = 0.75


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[tuple[CollectorProcess, Sender]]:
    async with connected_fleet(tmp_path, AGENTS) as connected:
        yield connected


@asynccontextmanager
async def intake_alone(own: CollectorProcess) -> AsyncIterator[int]:
    """Restart the collector without another role; yield its process id."""
    await own.kill()
    serving = own.data / "serving.json"
    command = ("serve", "--data", str(own.data), "--config", str(own.data.with_suffix(".yml")))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "heliograph_collector", *command),
        *("--grpc", own.grpc, "--roles", "ingest"),
        stderr=asyncio.subprocess.DEVNULL,
    )

    def is_serving() -> bool:
        assert process.returncode is None, "ingest has ended"
        endpoints = json.loads(serving.read_text()) if serving.exists() else {}
        return endpoints.get("pid") == process.pid and "grpc" in endpoints

    try:
        await until_true(is_serving)
        yield process.pid
    finally:
        process.kill()
        await process.wait()


@pytest.mark.slow
@pytest.mark.timeout(3_600)
async def test_intake_takes_little_more_than_a_bare_server(
    bench: tuple[CollectorProcess, Sender],
) -> None:
    own, sender = bench
    await sender.leave()
    async with intake_alone(own) as pid:
        await sender.connect()
        await flood(sender, pid, WARM)
        ours = await flood(sender, pid, RESULTS)
        await sender.leave()
    async with bare_server(own.data, sender) as pid:
        await flood(sender, pid, WARM)
        bare = await flood(sender, pid, RESULTS)
    print(_report(ours, bare))
    assert ours[0].receipts == {"stored": RESULTS}
    assert bare[1] / ours[1] >= LEAST_SHARE


def _report(ours: tuple[Report, float], bare: tuple[Report, float]) -> str:
    rows = [
        ("server", "results/s", "p50, ms", "p99, ms", "CPU µs a result"),
        *(
            (
                name,
                f"{report.results / report.took_s:.0f}",
                f"{report.latency_ms(0.5):.0f}",
                f"{report.latency_ms(0.99):.0f}",
                f"{cpu_us:.0f}",
            )
            for name, (report, cpu_us) in (("ingest alone", ours), ("bare", bare))
        ),
    ]
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    share = f"CPU, bare to ours {bare[1] / ours[1]:.2f}"
    return f"\n{AGENTS} agents, one result an envelope. {load}. {share}\n{table(rows)}"
