"""A line that may move a sixth of what the default plan would."""

import itertools
from dataclasses import replace

import pytest

from heliograph.services import load_shipped_services
from heliograph.traffic_estimate import describe_rarity
from heliograph_agent.schedule import Allowance, make_rounds
from heliograph_collector.fleet.plans import build_default_plan
from support.schedule_simulation import DAY, PricedSimulation, S


@pytest.mark.long
def test_a_mobile_line_checks_every_messenger_each_ten_minutes() -> None:
    """A mobile line checks every messenger each ten minutes, by 300 MB a month.

    The default plan has two thousand.
    """
    plan = build_default_plan(load_shipped_services()).for_role("volunteer")
    plan = replace(plan, limits=replace(plan.limits, bytes_per_month=300_000_000))
    simulation = PricedSimulation(plan)
    simulation.history = replace(simulation.history, allowance=Allowance(5 * S, 9_000_000.0))
    simulation.run(DAY / 2)
    print(f"{2 * simulation.moved / 1e6:.1f} MB a day. {describe_rarity(plan)}")
    assert simulation.moved < 5_000_000
    (light,) = (t for t in make_rounds(plan) if t.is_light)
    assert len(light.parts) == 10, "all messengers"
    times = simulation.starts[light.target]
    assert max(after - before for before, after in itertools.pairwise(times)) < 610 * S
    assert "light checks every 10 min" in describe_rarity(plan)
    hellos = sum(task.experiment == "hello" for _, task in simulation.order)
    assert hellos >= 5, "a filter that drops browsers alone fails no other test"
