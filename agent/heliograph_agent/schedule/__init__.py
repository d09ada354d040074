"""Decide which tasks to run now, by pure functions of plan, history, time and rng.

    history = History.create(now_us, rng)
    tasks, wake_us = find_due_tasks(plan, history, now_us, rng)
    history = history.record_start(task, now_us)       # for each, when it is handed to the runner
    history = history.record_finish(task, now_us, moved_bytes, plan.limits)
    history = history.change_plan(plan, now_us)        # when the plan changed
    history = history.stretch(plan, 200, now_us)       # when the collector asks for half the rate

Call again at `wake_us`, when a task has finished and when the plan changed. All times are monotonic
microseconds, so a jump of the wall clock moves nothing.

Light checks of one interval are one task, a round, whose parts run together and give one result. A
part whose hosts are visited at that moment is left out, and starts alone when they are free. A part
may also start alone before its turn.
"""

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from heliograph.byte_shares import ANCHOR_SHARE, HELLO_SHARE, LIGHT_SHARE, OTHER_SHARE
from heliograph.observation import Trigger
from heliograph.plan import (
    HELLO,
    MAX_INTERVAL_PERCENT,
    Limits,
    Plan,
)
from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_agent.schedule.allowance import Allowance
from heliograph_agent.schedule.byte_budget import ByteBudget, make_shares
from heliograph_agent.schedule.task import Task, make_rounds, make_tasks
from heliograph_agent.spool import Priority

__all__ = [
    "Allowance",
    "EarlyStart",
    "History",
    "Task",
    "find_due_tasks",
    "make_rounds",
    "make_tasks",
]
FORGOTTEN_US = HOUR_US  # after so long a visit to a host delays no other
JITTER = 0.1  # of the interval, to either side, so that an observer sees no grid
FIRST_S = 20  # a new task's first run comes within this, or within its interval
LEAD_S = 2  # seconds by which anchors start before other tasks
PACE_S = 1.0  # between two starts of routine work, so that a laptop that wakes sends no burst
CATCH_UP = 4  # the pace stays at least this many times as fast as the plan needs
MAX_WAIT_S = 60  # the longest time between two calls
STRETCHED_US = 15 * MINUTE_US  # that a wish for longer intervals holds; intake.proto, Advice
RECHECK_S = 1  # when a running task has to end first


