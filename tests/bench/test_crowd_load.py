"""Measure a crowd of sessions, the plan's results and a cut: delay, memory, CPU.

The figures are the delay of the cut's row and of pages, and the memory and CPU of each process.
HELIOGRAPH_BENCH_SESSIONS is the crowd, 300; a sixth of it is the country (30,000 and 5,000 are what
one machine is meant for). Each session has a separate connection, as far as open files and local
ports allow; of the others eight share one. With 20,000 open files that is 12,285, and 17,715 share
2,215. The crowd is enrolled beforehand, since an invite admits 50 agents a second.

HELIOGRAPH_BENCH_RATE is the rate of results, 4, and HELIOGRAPH_BENCH_SECONDS their duration, 150:
the cut comes after a third of it. 450 a second for 90 s is all that two cores carry: beside it the
row should come within 60 s, and pages should not be slower. The crowd sends heartbeats alone; 48
agents send the results, of the plan's own mix, sealed beforehand, since sealing takes more CPU than
all that a collector does with them.
"""

import asyncio
import os
import re
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from heliograph_collector.ingest.rate_limits import GRPC_FILES
from heliograph_lab.simulate.addresses import assign_addresses
from heliograph_lab.simulate.agent import derive_key
from heliograph_lab.simulate.channel import (
    SESSIONS_PER_CONNECTION,
    connect_endpoint,
    read_invite,
)
from heliograph_lab.simulate.processes import (
    CollectorProcess,
    WorkerPool,
    start_collector,
    start_workers,
)
from heliograph_lab.simulate.report import list_children
from heliograph_lab.simulate.script import Actor, AgentSilence
from heliograph_lab.simulate.subscriber import IncidentSubscriber, ObservedIncident
from heliograph_lab.simulate.worker import Command, WorkerSetup
from support.load_bench import Phase, Reader, Sender, Stretch, table
from support.load_fleet import CLOCK, connected_sender, list_actors
from support.load_sender import Seal
from support.page_watch import PageWatch
from support.programs import cost_of

SESSIONS = int(os.environ.get("HELIOGRAPH_BENCH_SESSIONS", "300"))
RATE = float(os.environ.get("HELIOGRAPH_BENCH_RATE", "4"))
SECONDS = float(os.environ.get("HELIOGRAPH_BENCH_SECONDS", "150"))
SENDERS = 48
CUT = "UA"
CUT_S = SECONDS / 3
WORLD = ("US", "IN", "ID", "NG", "MX", "JP", "TR", "VN", "PH", "EG", "IR", "IT", "ZA", "KE", "CO",
         "ES", "AR", "PL", "MA", "PE", "RO", "CL", "NL", "SE", "GR")  # fmt: skip
COUNTRIES = (*WORLD, CUT)
NETWORKS = 8  # of a country, half of them mobile
PER_PROCESS = 5_000  # agents
RESERVE = 500  # connections of the collector that are not the crowd's; assumed
PORTS_SHARE = 0.9  # of the range of local ports; the rest is for others
LOCAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
WARM = 256
PATIENCE_S = 900.0
# What somebody at a screen reads of a cut, and what clients ask for.
PAGES = ("/", f"/countries/{CUT}", f"/countries/{CUT}?window=week", "/countries/KZ",
         "/services/signal", "/incidents", "/api/v1/status", "/api/v1/incidents")  # fmt: skip
_ROLE = re.compile(r'heliograph_role_cpu_seconds\{role="(\w+)"\} (\S+)')


def list_crowd(first: int) -> list[Actor]:
    """List the crowd: a sixth in the country that is cut, the rest in 25 others."""
    cut = [AgentSilence(CUT_S, 1e9)]
    crowd = []
    for number in range(SESSIONS):
        country = CUT if number % 6 == 0 else WORLD[number % len(WORLD)]
        network = number // 6 % NETWORKS
        crowd.append(
            Actor(
                first + number,
                country,
                asn=10_000 + 100 * COUNTRIES.index(country) + network,
                access="mobile" if network % 2 else "fixed",
                silences=cut if country == CUT else (),
            )
        )
    return crowd


