"""What was run so far, as a value."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from heliograph.plan import Limits, Plan
from heliograph_agent.schedule.allowance import Allowance
from heliograph_agent.schedule.task import Task, tasks_of
from heliograph_agent.spool import Priority

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
