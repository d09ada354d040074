"""CPU of a result by role: one machine, a journal on servers, and several hosts.

The same envelopes of the default plan go to each form, one form after the other: first those that
wake the judges, then those that are measured. HELIOGRAPH_BENCH_RESULTS is the number of the latter;
of a few hundred, each process judges most for the first time. They come as fast as they are taken,
or HELIOGRAPH_BENCH_RATE a second: then blocks are small. HELIOGRAPH_BENCH_ROUNDS is how often all
forms take their turn.

A result costs what all processes take, the servers and the processes that others start included,
until its rows are merged. What they take while nothing arrives is measured before the results, when
those of before are merged, and left out; measured after them, it had their merges in it, which were
up to 11 % of a core. Both forms on one machine are printed: in the first `serve` judges itself, the
second has a judge process beside it, which is the default of a machine of two cores.
Printed are figures; asserted is that all is judged, by the judges that each form has.
"""

import asyncio
import os
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from heliograph import envelope
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1 import intake_pb2_grpc
from heliograph.v1.envelope_pb2 import Envelope
from heliograph_collector.fleet import Keyring, open_keyring
from heliograph_collector.fleet.keyring import SealingKeys
from heliograph_lab.simulate.agent import derive_key
from support.cluster import ALONE, Cluster, cluster
from support.intake import Call, Caller, channel, greeted, receipts, say_goodbye
from support.load_bench import table
from support.programs import cost_of
from support.serve_process import NO_CONTROL, Served, start
from support.unit_load import build_fleet, build_workload, list_batches, write_load
from support.waiting import until

RESULTS = int(os.environ.get("HELIOGRAPH_BENCH_RESULTS", "2000"))
RATE = float(os.environ.get("HELIOGRAPH_BENCH_RATE", "0"))  # of all agents; 0: no limit
ROUNDS = int(os.environ.get("HELIOGRAPH_BENCH_ROUNDS", "1"))
WAKING = 2_600  # a leader asks for judges after four blocks of 512 that left some
JOINING = 400  # sent by fours until all of them judge: each begins with a block
AGENTS = 48
IN_FLIGHT = 16
ASK_S = 0.5  # asked more often, the answers were a twentieth of what the leader takes
IDLE_S = 20.0  # in which what a process takes by itself is measured
SETTLE_S = 30.0  # cells follow their results after ten seconds, and the engine merges after both


class Sealed(NamedTuple):
    agent: int
    envelope: Envelope


@dataclass
class Form:
    """One way to run a collector."""

    name: str
    leader: Served
    entrances: Sequence["Entrance"]
    list_roles: Callable[[], dict[str, list[int]]]  # process ids
    judges: int = 0

    def measure(self) -> Counter[str]:
        """Return the CPU seconds so far, by role."""
        pids = self.list_roles()
        return Counter({role: sum(cost_of(pid).cpu_s for pid in pids[role]) for role in pids})

    def read_metric(self, name: str) -> float:
        _, text = self.leader.get("/metrics", operator=True)
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    async def wait_judged(self) -> None:
        """Wait until the detectors have read what was sent, and all is judged."""

        async def is_judged() -> bool:
            waiting_s = await asyncio.to_thread(self.read_metric, "heliograph_judge_lag_seconds")
            return not waiting_s

        await asyncio.sleep(3)  # detectors read what is new each second
        await until(is_judged, 1_200, pause_s=ASK_S)


@dataclass(frozen=True)
class Entrance:
    """The address and keys of a host whose agents are enrolled."""

    endpoint: str
    keyring: Keyring


def seal_load(data: Path, envelopes: int) -> list[Sealed]:
    """Enroll the fleet, and measure and seal its first results."""
    write_load(data, data.with_suffix(".none"), agents=AGENTS, results=0)
    (data / "journal.db").unlink()
    (sealing_key,) = SealingKeys(data).list_all()
    begun_s = time.time() - 6 * 3_600
    sealed = []
    for actor, batch in list_batches(build_workload(), build_fleet(AGENTS), begun_s, envelopes):
        signer = derive_key(0, actor.number)[0]
        body = envelope.seal_batch(batch, signer, sealing_key.public)
        sealed.append(Sealed(actor.number, Envelope.FromString(body)))
    return sealed


