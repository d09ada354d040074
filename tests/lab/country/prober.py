"""Runs experiments from many places of the lab at once, as agents there would.

    python -m lab.country.prober < JOBS      a JSON list of jobs

A job is {"space", "config", "services", "at_once", "out", "tasks"}; a task {"experiment", "target",
"service", "options"}. The program starts outside every namespace, loads all that it needs once and
then makes a process for each place, which is much cheaper than a program each. A line of the file
`out` is the task's number, a blank, and the measurement as protobuf in Base64.
"""

import asyncio
import base64
import ctypes
import json
import os
import random
import resource
import socket
import sys
import traceback
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

import heliograph_raw.__main__
import heliograph_raw.ttl_probes
from heliograph.clock import SystemClock
from heliograph.codec import measurement_from_pb, measurement_to_pb
from heliograph.observation import Measurement
from heliograph.plan import Limits, Service
from heliograph.services import load_services
from heliograph.v1 import observation_pb2 as pb
from heliograph_agent.config import load_config
from heliograph_agent.net.system_net import SystemNetFactory
from heliograph_agent.net.traceroute.raw_helper import MAX_LINE, RawHelper
from heliograph_agent.runtime.runner import Runner, TaskContext

CLONE_NEWNET = 0x40000000
DEADLINE_S = 80.0
AT_ONCE, TURN_S = 10, 0.25
PATIENCE_S = 8  # with each step: six transfers that wait one after another are most of the time
_Job = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """One task for the runner."""

    experiment: str
    target: str = ""
    service: Service | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    hosts: frozenset[str] = frozenset()  # these take no turns, since all must run at once


def main() -> int:
    jobs: list[_Job] = json.load(sys.stdin)
    turns = Turns(AT_ONCE)
    children = [_forked(job, turns) for job in jobs]
    ends = [os.waitpid(child, 0)[1] for child in children]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.1f} s of processor", file=sys.stderr)
    return 1 if any(ends) else 0


def _forked(job: _Job, turns: "Turns") -> int:
    child = os.fork()
    if child:
        return child
    try:
        _enter(job["space"])
        raw = _raw_helper()
        with Path(job["out"]).open("w") as out:
            asyncio.run(_look(job, turns, raw, out))
        os._exit(0)
    finally:  # nothing of the parent's may run on in its child
        traceback.print_exc()
        os._exit(1)


class Turns:
    """A limit for the tasks that start at a time in all processes.

    A loop that lacks the processor takes its own delay for the network's silence. A turn ends with
    its task, or soon: a task that waits for a timeout needs no processor.
    """

    def __init__(self, count: int) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.write(self._in, bytes(count))

    async def taken(self) -> None:
        while True:
            try:
                os.read(self._out, 1)
            except BlockingIOError:
                await self._told()
            else:
                return

    def given_back(self) -> None:
        os.write(self._in, b"\0")

    async def _told(self) -> None:
        """Wait for a turn; only one task of a process listens at a time."""
        loop = asyncio.get_running_loop()
        there = asyncio.Event()
        loop.add_reader(self._out, there.set)
        try:
            await there.wait()
        finally:
            loop.remove_reader(self._out)


def _raw_helper() -> socket.socket:
    """Run the agent's own helper in a new process that has loaded scapy already."""
    ours, theirs = socket.socketpair()
    if os.fork():
        theirs.close()
        return ours
    ours.close()
    os.dup2(theirs.fileno(), 0)
    os.dup2(theirs.fileno(), 1)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    with suppress(OSError):  # the asker left
        heliograph_raw.__main__.main()
    os._exit(0)


@asynccontextmanager
async def _raw(line: socket.socket) -> AsyncIterator[RawHelper]:
    reader, writer = await asyncio.open_unix_connection(sock=line, limit=MAX_LINE)
    await reader.readline()  # that it is ready
    yield RawHelper(cast("Process", SimpleNamespace(stdin=writer, stdout=reader)))
    writer.close()


class _Factory(SystemNetFactory):
    """The helper of `line` in place of one that it starts."""

    line: socket.socket

    def start_raw_helper(self) -> AbstractAsyncContextManager[RawHelper]:
        return _raw(self.line)


def _enter(space: str) -> None:
    with Path(f"/run/netns/{space}").open() as place:
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"no way into {space}")


async def _look(job: _Job, turns: Turns, raw: socket.socket, out: IO[str]) -> None:
    known = load_services(Path(job["services"]))
    net = replace(
        load_config(Path(job["config"])).net_config(known.services),
        resolv_conf=f"/etc/netns/{job['space']}/resolv.conf",
        connect_s=PATIENCE_S,
        tls_s=PATIENCE_S,
        http_s=PATIENCE_S,
        body_s=PATIENCE_S,
        exchange_s=PATIENCE_S,
        hop_s=PATIENCE_S,
    )
    door = _Factory(net, SystemClock(), random.SystemRandom())
    door.line = raw
    limits = Limits(concurrency=64)
    runner = Runner(door, SystemClock(), limits, "boot", deadline_s=DEADLINE_S)
    gate = asyncio.Semaphore(job["at_once"])
    async with asyncio.TaskGroup() as group:
        for number, said in enumerate(job["tasks"]):
            service = known.get(said["service"]) if said.get("service") else None
            task = Task(said["experiment"], said["target"], service, said["options"])
            await gate.acquire()
            await turns.taken()
            telling = group.create_task(_tell(f"{number}", runner, task, out))
            telling.add_done_callback(lambda _: gate.release())
            group.create_task(_turn(telling, turns))


async def _turn(telling: "asyncio.Task[None]", turns: Turns) -> None:
    await asyncio.wait({telling}, timeout=TURN_S)
    turns.given_back()


async def _tell(number: str, runner: Runner, task: Task, out: IO[str]) -> None:
    seen = await runner.run(task, TaskContext(epoch=number))
    data = measurement_to_pb(seen).SerializeToString()
    out.write(f"{number} {base64.b64encode(data).decode()}\n")


def told(out: Path) -> dict[int, Measurement]:
    """Read a job's output: measurements by the number of their task."""
    lines = (line.split() for line in out.read_text().splitlines())
    read = {int(number): base64.b64decode(data) for number, data in lines}
    return {n: measurement_from_pb(pb.Measurement.FromString(data)) for n, data in read.items()}


if __name__ == "__main__":
    sys.exit(main())
