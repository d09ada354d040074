"""One process of virtual agents: told what to play on stdin, tells how it goes on stdout.

A line each way is one JSON object. It ends when its stdin does, so it outlives nobody.
"""

import asyncio
import contextlib
import sys
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from heliograph.clock import SystemClock
from heliograph.v1 import envelope_pb2
from heliograph_collector.simulate import measuring
from heliograph_collector.simulate.agent import VERSION, Agent, Stage, key_of
from heliograph_collector.simulate.costs import raise_file_limit
from heliograph_collector.simulate.door import Channels, Door
from heliograph_collector.simulate.line import lines
from heliograph_collector.simulate.story import Actor
from heliograph_collector.simulate.tally import Tally

MAX_LINE = 256 * 1_048_576
ENROLLING = 32  # at once: each waits for a commit
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
    per_second: float  # connections begun
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
    raise_file_limit(len(part.actors))
    try:
        await _play(part, reader)
    except* EOFError:
        pass  # the parent is gone, and so are we


async def _play(part: Part, reader: asyncio.StreamReader) -> None:
    """Raises EOFError, in a group, when the parent is gone."""
    stage = _stage(part, asyncio.get_running_loop().create_future())
    agents, connect = _agents(part, stage), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        others = [
            group.create_task(_say(stage.tally)),
            group.create_task(_hear(reader, connect, stage.zero)),
        ]
        await _enrol(agents)
        await connect.wait()
        async with asyncio.TaskGroup() as crowd:
            for number, agent in enumerate(agents):
                crowd.create_task(_late(agent, number / part.per_second, part.seconds))
        for task in others:
            task.cancel()
    stage.tally.done = True
    _print(stage.tally)


async def _enrol(agents: list[Agent]) -> None:
    waiting = iter(agents)

    async def some() -> None:
        for agent in waiting:
            await agent.enrol()

    async with asyncio.TaskGroup() as group:
        for _ in range(ENROLLING):
            group.create_task(some())


async def _hear(
    reader: asyncio.StreamReader, connect: asyncio.Event, zero: "asyncio.Future[float]"
) -> None:
    """Never returns. Raises EOFError."""
    while line := await reader.readline():
        word = msgspec.json.decode(line, type=Word)
        if word.say == "connect":
            connect.set()
        elif not zero.done():
            zero.set_result(asyncio.get_running_loop().time() + word.in_s)
    raise EOFError


async def _late(agent: Agent, begin_s: float, until_s: float) -> None:
    await asyncio.sleep(begin_s)
    await agent.live(until_s)


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
