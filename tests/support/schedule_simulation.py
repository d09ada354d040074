"""Run an agent's plan for days in seconds: its schedule does not use a clock."""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from heliograph.plan import Plan, PlannedTask
from heliograph.traffic_estimate import estimate_run_bytes
from heliograph_agent.schedule import History, Task, find_due_tasks

S = 1_000_000
DAY = 86_400


@dataclass
class Simulation:
    """Run an agent's schedule; each task takes a fixed time and costs fixed bytes."""

    plan: Plan
    seed: int = 1
    cost: int = 0
    duration_s: float = 1.0
    begin_us: int = 5 * S
    starts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    order: list[tuple[int, Task]] = field(default_factory=list)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now_us = self.begin_us
        self.history = History.create(self.now_us, self.rng)
        self.ends: list[tuple[int, Task]] = []

    def run(self, seconds: float, *, asleep: Callable[[int], int] | None = None) -> "Simulation":
        """Run for so long; `asleep` may return when the sleeping machine wakes."""
        end_us = self.now_us + int(seconds * S)
        while self.now_us < end_us:
            self._finish()
            tasks, wake_us = find_due_tasks(self.plan, self.history, self.now_us, self.rng)
            assert wake_us > self.now_us, "it would ask for ever"
            for task in tasks:
                self._start(task)
            next_us = min([wake_us, *(at for at, _ in self.ends)])
            self.now_us = asleep(next_us) if asleep else next_us
        return self

    def _start(self, task: Task) -> None:
        self.history = self.history.record_start(task, self.now_us)
        self.starts[task.target].append(self.now_us)
        self.order.append((self.now_us, task))
        self.ends.append((self.now_us + int(self.duration_s * S), task))
        self.most_at_once = max(self.most_at_once, len(self.ends))

    def _finish(self) -> None:
        for at_us, task in [end for end in self.ends if end[0] <= self.now_us]:
            self.ends.remove((at_us, task))
            self.history = self.history.record_finish(
                task, self.now_us, self.cost_of(task), self.plan.limits
            )

    def cost_of(self, task: Task) -> int:
        del task
        return self.cost


class PricedSimulation(Simulation):
    """A simulation whose tasks cost the estimated bytes; `moved` is their sum."""

    moved = 0

    def cost_of(self, task: Task) -> int:
        cost = sum(estimate_run_bytes(line_of(one), one.service) for one in task.parts or (task,))
        self.moved += cost
        return cost


def line_of(task: Task) -> PlannedTask:
    name = task.service.name if task.service else ""
    return PlannedTask(
        experiment=task.experiment, interval_s=task.interval_s, service=name, options=task.options,
        target="" if name else task.target,
    )  # fmt: skip
