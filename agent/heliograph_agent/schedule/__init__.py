"""What to run, and when to look again: pure functions of the plan, the past, the time and chance.

    history = History.begin(now_us, rng)
    tasks, wake_us = due(plan, history, now_us, rng)
    history = history.started(task, now_us)            # for each, when it is handed to the runner
    history = history.finished(task, now_us, moved, plan.limits)    # moved: bytes on the wire
    history = history.adopt(plan, now_us)              # when the plan changed

Ask again at `wake_us`, when a task has finished and when the plan changed. All times are monotonic
microseconds, so a wall clock that jumps moves nothing.
"""

import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from heliograph.plan import Limits, Plan
from heliograph_agent.schedule.allowance import Allowance
from heliograph_agent.schedule.task import Task, tasks_of
from heliograph_agent.spool import Priority

__all__ = ["Allowance", "History", "Task", "due", "tasks_of"]

FORGOTTEN_US = 3_600_000_000  # after which a visit to a host holds nobody back any more


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was done so far; every change makes a new one."""

    began_us: int
    seed: int
    allowance: Allowance
    starts: Mapping[str, int] = field(default_factory=dict)  # task key → last start
    visits: Mapping[str, int] = field(default_factory=dict)  # host → last visit, begun or ended
    costs: Mapping[str, int] = field(default_factory=dict)  # task key → bytes of the last run
    running: Mapping[str, Task] = field(default_factory=dict)
    paced_us: int | None = None  # last start of routine work

    @classmethod
    def begin(
        cls, now_us: int, rng: random.Random, allowance: Allowance | None = None
    ) -> "History":
        """Of an agent that starts; `allowance` is what an earlier run left over."""
        return cls(
            began_us=now_us,
            seed=rng.getrandbits(64),
            allowance=allowance or Allowance.whole(now_us),
        )

    def started(self, task: Task, now_us: int) -> "History":
        routine = task.priority > Priority.P0
        return replace(
            self,
            starts={**self.starts, task.key: now_us},
            visits=self._visited(task.hosts, now_us),
            running={**self.running, task.key: task},
            paced_us=now_us if routine else self.paced_us,
        )

    def finished(self, task: Task, now_us: int, moved: int, limits: Limits) -> "History":
        """Also when it failed or was cancelled; `moved` is what it cost in bytes."""
        return replace(
            self,
            visits=self._visited(task.hosts, now_us),
            costs={**self.costs, task.key: moved},
            running={key: other for key, other in self.running.items() if key != task.key},
            allowance=self.allowance.spend(moved, now_us, limits.bytes_per_month),
        )

    def adopt(self, plan: Plan, now_us: int) -> "History":
        """A changed plan: drop what it no longer names, spread what is new from now on."""
        keys = {task.key for task in tasks_of(plan)}
        starts = {key: at for key, at in self.starts.items() if key in keys}
        costs = {key: cost for key, cost in self.costs.items() if key in keys}
        return replace(self, starts=starts, costs=costs, began_us=now_us)

    def _visited(self, hosts: Iterable[str], now_us: int) -> Mapping[str, int]:
        recent = {host: at for host, at in self.visits.items() if now_us - at < FORGOTTEN_US}
        return recent | dict.fromkeys(hosts, now_us)


S = 1_000_000
JITTER = 0.1  # of the interval, to either side: no grid that an observer could see
FIRST_S = 20  # a new task's first run comes within this, or within its interval
LEAD_S = 2  # anchors first
PACE_S = 1.0  # between two starts of routine work, so that a laptop that wakes makes no burst
CATCH_UP = 4  # and never so slow that missed work could not be caught up this many times over
LOOK_S = 60  # the longest time between two looks
RECHECK_S = 1  # when something under way has to end first


def due(
    plan: Plan, history: History, now_us: int, rng: random.Random
) -> tuple[tuple[Task, ...], int]:
    """The tasks to start now, best first, and when to ask again at the latest (monotonic µs)."""
    tasks = [task for task in tasks_of(plan) if task.key not in history.running]
    pace_us = _pace_us(plan, history)
    when = {task.key: _ready_us(task, plan.limits, history, now_us, pace_us) for task in tasks}
    rng.shuffle(tasks)  # equally late ones in no fixed order
    late = sorted(
        (task for task in tasks if when[task.key] <= now_us),
        key=lambda task: (task.priority, _planned_us(task, history) // S),
    )
    chosen = _choose(late, plan.limits, history)
    wakes = [when[task.key] for task in tasks if when[task.key] > now_us]
    if len(chosen) < len(late):
        wakes.append(now_us + (pace_us if _has_routine(chosen) else RECHECK_S * S))
    return tuple(chosen), max(now_us + 1_000, min([*wakes, now_us + LOOK_S * S]))


def _ready_us(task: Task, limits: Limits, history: History, now_us: int, pace_us: int) -> int:
    """When nothing stands in its way any more."""
    waits = [_planned_us(task, history)]
    if limits.target_pause_s:
        pause_us = limits.target_pause_s * S
        waits += [history.visits[host] + pause_us for host in task.hosts if host in history.visits]
        busy = frozenset[str]().union(*(other.hosts for other in history.running.values()))
        if task.hosts & busy:
            waits.append(now_us + RECHECK_S * S)
    if task.priority is Priority.P0:
        waits.append(_spared_us(task, limits, history, now_us))
    else:
        waits.append(history.allowance.from_us(now_us, limits.bytes_per_month))
        if history.paced_us is not None:
            waits.append(history.paced_us + pace_us)
    return max(waits)


def _spared_us(task: Task, limits: Limits, history: History, now_us: int) -> int:
    """Anchors go on when the bytes are spent, as often as leaves some for what they are for. On a
    dead link they cost next to nothing, and then keep their interval."""
    last_us, cost = history.starts.get(task.key), history.costs.get(task.key, 0)
    if last_us is None:
        return now_us
    return last_us + history.allowance.spared_us(cost, now_us, limits.bytes_per_month)


def _planned_us(task: Task, history: History) -> int:
    """Its own interval after its last start. What was missed meanwhile is not made up for."""
    last_us = history.starts.get(task.key)
    chance = _chance(history.seed, task.key, last_us)
    if last_us is not None:
        return last_us + int(task.interval_s * S * (1 + JITTER * (2 * chance - 1)))
    if task.priority is Priority.P0:
        return history.began_us
    lead_s = min(LEAD_S, task.interval_s / 10)
    return history.began_us + int((lead_s + chance * min(FIRST_S, task.interval_s)) * S)


def _pace_us(plan: Plan, history: History) -> int:
    rate = sum(1 / max(1, line.interval_s) for line in plan.tasks)
    pace_s = min(PACE_S, 1 / (CATCH_UP * rate)) if rate else PACE_S
    return int(pace_s * S * (0.5 + _chance(history.seed, "pace", history.paced_us)))


def _choose(late: Iterable[Task], limits: Limits, history: History) -> list[Task]:
    """Within the limits: so many at once, no host twice, one routine task at a time."""
    chosen: list[Task] = []
    hosts: set[str] = set()
    for task in late:
        if len(history.running) + len(chosen) >= max(1, limits.concurrency):
            break
        if limits.target_pause_s and task.hosts & hosts:
            continue
        if task.priority > Priority.P0 and _has_routine(chosen):
            continue
        chosen.append(task)
        hosts |= task.hosts
    return chosen


def _has_routine(tasks: Iterable[Task]) -> bool:
    return any(task.priority > Priority.P0 for task in tasks)


def _chance(*of: object) -> float:
    """In [0, 1), the same for the same question, so that asking twice moves no task."""
    digest = hashlib.blake2b(repr(of).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
