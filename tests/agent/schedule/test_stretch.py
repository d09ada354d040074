"""Longer intervals on the collector's request: no bursts, and no delayed anchors."""

import random

import pytest

from heliograph.plan import PlannedTask
from heliograph_agent.schedule import History, find_due_tasks, make_tasks
from support.schedule_simulation import S, Simulation

from .test_schedule import every, many, plan_of


def test_stretched_intervals_move_each_task_in_proportion_and_no_anchor() -> None:
    """Stretched intervals move each task in proportion, and no anchor.

    So no burst comes when the collector asks for it or takes it back.
    """
    light = [
        PlannedTask(experiment="tcp", target=f"l{i}:1", interval_s=150, options={"light": "true"})
        for i in range(3)
    ]
    plan = plan_of(*many(20, 1_000), *light, every(300, "anchors", "connectivity"))
    simulation = Simulation(plan).run(4_000)
    rates: list[dict[str, int]] = []
    for percent in (400, 0, 99_999, 100):
        began_us = simulation.now_us
        simulation.history = simulation.history.stretch(plan, percent, began_us)
        due, _ = find_due_tasks(plan, simulation.history, began_us, simulation.rng)
        assert len(due) <= 1, "most are on their way"
        while simulation.now_us < began_us + 4_000 * S:
            renewed = simulation.history.stretch(plan, percent, simulation.now_us)
            simulation.history = renewed
            simulation.run(300)
        late = [task for at, task in simulation.order if at >= began_us]
        rates.append(
            {
                "anchors": sum(task.experiment == "connectivity" for task in late),
                "light": sum(bool(task.parts) for task in late),
                "rare": sum(task.target.startswith("h") for task in late),
            }
        )
    slow, plain, slowest, again = rates
    assert all(rate["anchors"] >= 12 for rate in rates)
    assert 5 <= slow["light"] <= 8
    assert 14 <= slow["rare"] <= 26
    for rate in (plain, again):
        assert 23 <= rate["light"] <= 31
        assert 70 <= rate["rare"] <= 90
    assert slowest["light"] <= 2, "and never more than 25 times the interval"
    assert slowest["rare"] >= 1


def test_a_wish_for_longer_intervals_is_forgotten() -> None:
    """The collector that asked may be cut off since, and this agent with it."""
    plan = plan_of(every(600, "a.example:1"))
    history = History.create(0, random.Random(1)).record_start(make_tasks(plan)[0], 0)
    asked = history.stretch(plan, 2_500, 60 * S)
    assert asked.end_stretch(plan, 959 * S) == asked
    ended = asked.end_stretch(plan, 961 * S)
    assert ended.interval_percent == 100
    (at_us,) = ended.starts.values()
    passed = 60 / 600 + (961 - 60) / (600 * 25)
    assert at_us == pytest.approx((961 - 600 * passed) * S, abs=S)
