"""One experiment over a scripted world: what it observed."""

from collections.abc import Mapping

from heliograph.observation import Observation
from heliograph_agent.experiments import by_name
from heliograph_agent.experiments.experiment import Target, parse_config
from heliograph_agent.net import Trace
from support.fake_net import FakeDoor, World
from support.hand_clock import HandClock


async def observed(
    name: str, target: Target | str, world: World, options: Mapping[str, str] | None = None
) -> list[Observation]:
    experiment = by_name(name)
    clock = HandClock()
    trace = Trace(clock)
    await experiment.run(
        Target(text=target) if isinstance(target, str) else target,
        parse_config(experiment, options or {}),
        FakeDoor(world, clock).bind(trace),
    )
    return trace.observations