def count_own_connections(sessions: int, connections: int) -> int:
    """Count the sessions with their own connection if so many connections may be open."""
    if sessions <= connections:
        return sessions
    return max(
        0, (SESSIONS_PER_CONNECTION * connections - sessions) // (SESSIONS_PER_CONNECTION - 1)
    )


def _count_connections() -> int:
    """Count the connections that the collector's files and the crowd's ports allow."""
    low, high = map(int, LOCAL_PORTS.read_text().split())
    ports = int(PORTS_SHARE * (high - low))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files == resource.RLIM_INFINITY:
        return ports
    return min(ports, int(GRPC_FILES * files)) - RESERVE


def split_crowd(crowd: list[Actor]) -> list[tuple[list[Actor], bool]]:
    """Divide the crowd into processes, by whether their agents share connections."""
    own = count_own_connections(len(crowd), _count_connections())
    return [
        (part[first : first + PER_PROCESS], is_shared)
        for part, is_shared in ((crowd[:own], False), (crowd[own:], True))
        for first in range(0, len(part), PER_PROCESS)
    ]


@dataclass
class Crowd:
    """The collector, who sends it results, and the processes of the crowd."""

    own: CollectorProcess
    sender: Sender
    pool: WorkerPool


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Crowd]:
    senders = list_actors(SENDERS)
    crowd = list_crowd(len(senders))
    everybody = [*senders, *crowd]
    addresses = assign_addresses(everybody)
    known_days = {derive_key(0, a.number)[0].public: a.known_days for a in crowd}
    async with start_collector(tmp_path, everybody, 15, CLOCK, enrolled=known_days) as (
        own,
        invites,
    ):
        await own.wait_until_ready()
        one = WorkerSetup(
            endpoint=await asyncio.to_thread(connect_endpoint, read_invite(invites.volunteers)),
            control_token=b"", actors=[], addresses={}, plan=b"", speed=1.0,
            seconds=SECONDS + PATIENCE_S, shared=False, seed=0, earlier=invites.enrollment,
        )  # fmt: skip
        setups = [
            replace(
                one,
                actors=part,
                addresses={actor.number: addresses[actor.number] for actor in part},
                shared=is_shared,
            )
            for part, is_shared in split_crowd(crowd)
        ]
        async with (
            connected_sender(own, invites, senders, addresses) as sender,
            _connected_crowd(crowd, setups) as pool,
        ):
            yield Crowd(own, sender, pool)


@asynccontextmanager
async def _connected_crowd(
    crowd: list[Actor], setups: list[WorkerSetup]
) -> AsyncIterator[WorkerPool]:
    async with start_workers(setups) as pool, asyncio.TaskGroup() as group:
        reading = [group.create_task(pool.read_counters(n)) for n in range(len(setups))]
        await pool.wait_until(lambda c: c.enrolled == len(crowd), PATIENCE_S)
        await pool.send_command(Command("connect"))
        begun_s = time.monotonic()
        await pool.wait_until(lambda c: c.arrived == len(crowd), PATIENCE_S)
        print(f"\n{len(crowd)} sessions within {time.monotonic() - begun_s:.0f} s")
        yield pool
        for task in reading:
            task.cancel()


@pytest.mark.slow
@pytest.mark.timeout(5_400)
async def test_a_cut_is_told_beside_a_crowd_and_nothing_is_lost(bench: Crowd) -> None:
    own, sender, pool = bench.own, bench.sender, bench.pool
    reader = Reader(own.http, (own.data / "keys" / "operator.password").read_text().strip())
    watch = IncidentSubscriber(own.http, CLOCK)
    pages = PageWatch(own.http, PAGES)
    stretch = Stretch(sender, reader, own.pid, None, patience_s=PATIENCE_S)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch.run())
        begun_s = time.monotonic()
        warm = await sender.seal(Seal(results=WARM, seconds=1.0))
        seal_us = max(1_000, round(1.5e6 * (time.monotonic() - begun_s) / WARM))
        await stretch.run("warm", paced=False, sealed=warm, incident_s=0)
        order = Seal(results=round(RATE * SECONDS), seconds=SECONDS, seal_us=seal_us)
        sealed = await sender.seal(order)
        while await watch.is_blind():  # noqa: ASYNC110 - another process ends it
            await asyncio.sleep(1.0)  # the collector's own minutes after its start
        lead_s = max(1.0, sealed.begun_us / 1e6 - time.time())
        await pool.send_command(Command("begin", lead_s))
        onset_s = time.monotonic() + lead_s + CUT_S
        before, beats = await _read_costs(reader, pool), pool.counters.answers
        reading = group.create_task(pages.run())
        phase = await stretch.run("crowd", paced=True, sealed=sealed, incident_s=0)
        after, beats = await _read_costs(reader, pool), pool.counters.answers - beats
        reading.cancel()
        watching.cancel()
    told = [seen for seen in watch.incidents.values() if seen.is_silence]
    spent = {name: after[name] - before[name] for name in after}
    await reader.close()
    print(_report(phase, spent, beats, told, onset_s, _list_memory(own.pid)))
    print(pages.report())
    print(f"troubles of the crowd: {pool.counters.troubles}")
    assert phase.sent.receipts == {"stored": phase.results}
    assert told
    assert {seen.scope["country"] for seen in told} == {CUT}