async def send(entrances: Sequence[Entrance], load: Sequence[Sealed], rate: float = 0.0) -> None:
    """Send each agent's envelopes in a session until all are acknowledged."""
    by_agent: defaultdict[int, list[Envelope]] = defaultdict(list)
    for sealed in load:
        by_agent[sealed.agent].append(sealed.envelope)
    at_once = asyncio.Semaphore(AGENTS if rate else 8)
    pause_s = AGENTS / rate if rate else 0.0  # of an agent, after each envelope
    async with asyncio.TaskGroup() as group:
        for number, envelopes in by_agent.items():
            entrance = entrances[number % len(entrances)]
            group.create_task(send_all(entrance, number, envelopes, at_once, pause_s))


async def greeted_when_free(stub: "intake_pb2_grpc.IntakeAsyncStub", caller: Caller) -> Call:
    """Repeat the hello while the collector is busy, as agents do."""
    while True:
        try:
            return await greeted(stub, caller)
        except grpc.aio.AioRpcError as refused:
            if refused.details() != "busy":
                raise
            await asyncio.sleep(1)  # no event tells when a real collector is free


async def send_all(
    entrance: Entrance,
    number: int,
    envelopes: Sequence[Envelope],
    at_once: asyncio.Semaphore,
    pause_s: float,
) -> None:
    in_flight = 1 if pause_s else IN_FLIGHT
    caller = Caller(entrance.keyring, derive_key(0, number)[0])
    async with at_once, channel(entrance) as stub:
        call = await greeted_when_free(stub, caller)
        await asyncio.sleep(pause_s * number / AGENTS)  # the agents' turns
        for at in range(0, len(envelopes), in_flight):
            part = envelopes[at : at + in_flight]
            for each in part:
                await call.write(pb.AgentMessage(envelope=each))
            for receipt in await receipts(call, len(part)):
                assert receipt.status == pb.STATUS_STORED, receipt
            await asyncio.sleep(pause_s)  # the rate that is measured; 0 where there is no limit
        await say_goodbye(call)


@asynccontextmanager
async def on_one_machine(folder: Path, base: Path, workers: int = 0) -> AsyncIterator[Form]:
    """Run ingest in a process, other roles in another, and judge processes."""
    data = folder / "embedded"
    shutil.copytree(base, data)
    served = start(data, config=f"{NO_CONTROL}judge:\n  workers: {workers}\n")
    name = f"embedded, {workers} beside" if workers else "embedded"
    try:
        await asyncio.to_thread(served.wait_for, "http")
        entrances = [find_entrance(served)]
        yield Form(name, served, entrances, lambda: {"serve": [served.process.pid]}, workers)
    finally:
        stop(served)


@asynccontextmanager
async def on_servers(folder: Path, base: Path) -> AsyncIterator[Form]:
    """Run all roles in one process, with the journal on three servers."""
    data = folder / "servers"
    folder.joinpath("one").mkdir()
    shutil.copytree(base, data)
    with cluster(folder / "one") as running:
        served = start(data, config=running.build_config() + ALONE)

        def list_roles() -> dict[str, list[int]]:
            return {"serve": [served.process.pid], "NATS servers": list_servers(running)}

        try:
            await asyncio.to_thread(served.wait_for, "http")
            yield Form("JetStream, R = 3", served, [find_entrance(served)], list_roles)
        finally:
            stop(served)


@asynccontextmanager
async def on_hosts(folder: Path, base: Path) -> AsyncIterator[Form]:
    """Run two ingest hosts, two judge hosts, and the collector that leads."""
    folder.joinpath("many").mkdir()
    shutil.copytree(base, folder / "many" / "leader0")
    with cluster(folder / "many") as running:
        leader = running.start_leader(0, ALONE)
        await asyncio.to_thread(leader.wait_for, "http")
        hosts = [await asyncio.to_thread(running.start_host, number) for number in range(2)]
        for number in range(2):
            await asyncio.to_thread(running.start_judge, number)

        def list_roles() -> dict[str, list[int]]:
            return {
                "leader": [leader.process.pid],
                "ingest": [host.served.process.pid for host in hosts],
                "judge": [judge.process.pid for judge in running.judges.values()],
                "NATS servers": list_servers(running),
            }

        entrances = [Entrance(host.endpoint, host.keyring) for host in hosts]
        yield Form("2 ingest, 2 judge", leader, entrances, list_roles, judges=2)


