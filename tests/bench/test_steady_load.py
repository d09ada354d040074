"""A steady rate of results before a real collector: lag and CPU of its roles.

HELIOGRAPH_BENCH_RATE is the rate, 450 results a second; HELIOGRAPH_BENCH_SECONDS the duration, 60
(the goal is 600 s with a lag of at most 5 s); HELIOGRAPH_BENCH_AGENTS the number of agents. Another
process seals the envelopes beforehand. Printed are figures; asserted is that nothing is lost, since
how far the collector falls behind depends on what else uses the cores.
"""

import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliograph_lab.simulate.processes import CollectorProcess
from support.load_bench import Phase, Reader, Sender, Stretch, table
from support.load_fleet import connected_fleet
from support.load_sender import Seal
from support.programs import cost_of

AGENTS = int(os.environ.get("HELIOGRAPH_BENCH_AGENTS", "48"))
RATE = int(os.environ.get("HELIOGRAPH_BENCH_RATE", "450"))
SECONDS = int(os.environ.get("HELIOGRAPH_BENCH_SECONDS", "60"))
SEAL_US = 3_500  # a result, of the first ones; sealed earlier, the sending waits
SEAL_ROOM = 1.2  # times what sealing the first ones took, imports included; assumed
LEAST_SEAL_US = 500
WARM = 2_048  # results; before them the engine and the rules have done nothing
_ROLE = re.compile(r'heliograph_role_cpu_seconds\{role="(\w+)"\} (\S+)')
_INTAKE = re.compile(r"^heliograph_ingest_cpu_seconds (\S+)", re.MULTILINE)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[tuple[CollectorProcess, Sender]]:
    async with connected_fleet(tmp_path, AGENTS, {}) as connected:
        yield connected


@pytest.mark.slow
@pytest.mark.timeout(7_200)
async def test_nothing_of_a_steady_rate_is_lost(
    bench: tuple[CollectorProcess, Sender],
) -> None:
    own, sender = bench
    reader = Reader(own.http, (own.data / "keys" / "operator.password").read_text().strip())
    stretch = Stretch(sender, reader, own.pid, None, patience_s=1_800.0)
    began_s = time.monotonic()
    warm = await sender.seal(Seal(results=WARM, seconds=1.0, seal_us=SEAL_US))
    seal_us = round(SEAL_ROOM * 1e6 * (time.monotonic() - began_s) / WARM)
    await stretch.run("warm", paced=False, sealed=warm, incident_s=0)
    order = Seal(results=RATE * SECONDS, seconds=SECONDS, seal_us=max(LEAST_SEAL_US, seal_us))
    sealed = await sender.seal(order)
    before = await _read_roles(reader)
    phase = await stretch.run("steady", paced=True, sealed=sealed, incident_s=0)
    after = await _read_roles(reader)
    await reader.close()
    await sender.leave()
    spent = {role: after[role] - before[role] for role in after}
    print(_report(phase, spent, cost_of(own.pid).rss_kib / 1_024))
    assert phase.sent.receipts == {"stored": phase.results}


async def _read_roles(reader: Reader) -> dict[str, float]:
    """Return CPU seconds of `serve`, its judge processes, and an ingest process."""
    metrics = await reader.text("/metrics")
    found = [*_ROLE.findall(metrics), *(("ingest", value) for value in _INTAKE.findall(metrics))]
    return {role: float(value) for role, value in found}


def _report(phase: Phase, spent: dict[str, float], rss_mib: float) -> str:
    sent = phase.sent
    rows = [
        ("quantity", "measured", "of what"),
        ("results", f"{phase.results}", f"{RATE} a second for {SECONDS} s"),
        ("until the last was visible, s", f"{phase.drained_s:.1f}", "from the first sent"),
        ("lag, s", f"{phase.lag_s:.1f}", "greatest age of the newest visible result"),
        ("acknowledgement, p50, ms", f"{sent.latency_ms(0.5):.0f}", "from when it was due"),
        ("acknowledgement, p99, ms", f"{sent.latency_ms(0.99):.0f}", ""),
        *(
            (f"CPU ms a result, {role}", f"{1e3 * cpu_s / phase.results:.2f}", "")
            for role, cpu_s in spent.items()
        ),
        ("CPU ms a result, the generator", f"{1e3 * sent.cpu_s / phase.results:.2f}", "sending"),
        ("RSS, MiB", f"{rss_mib:.0f}", "of all processes"),
    ]
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return f"\n{AGENTS} agents, one result an envelope. {load}.\n{table(rows)}"