class EarlyStart(NamedTuple):
    """Say when a task is to start before its turn, and why."""

    at_us: int
    trigger: Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Record past and running work; immutable, so each change returns a new object."""

    began_us: int
    seed: int
    allowance: Allowance
    starts: Mapping[str, int] = field(default_factory=dict)  # task key → last start
    visits: Mapping[str, int] = field(default_factory=dict)  # host → last begin or end of a visit
    costs: Mapping[str, int] = field(default_factory=dict)  # task key → bytes of the last run
    running: Mapping[str, Task] = field(default_factory=dict)
    paced_us: int | None = None  # last start of routine work
    early: Mapping[str, EarlyStart] = field(default_factory=dict)  # by task key
    interval_percent: int = 100  # of the plan's intervals, for routine work
    stretched_until_us: int = 0

    @classmethod
    def create(
        cls, now_us: int, rng: random.Random, allowance: Allowance | None = None
    ) -> "History":
        """Begin a history; `allowance` is the rest of an earlier run."""
        return cls(
            began_us=now_us,
            seed=rng.getrandbits(64),
            allowance=allowance or Allowance(now_us),
        )

    def record_start(self, task: Task, now_us: int) -> "History":
        is_routine = task.priority > Priority.P0
        keys = (task.key, *(part.key for part in task.parts))
        return replace(
            self,
            starts={**self.starts, **dict.fromkeys(keys, now_us)},
            visits=self._add_visits(task.hosts, now_us),
            running={**self.running, task.key: task},
            paced_us=now_us if is_routine else self.paced_us,
            early={key: start for key, start in self.early.items() if key not in keys},
        )

    def bring_forward(self, task: Task, start: EarlyStart) -> "History":
        """Let a task start before its turn; of two such times the earlier counts."""
        earliest = min(start, self.early.get(task.key, start))
        return replace(self, early={**self.early, task.key: earliest})

    def stretch(self, plan: Plan, percent: int, now_us: int) -> "History":
        """Follow a wish for longer intervals; only the anchors keep theirs.

        Each task keeps the share of its interval that has passed. So nobody starts all tasks at
        once, whether intervals grow or shrink. Early starts keep their times.
        """
        percent = min(max(percent, 100), MAX_INTERVAL_PERCENT)
        anchors = {task.key for task in make_tasks(plan) if task.priority is Priority.P0}
        starts = {
            key: at if key in anchors else now_us - (now_us - at) * percent // self.interval_percent
            for key, at in self.starts.items()
        }
        until_us = now_us + STRETCHED_US
        return replace(self, starts=starts, interval_percent=percent, stretched_until_us=until_us)

    def end_stretch(self, plan: Plan, now_us: int) -> "History":
        """Return to the plan's intervals when the wish is old.

        The collector that wished it may be gone.
        """
        if self.interval_percent == 100 or now_us < self.stretched_until_us:
            return self
        return self.stretch(plan, 100, now_us)

    def find_trigger(self, task: Task, now_us: int) -> str:
        """Return why a task starts now, "" if it is its turn anyway."""
        start = self.early.get(task.key)
        return "" if start is None or _turn_us(task, self) <= now_us else start.trigger

    def record_finish(self, task: Task, now_us: int, moved_bytes: int, limits: Limits) -> "History":
        """Record the end of a task, also of a failed or cancelled one, and its bytes."""
        return replace(
            self,
            visits=self._add_visits(task.hosts, now_us),
            costs={**self.costs, task.key: moved_bytes},
            running={key: other for key, other in self.running.items() if key != task.key},
            allowance=self.allowance.spend(moved_bytes, now_us, limits.bytes_per_month),
        )

    def change_plan(self, plan: Plan, now_us: int) -> "History":
        """Drop tasks that the new plan does not name, and spread new ones from now on."""
        keys = {task.key for task in (*make_tasks(plan), *make_rounds(plan))}
        starts = {key: at for key, at in self.starts.items() if key in keys}
        costs = {key: cost for key, cost in self.costs.items() if key in keys}
        early = {key: start for key, start in self.early.items() if key in keys}
        early = {} if plan.fixed_schedule else early
        return replace(self, starts=starts, costs=costs, early=early, began_us=now_us)

    def _add_visits(self, hosts: Iterable[str], now_us: int) -> Mapping[str, int]:
        recent = {host: at for host, at in self.visits.items() if now_us - at < FORGOTTEN_US}
        return recent | dict.fromkeys(hosts, now_us)


def find_due_tasks(
    plan: Plan, history: History, now_us: int, rng: random.Random
) -> tuple[tuple[Task, ...], int]:
    """Return the tasks to start now, and when to call again.

    Returns:
        The tasks, best first, and a time in monotonic microseconds, at most MAX_WAIT_S from now.
    """
    rounds = make_rounds(plan)
    lone_parts = [p for task in rounds for p in task.parts if _starts_alone(p, task, history)]
    tasks = [task for task in (*rounds, *lone_parts) if task.key not in history.running]
    pace_us = _pace_us(plan, history)
    budget = _make_budget(plan, rounds, history, now_us)
    limits = plan.limits
    ready_us = {
        task.key: max(
            _ready_us(task, limits, history, now_us, pace_us),
            _bytes_ready_us(task, budget, history, now_us),
        )
        for task in tasks
    }
    rng.shuffle(tasks)  # equally late tasks start in no fixed order
    late_tasks = [task for task in tasks if ready_us[task.key] <= now_us]
    late_tasks.sort(key=partial(_start_rank, history=history, now_us=now_us))
    late_tasks = [_keep_free_parts(task, plan.limits, history, now_us) for task in late_tasks]
    chosen_tasks = _choose_tasks(late_tasks, plan.limits, history)
    wakes = [ready_us[task.key] for task in tasks if ready_us[task.key] > now_us]
    if len(chosen_tasks) < len(late_tasks):
        wakes.append(now_us + (pace_us if _has_routine(chosen_tasks) else RECHECK_S * SECOND_US))
    return tuple(chosen_tasks), max(now_us + 1_000, min([*wakes, now_us + MAX_WAIT_S * SECOND_US]))


def _starts_alone(part: Task, light_round: Task, history: History) -> bool:
    """Return whether a part is asked for sooner, or was left out of the last round."""
    round_us = history.starts.get(light_round.key)
    is_left_out = round_us is not None and history.starts.get(part.key, round_us - 1) < round_us
    return is_left_out or part.key in history.early


def _start_rank(task: Task, history: History, now_us: int) -> tuple[Priority, bool, float]:
    """Rank late tasks: requested ones first, then by lateness in their intervals.

    So if the bytes do not suffice, all tasks without a share become rarer by one factor.
    """
    late_s = (now_us - _planned_us(task, history)) / SECOND_US
    is_early = any(part.key in history.early for part in (task, *task.parts))
    return task.priority, not is_early, -round(late_s / max(1, task.interval_s), 2)


def _make_budget(plan: Plan, rounds: Sequence[Task], history: History, now_us: int) -> ByteBudget:
    """Make the budget; running tasks are counted with their earlier costs."""
    per_month = plan.limits.bytes_per_month
    pending = sum(history.costs.get(key, 0) for key in history.running)
    groups = {
        ANCHOR_SHARE: [task.key for task in rounds if task.priority is Priority.P0],
        LIGHT_SHARE: [task.key for task in rounds if task.is_light],
        HELLO_SHARE: [task.key for task in rounds if task.experiment == HELLO],
    }
    has_others = len(rounds) > sum(map(len, groups.values()))
    shares = make_shares(groups, OTHER_SHARE * has_others, history.starts, history.costs)
    return ByteBudget(per_month, history.allowance.spend(pending, now_us, per_month), shares)


def _bytes_ready_us(task: Task, budget: ByteBudget, history: History, now_us: int) -> int:
    anchor = task.priority is Priority.P0
    return budget.ready_us(task.key, now_us, is_anchor=anchor, is_early=task.key in history.early)


def _ready_us(task: Task, limits: Limits, history: History, now_us: int, pace_us: int) -> int:
    parts = task.parts or (task,)
    free_us = min(_hosts_free_us(part.hosts, limits, history, now_us) for part in parts)
    waits = [_planned_us(task, history), free_us]
    if task.priority is not Priority.P0 and history.paced_us is not None:
        waits.append(history.paced_us + pace_us)
    return max(waits)


def _hosts_free_us(hosts: frozenset[str], limits: Limits, history: History, now_us: int) -> int:
    """Return when the pause after the last visit to each host is over."""
    if not limits.target_pause_s:
        return 0
    pause_us = limits.target_pause_s * SECOND_US
    busy = frozenset[str]().union(*(other.hosts for other in history.running.values()))
    after_us = now_us + RECHECK_S * SECOND_US if hosts & busy else 0
    waits = [history.visits[host] + pause_us for host in hosts if host in history.visits]
    return max([after_us, *waits])


def _keep_free_parts(task: Task, limits: Limits, history: History, now_us: int) -> Task:
    """Return a round without parts whose hosts are being visited; else the task."""
    if not task.parts:
        return task
    free = (p for p in task.parts if _hosts_free_us(p.hosts, limits, history, now_us) <= now_us)
    return replace(task, parts=tuple(free))


def _planned_us(task: Task, history: History) -> int:
    """Return when a task is to start: at its turn, or earlier."""
    turn_us = _turn_us(task, history)
    early = history.early.get(task.key)
    return turn_us if early is None else min(turn_us, early.at_us)


def _turn_us(task: Task, history: History) -> int:
    """Return a task's last start plus its stretched interval; missed runs are dropped."""
    last_us = history.starts.get(task.key)
    fraction = _draw_fraction(history.seed, task.key, last_us)
    if last_us is not None:
        percent = 100 if task.priority is Priority.P0 else history.interval_percent
        interval_us = task.interval_s * SECOND_US * percent // 100
        return last_us + int(interval_us * (1 + JITTER * (2 * fraction - 1)))
    if task.priority is Priority.P0:
        return history.began_us
    lead_s = min(LEAD_S, task.interval_s / 10)
    # A new plan reaches a whole country at once. Light checks are spread over their interval from
    # the start, so that somebody always tests next.
    # Hosts in turn are one task each, and would all come in the first seconds.
    first_s = task.interval_s if task.is_spread else min(FIRST_S, task.interval_s)
    return history.began_us + int((lead_s + fraction * first_s) * SECOND_US)