def list_servers(running: Cluster) -> list[int]:
    return [process.pid for process in running.servers.processes if process is not None]


def find_entrance(served: Served) -> Entrance:
    return Entrance(str(served.places["grpc"]), open_keyring(served.data, ()))


def stop(served: Served) -> None:
    served.process.kill()
    served.process.wait()


async def measure(form: Form, load: Sequence[Sealed]) -> "Measured":
    """Wake the judges, then measure."""
    await send(form.entrances, load[:WAKING])
    await form.wait_judged()
    for at in range(WAKING, WAKING + JOINING, 4):
        if form.read_metric("heliograph_judge_workers ") == form.judges:
            break
        await send(form.entrances, load[at : at + 4])
        await form.wait_judged()
    await asyncio.sleep(SETTLE_S)
    before_idle = form.measure()
    await asyncio.sleep(IDLE_S)
    before = form.measure()
    idle = {role: (before[role] - before_idle[role]) / IDLE_S for role in before}
    results = load[-RESULTS:]
    begun_s = time.monotonic()
    await send(form.entrances, results, RATE)
    await form.wait_judged()
    judged_s = time.monotonic() - begun_s
    await asyncio.sleep(SETTLE_S)
    seconds = time.monotonic() - begun_s
    spent = form.measure()
    assert form.read_metric("heliograph_judge_workers ") == form.judges
    gross = {role: (spent[role] - before[role]) / len(results) for role in before}
    net = {role: gross[role] - idle[role] * seconds / len(results) for role in before}
    return Measured(form.name, gross, net, idle, len(results) / judged_s)


@dataclass(frozen=True)
class Measured:
    """CPU seconds by role that a form took for a result."""

    name: str
    gross: Mapping[str, float]
    net: Mapping[str, float]
    idle: Mapping[str, float]  # cores
    rate: float  # results a second, until all were judged

    @property
    def total(self) -> float:
        return sum(self.net.values())

    def list_lines(self, base: float) -> list[tuple[str, ...]]:
        """List the lines of the table, with the ratio to the first form of the round."""
        lines = [
            (self.name, role, f"{1e3 * net:.2f}", f"{1e3 * self.gross[role]:.2f}",
             f"{100 * self.idle[role]:.1f}", "", "")
            for role, net in self.net.items()
        ]  # fmt: skip
        gross = f"{1e3 * sum(self.gross.values()):.2f}"
        ratio = f"{self.total / base:.2f}"
        total = f"{1e3 * self.total:.2f}"
        return [*lines, (self.name, "all", total, gross, "", ratio, f"{self.rate:.0f}")]


HEADER = ("form", "role", "CPU ms a result", "with idle", "idle % of a core", "ratio", "results/s")


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.xdist_group("nats")
@pytest.mark.timeout(3_600)
async def test_a_result_costs_what_is_stated_wherever_it_is_judged(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    load = await asyncio.to_thread(seal_load, base, WAKING + JOINING + RESULTS)
    lines: list[tuple[str, ...]] = [HEADER]
    for number in range(ROUNDS):
        first = 0.0
        for form in (on_one_machine, partial(on_one_machine, workers=1), on_hosts, on_servers):
            folder = tmp_path / f"{number}-{len(lines)}"
            folder.mkdir()
            async with form(folder, base) as running:
                measured = await measure(running, load)
            shutil.rmtree(folder)
            first = first or measured.total
            lines += measured.list_lines(first)
    how = f"{RATE:.0f} a second" if RATE else "as fast as they are taken"
    print(f"\n{RESULTS} results, {how}, load {os.getloadavg()[0]:.1f}.\n{table(lines)}")
