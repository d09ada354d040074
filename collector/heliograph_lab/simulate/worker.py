"""Worker: one process of virtual agents; commands on stdin, counters on stdout.

Each line is one JSON object. The process ends with its stdin, so it never outlives its parent.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import msgspec

from heliograph.clock import SystemClock
from heliograph.codec import plan_from_pb
from heliograph.error_group import find_first_error
from heliograph.v1 import plan_pb2
from heliograph_collector.app.garbage_search import limit_garbage_search
from heliograph_collector.ingest.rate_limits import raise_file_limit
from heliograph_lab.simulate.agent import VirtualAgent, derive_key
from heliograph_lab.simulate.channel import (
    Channels,
    CollectorEndpoint,
    EnrollmentRefusedError,
    open_connections,
)
from heliograph_lab.simulate.counters import AgentCounters
from heliograph_lab.simulate.outbox import ResultSealer
from heliograph_lab.simulate.post_entrance import PostEntrance, open_post_entrance
from heliograph_lab.simulate.script import Actor
from heliograph_lab.simulate.worker_context import AgentEnrollment, WorkerContext
from heliograph_lab.simulate.workload import Workload

MAX_LINE = 256 * 1_048_576
CONCURRENCY = 32  # agents that enrol or connect
_REPORT_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """The first line on stdin: all inputs except the start time."""

    endpoint: CollectorEndpoint
    control_token: bytes
    actors: list[Actor] = field(repr=False)
    addresses: dict[int, str] = field(repr=False)
    plan: bytes  # heliograph.v1.Plan with their tasks and intervals
    speed: float
    seconds: float
    shared: bool
    seed: int
    earlier: AgentEnrollment | None = None  # None: they enroll by an invite


@dataclass(frozen=True, slots=True)
class Command:
    """A later line on stdin: `connect`, then `begin` in `in_s` seconds."""

    name: Literal["connect", "begin"]
    in_s: float = 0.0


def main() -> int:
    """Run the worker until its stdin ends, or until the collector refuses an agent."""
    with contextlib.suppress(KeyboardInterrupt):  # the parent handles Ctrl-C
        try:
            asyncio.run(_main())
        except BaseExceptionGroup as errors:
            error = find_first_error(errors)
            if not isinstance(error, EnrollmentRefusedError):
                raise
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


async def _main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE)
    await loop.connect_read_pipe(partial(asyncio.StreamReaderProtocol, reader), sys.stdin)
    line = await reader.readline()
    if not line.endswith(b"\n"):
        return  # the parent ended before it had said all
    setup = msgspec.json.decode(line, type=WorkerSetup)
    # 2,000 agents with a heartbeat a second each: 90 and 95 µs of CPU for one in place of 105, and
    # no search that makes all of them late (two runs each, in turn, load 6).
    limit_garbage_search()
    raise_file_limit(len(setup.actors))
    await _run_worker(setup, reader)


async def _run_worker(setup: WorkerSetup, reader: asyncio.StreamReader) -> None:
    async with open_post_entrance(setup.endpoint) as post:
        await _run_agents(setup, reader, post)


async def _run_agents(
    setup: WorkerSetup, reader: asyncio.StreamReader, post: PostEntrance | None
) -> None:
    plan = plan_from_pb(plan_pb2.Plan.FromString(setup.plan))
    workload = Workload(plan=plan, seed=setup.seed, speed=setup.speed)
    context = WorkerContext(
        tokens=(setup.endpoint.token, setup.control_token),
        clock=SystemClock(),
        counters=AgentCounters(),
        workload=workload,
        start_time=asyncio.get_running_loop().create_future(),
        speed=setup.speed,
        post=post,
        earlier=setup.earlier,
    )
    agents = _build_agents(setup, context)
    connect_event = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        others = [
            group.create_task(_report_counters(context.counters)),
            group.create_task(_read_commands(reader, connect_event, context.start_time)),
        ]
        await _run_in_turn(agents, VirtualAgent.enroll)
        await connect_event.wait()
        async with asyncio.TaskGroup() as crowd:

            async def start_agent(virtual_agent: VirtualAgent) -> None:
                crowd.create_task(virtual_agent.run_until(setup.seconds))
                await virtual_agent.arrived.wait()

            await _run_in_turn(agents, start_agent)
        for task in others:
            task.cancel()
    context.counters.done = True
    _print_counters(context.counters)


async def _run_in_turn(
    agents: list[VirtualAgent], act: Callable[[VirtualAgent], Awaitable[None]]
) -> None:
    """Run `act` for a few agents at a time, because a real fleet enrolls over weeks."""
    waiting = iter(agents)

    async def run_waiting() -> None:
        for next_agent in waiting:
            await act(next_agent)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(run_waiting())


async def _read_commands(
    reader: asyncio.StreamReader, connect_event: asyncio.Event, start_time: "asyncio.Future[float]"
) -> None:
    """Apply commands; exit the process at the end of stdin.

    Without a parent there is nothing to save, and goodbyes of thousands of agents take long. The
    kernel closes the connections.
    """
    while line := await reader.readline():
        command = msgspec.json.decode(line, type=Command)
        if command.name == "connect":
            connect_event.set()
        elif not start_time.done():
            start_time.set_result(asyncio.get_running_loop().time() + command.in_s)
    os._exit(1)


async def _report_counters(counters: AgentCounters) -> None:
    while True:
        await asyncio.sleep(_REPORT_S)
        _print_counters(counters)


def _print_counters(counters: AgentCounters) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(counters) + b"\n")
    sys.stdout.buffer.flush()


def _build_agents(setup: WorkerSetup, context: WorkerContext) -> list[VirtualAgent]:
    connections = open_connections(
        len(setup.actors), Channels(setup.endpoint), is_shared=setup.shared
    )
    agents = []
    for actor, connection in zip(setup.actors, connections, strict=True):
        signer, rng = derive_key(setup.seed, actor.number)
        address = setup.addresses.get(actor.number, "")
        schedule = context.workload.build_schedule(actor)
        outbox = ResultSealer(actor, signer, context.clock, context.counters)
        agents.append(
            VirtualAgent(actor, address, connection, signer, rng, context, schedule, outbox)
        )
    return agents
