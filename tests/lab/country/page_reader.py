"""Read every output of a drill's collector every few seconds; check it by script.

The reader is `support.worst_day`'s: API, pages, feeds, `top`, stream, embeds and share pictures. It
lives outside the lab's namespaces, behind a window, in a thread with a separate event loop.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

from heliograph_lab.simulate import Actor, AgentSilence, ServiceTrouble
from heliograph_lab.simulate import Script as ActorScript
from lab.country import window
from lab.country.country import Country
from lab.country.pace import DrillClock
from lab.country.scenario import MESSENGERS, Script, Step
from lab.country.topology import Topology
from support.programs import eventually
from support.worst_day import truth
from support.worst_day.reader import EVERY_S, Headline, WorstDayReader
from support.worst_day.truth import Doubt, Truth

DARK = ("cut", "whitelist", "powerless")  # nothing of these places reaches the collector
# On a slow line, behind another entrance, or while lines go one by one, either may be told.
DOUBTFUL = ("degraded", "collector", "fading")
PACED_EVERY_S = 10.0
UP_S = 60.0
LEAVING_S = 120.0  # a thread that waits for answers of a busy collector


@dataclass(frozen=True, slots=True)
class Missed:
    """A headline that a step was to bring, and those that came in its place."""

    step: str
    page: str
    wanted: str
    after: Sequence[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.step}: {self.page} never said {self.wanted!r}, but {list(self.after)}"


@contextmanager
def reading(country: Country, script: Script) -> Iterator[tuple[WorstDayReader, DrillClock]]:
    """Read until the block ends; an output that cannot be read fails the block."""
    clock = DrillClock(country.pace)
    services = [name for name in country.planned_services if name in MESSENGERS]
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        window.opened(country.world, listening) as origin,
        asyncio.Runner() as runner,
    ):
        place = origin.removeprefix("http://")
        told = Truth(
            build_actors(script, country.topology, services),
            tuple(list_doubts(script, country.topology)),
        )
        is_paced = country.pace.factor > 1  # its steps are short, and its collector is busy
        every_s = PACED_EVERY_S if is_paced else EVERY_S
        reader = WorstDayReader(place, told, clock, every_s=every_s)
        task = runner.get_loop().create_task(reader.run())
        thread = Thread(target=_run, args=(runner.get_loop(), task), daemon=True)
        thread.start()
        try:
            yield reader, clock
        finally:
            runner.get_loop().call_soon_threadsafe(task.cancel)
            thread.join(LEAVING_S)
    if not task.cancelled():
        task.result()


def _run(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    loop.run_until_complete(asyncio.wait([task]))


def build_actors(script: Script, topology: Topology, services: Sequence[str]) -> ActorScript:
    """Build the script as its agents meet it: dark times, and services that fail.

    It has no end: the collector is read until late results are judged.
    """
    actors = []
    for number, agent in enumerate(topology.agents):
        network = topology.network(agent.network)
        spans = list(_list_spans(script.steps, (agent.network, agent.region)))
        silences = [AgentSilence(a, b) for a, b, state in spans if state in DARK]
        troubles = [
            ServiceTrouble(a, b, name)
            for a, b, state in spans
            if state == "messengers"
            for name in services
        ]
        actor = Actor(
            number, topology.country, topology.regions[agent.region], network.asn, network.access,
            silences=silences, troubles=troubles,
        )  # fmt: skip
        actors.append(actor)
    return ActorScript(script.name, float("inf"), actors, services=services)


def list_doubts(script: Script, topology: Topology) -> Iterator[Doubt]:
    """Yield the places and times at which either state is right."""
    for name, region in script.steps[0].states:
        network = topology.network(name)
        where = truth.Place(topology.country, topology.regions[region], network.asn, network.access)
        for since_s, until_s, state in _list_spans(script.steps, (name, region)):
            if state in DOUBTFUL:
                yield Doubt(where, since_s, until_s)


def _list_spans(
    steps: Sequence[Step], place: tuple[str, str]
) -> Iterator[tuple[float, float, str]]:
    """Join neighboring steps in which a place has one state."""
    at_s = since_s = 0.0
    state = steps[0].states[place]
    for step in steps:
        if step.states[place] != state:
            yield since_s, at_s, state
            since_s = at_s
            state = step.states[place]
        at_s += step.lasts_s
    yield since_s, float("inf"), state


def find_missed(steps: Sequence[Step], headlines: Sequence[Headline]) -> Iterator[Missed]:
    """Yield headlines that never came, in order of the steps; delay does not count."""
    at: dict[str, int] = {}
    for step in steps:
        for page, wanted in step.tells.items():
            told = [line.words for line in headlines if line.page == page]
            first = at.get(page, 0)
            found = [n for n in range(first, len(told)) if re.search(wanted, told[n])]
            if found:
                at[page] = found[0]
            else:
                yield Missed(step.id, page, wanted, told[first:])


def wait_for_headlines(steps: Sequence[Step], reader: WorstDayReader) -> None:
    """Wait for the last step's headlines: a page follows its incident by seconds."""
    with contextlib.suppress(AssertionError):
        eventually(lambda: not list(find_missed(steps, reader.headlines)), "each headline", UP_S)


def tabulate(steps: Mapping[str, float], headlines: Sequence[Headline]) -> Iterator[str]:
    """Yield each headline with the step in which it was first read, and its delay.

    Args:
        steps: The second at which each step was put into force, by its id, in order.
    """
    for line in headlines:
        begun = [(step, at_s) for step, at_s in steps.items() if at_s <= line.second]
        if begun:
            step, at_s = begun[-1]
            yield f"{step:6}{line.second - at_s:+5.0f} s  {line.page}: {line.words}"
