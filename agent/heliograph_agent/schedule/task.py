"""Make a plan's tasks: an experiment on one target, or a round of light checks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from heliograph.plan import ANCHORS, LIGHT, LIGHT_ROUND, Plan, PlannedTask, Service
from heliograph_agent.spool import Priority


@dataclass(frozen=True, kw_only=True)
class Task:
    """Describe one run of an experiment on one target."""

    experiment: str
    target: str
    service: Service | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    priority: Priority = Priority.P3
    interval_s: int = 0  # 0 when no plan contains it
    is_spread: bool = False  # whether its first run may come anywhere in its interval
    # Of a visit: by endpoint ("" for a single target), contacted in place of a lookup's answers.
    addresses: Mapping[str, tuple[str, ...]] | None = None
    parts: tuple["Task", ...] = ()  # of a round of light checks

    @cached_property
    def key(self) -> str:
        """Return a key of the task that is equal for equal lines of any plan."""
        if self.parts:
            return f"{self.experiment} {self.interval_s}"
        options = ",".join(f"{k}={v}" for k, v in sorted(self.options.items()))
        kind = "" if self.addresses is None else "visit "
        return f"{kind}{self.experiment} {self.service_name} {self.target} {options}"

    @property
    def service_name(self) -> str:
        """Return the name of its service, "" for a task of a target alone."""
        return self.service.name if self.service else ""

    @property
    def is_light(self) -> bool:
        """Return whether it visits one endpoint in place of all."""
        return self.options.get(LIGHT) == "true"

    @cached_property
    def hosts(self) -> frozenset[str]:
        """Return the hosts that the task visits, as far as they are known beforehand."""
        if self.parts:
            return frozenset[str]().union(*(part.hosts for part in self.parts))
        if self.service is not None:
            return frozenset(endpoint.host for endpoint in self.service.endpoints)
        return frozenset({_host_of(self.target)} - {""})


def make_tasks(plan: Plan) -> list[Task]:
    """Make tasks from the plan; the runner refuses one with an unknown service."""
    services = {service.name: service for service in plan.services}
    return [_make_task(line, services.get(line.service)) for line in plan.expand_turns()]


def make_rounds(plan: Plan) -> list[Task]:
    """Make one task for each result of the plan: light checks of one interval are one."""
    services = {service.name: service for service in plan.services}
    rounds = [
        [_make_task(t, services.get(t.service)) for t in group] for group in plan.list_rounds()
    ]
    return [_join_parts(tasks) if len(tasks) > 1 else tasks[0] for tasks in rounds]


def _join_parts(parts: list[Task]) -> Task:
    return Task(
        experiment=LIGHT_ROUND,
        target="",
        options={LIGHT: "true"},
        interval_s=parts[0].interval_s,
        is_spread=True,
        parts=tuple(parts),
    )


def _make_task(line: PlannedTask, service: Service | None) -> Task:
    return Task(
        experiment=line.experiment,
        target=line.target or line.service,
        service=service,
        options=line.options,
        priority=Priority.P0 if line.experiment == ANCHORS else Priority.P3,
        interval_s=max(1, line.interval_s),
        is_spread=line.is_spread,
    )


def _host_of(target: str) -> str:
    try:
        return urlsplit(target if "://" in target else f"//{target}").hostname or target
    except ValueError:
        return target
