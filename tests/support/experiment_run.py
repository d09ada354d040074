"""Run one experiment over a scripted world and return its observations."""

from collections.abc import Mapping

from heliograph.observation import Observation
from heliograph_agent.experiments import find_experiment
from heliograph_agent.experiments.experiment import Target, parse_config
from heliograph_agent.net import StepTrace
from support.fake_net import FakeDoor, World
from support.hand_clock import HandClock


async def observed(
    name: str,
    target: Target | str,
    world: World,
    options: Mapping[str, str] | None = None,
    visited: Mapping[str, tuple[str, ...]] | None = None,
) -> list[Observation]:
    """Run an experiment, or visit addresses by label."""
    experiment = find_experiment(name)
    clock = HandClock()
    trace = StepTrace(clock)
    await experiment.run(
        Target(value=target) if isinstance(target, str) else target,
        parse_config(experiment, options or {}),
        FakeDoor(world, clock).bind(trace, visited),
    )
    return trace.observations
