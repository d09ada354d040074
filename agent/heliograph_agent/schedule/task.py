"""One experiment on one target at one time, and the plan's lines as such."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from heliograph.experiments import ANCHORS
from heliograph.plan import Plan, PlannedTask, Service
from heliograph_agent.spool import Priority


@dataclass(frozen=True, kw_only=True)
class Task:
    """One experiment on one target, to be run now."""

    experiment: str
    target: str
    service: Service | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    priority: Priority = Priority.P3
    interval_s: int = 0  # 0 when nobody planned it

    @cached_property
    def key(self) -> str:
        """The same for the same line of any plan."""
        options = ",".join(f"{k}={v}" for k, v in sorted(self.options.items()))
        return (
            f"{self.experiment} {self.service.name if self.service else ''} {self.target} {options}"
        )

    @cached_property
    def hosts(self) -> frozenset[str]:
        """Whom it visits, as far as is known before."""
        if self.service is not None:
            return frozenset(endpoint.host for endpoint in self.service.endpoints)
        return frozenset({_host(self.target)} - {""})


def tasks_of(plan: Plan) -> list[Task]:
    """The plan's lines as tasks; one whose service is not described is the runner's to refuse."""
    services = {service.name: service for service in plan.services}
    return [_task(line, services.get(line.service)) for line in plan.tasks]


def _task(line: PlannedTask, service: Service | None) -> Task:
    return Task(
        experiment=line.experiment,
        target=line.target or line.service,
        service=service,
        options=line.options,
        priority=Priority.P0 if line.experiment == ANCHORS else Priority.P3,
        interval_s=max(1, line.interval_s),
    )


def _host(target: str) -> str:
    try:
        return urlsplit(target if "://" in target else f"//{target}").hostname or target
    except ValueError:
        return target