def _pace_us(plan: Plan, history: History) -> int:
    rate = sum(1 / max(1, line.interval_s) for line in plan.tasks)
    pace_s = min(PACE_S, 1 / (CATCH_UP * rate)) if rate else PACE_S
    return int(pace_s * SECOND_US * (0.5 + _draw_fraction(history.seed, "pace", history.paced_us)))


def _choose_tasks(late_tasks: Iterable[Task], limits: Limits, history: History) -> list[Task]:
    """Choose tasks within concurrency, one per host, and one routine task at a time."""
    chosen_tasks: list[Task] = []
    hosts: set[str] = set()
    for task in late_tasks:
        if len(history.running) + len(chosen_tasks) >= max(1, limits.concurrency):
            break
        if limits.target_pause_s and task.hosts & hosts:
            continue
        if task.priority > Priority.P0 and _has_routine(chosen_tasks):
            continue
        chosen_tasks.append(task)
        hosts |= task.hosts
    return chosen_tasks


def _has_routine(tasks: Iterable[Task]) -> bool:
    return any(task.priority > Priority.P0 for task in tasks)


def _draw_fraction(*of: object) -> float:
    """Derive a fraction in [0, 1) from `of`, so that a repeated call moves no task."""
    digest = hashlib.blake2b(repr(of).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