async def _read_costs(reader: Reader, pool: WorkerPool) -> dict[str, float]:
    """CPU seconds of `serve`, judge and ingest processes, and of the crowd's."""
    metrics = await reader.text("/metrics")
    found = {role: float(value) for role, value in _ROLE.findall(metrics)}
    ingest = re.search(r"^heliograph_ingest_cpu_seconds (\S+)", metrics, re.MULTILINE)
    found["ingest"] = float(ingest[1]) if ingest else 0.0
    found["the crowd's processes"] = sum(cost_of(process.pid).cpu_s for process in pool.processes)
    return found


def _list_memory(pid: int) -> dict[str, float]:
    """RSS in MiB of the collector and of each process that it started."""
    found = {}
    for number in (pid, *list_children(pid)):
        words = Path(f"/proc/{number}/cmdline").read_text().split("\0")
        name = next((word for word in words if "heliograph_collector" in word), words[0])
        status = Path(f"/proc/{number}/status").read_text()
        rss = re.search(r"VmRSS:\s+(\d+)", status)
        found[f"{name.rpartition('.')[2]} {number}"] = int(rss[1]) / 1_024 if rss else 0.0
    return found


def _report(
    phase: Phase, spent: dict[str, float], beats: int, told: list[ObservedIncident],
    onset_s: float, memory: dict[str, float],
) -> str:  # fmt: skip
    sent = phase.sent
    own = count_own_connections(SESSIONS, _count_connections())
    rows = [
        ("quantity", "measured", "of what"),
        ("sessions", f"{SESSIONS}", f"a sixth of them cut after {CUT_S:.0f} s"),
        ("results", f"{phase.results}", f"{RATE:g} a second for {SECONDS:.0f} s"),
        ("heartbeats answered", f"{beats}", "of the crowd"),
        ("of their own connection", f"{own}", "eight of the others share one"),
        ("until the last was visible, s", f"{phase.drained_s:.1f}", "from the first sent"),
        ("lag, s", f"{phase.lag_s:.1f}", "greatest age of the newest visible result"),
        ("acknowledgement, p50, ms", f"{sent.latency_ms(0.5):.0f}", "from when it was due"),
        ("acknowledgement, p99, ms", f"{sent.latency_ms(0.99):.0f}", ""),
        *(
            (f"cores, {name}", f"{cpu_s / phase.drained_s:.2f}", "")
            for name, cpu_s in spent.items()
        ),
        ("cores, the results' sender", f"{sent.cpu_s / phase.drained_s:.2f}", ""),
        *((f"RSS, MiB, {name}", f"{mib:.0f}", "") for name, mib in memory.items()),
        ("RSS, MiB, all", f"{sum(memory.values()):.0f}", "of the collector"),
        *(
            (
                f"row of {seen.scope['country']}, s",
                f"{seen.first_s - onset_s:.1f}",
                f"after the cut; confirmed: {_since(seen.confirmed_s, onset_s)}",
            )
            for seen in told
        ),
    ]
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return f"\n{load}\n{table(rows)}"


def _since(moment_s: float | None, onset_s: float) -> str:
    return "never" if moment_s is None else f"{moment_s - onset_s:.1f}"
