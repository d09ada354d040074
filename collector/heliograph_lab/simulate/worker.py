"""One process of virtual agents: told what to play on stdin, tells how it goes on stdout.

A line each way is one JSON object. It ends when its stdin does, so it outlives nobody.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from heliograph.clock import SystemClock
from heliograph.v1 import envelope_pb2
from heliograph_collector.ingest.rate_limits import room_for
from heliograph_lab.simulate import measuring
from heliograph_lab.simulate.agent import VERSION, Agent, Stage, key_of
from heliograph_lab.simulate.channel import Channels, Door
from heliograph_lab.simulate.connection import lines
from heliograph_lab.simulate.counters import Tally
from heliograph_lab.simulate.script import Actor

MAX_LINE = 256 * 1_048_576
AT_ONCE = 32  # agents that enrol or connect
_SAY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The first line: everything but when it begins."""

    door: Door
    control_token: bytes
    actors: list[Actor] = field(repr=False)
    addresses: dict[int, str] = field(repr=False)
    services: list[str]
    seconds: float
    measure_every_s: float
    shared: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Word:
    """What follows it: connect; then in how many seconds the story begins."""

    say: Literal["connect", "begin"]
    in_s: float = 0.0


def main() -> int:
    """Wants no arguments."""
    with contextlib.suppress(KeyboardInterrupt):  # the parent says goodbye for all of us
        asyncio.run(_main())
    return 0


async def _main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    part = msgspec.json.decode(await reader.readline(), type=Part)
    room_for(len(part.actors))
    await _play(part, reader)


async def _play(part: Part, reader: asyncio.StreamReader) -> None:
    stage = _stage(part, asyncio.get_running_loop().create_future())
    agents, connect = _agents(part, stage), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        others = [
            group.create_task(_say(stage.tally)),
            group.create_task(_hear(reader, connect, stage.zero)),
        ]
        await _in_turn(agents, Agent.enrol)
        await connect.wait()
        async with asyncio.TaskGroup() as crowd:

            async def come_in(agent: Agent) -> None:
                crowd.create_task(agent.live(part.seconds))
                await agent.arrived.wait()

            await _in_turn(agents, come_in)
        for task in others:
            task.cancel()
    stage.tally.done = True
    _print(stage.tally)


async def _in_turn(agents: list[Agent], act: Callable[[Agent], Awaitable[None]]) -> None:
    """A few at once: a fleet comes over weeks, and this one must not fall over its own feet."""
    waiting = iter(agents)

    async def some() -> None:
        for agent in waiting:
            await act(agent)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())


async def _hear(
    reader: asyncio.StreamReader, connect: asyncio.Event, zero: "asyncio.Future[float]"
) -> None:
    """Never returns. Without a parent there is nothing to play for and nothing to save, and a
    proper goodbye of thousands would take its time: the kernel shuts the connections."""
    while line := await reader.readline():
        word = msgspec.json.decode(line, type=Word)
        if word.say == "connect":
            connect.set()
        elif not zero.done():
            zero.set_result(asyncio.get_running_loop().time() + word.in_s)
    os._exit(1)


async def _say(tally: Tally) -> None:
    while True:
        await asyncio.sleep(_SAY_S)
        _print(tally)


def _print(tally: Tally) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(tally) + b"\n")
    sys.stdout.buffer.flush()


def _stage(part: Part, zero: "asyncio.Future[float]") -> Stage:
    measuring_now = bool(part.services) and part.measure_every_s > 0

    def batch(agent: Agent, sequence: int) -> envelope_pb2.Batch:
        second = asyncio.get_running_loop().time() - zero.result() if zero.done() else 0.0
        found = [
            measuring.visit(
                service,
                sequence * len(part.services) + i,
                measuring.fails(agent.actor, service, second, agent.rng),
                stage.clock,
            )
            for i, service in enumerate(part.services)
        ]
        return measuring.batch(agent.id, VERSION, sequence, found, stage.clock, agent.actor)

    stage = Stage(
        tokens=(part.door.token, part.control_token),
        clock=SystemClock(),
        tally=Tally(),
        batch=batch,
        zero=zero,
        ship_every_s=part.measure_every_s if measuring_now else 0.0,
    )
    return stage


def _agents(part: Part, stage: Stage) -> list[Agent]:
    ways = lines(len(part.actors), Channels(part.door).open, shared=part.shared)
    found = []
    for actor, line in zip(part.actors, ways, strict=True):
        signer, rng = key_of(part.seed, actor.number)
        found.append(Agent(actor, part.addresses.get(actor.number, ""), line, signer, rng, stage))
    return found
