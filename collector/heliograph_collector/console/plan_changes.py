"""What a plan or a services file changes, in words for its preview. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from heliograph.plan import LIGHT, Plan, PlannedTask, Service
from heliograph_collector.console import fleet_table


@dataclass(frozen=True, slots=True)
class PlanChange:
    """A change; `kind` is added, removed or changed."""

    kind: str
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunnerCount:
    country: str
    access: str
    volunteers: int
    controls: int

    @property
    def count(self) -> int:
        return self.volunteers + self.controls


@dataclass(frozen=True, slots=True)
class PlanPreview:
    changes: Sequence[PlanChange]
    new_consents: Sequence[str]  # consents that volunteers must give first
    runners: Sequence[RunnerCount]
    volunteers: int
    controls: int

    @property
    def count(self) -> int:
        return self.volunteers + self.controls


def build_preview(
    before: Plan | None, after: Plan, rows: Sequence[fleet_table.FleetRow]
) -> PlanPreview:
    """Compare `after` with the current plan."""
    volunteers, controls = (
        fleet_table.count_places(rows, role) for role in ("volunteer", "control")
    )
    for_volunteers = after.for_role("volunteer")
    runners = [
        RunnerCount(
            *place_key, volunteers[place_key] if for_volunteers.tasks else 0, controls[place_key]
        )
        for place_key in sorted(volunteers | controls)
    ]
    agreed_scope = consent_scope(before.for_role("volunteer")) if before else frozenset()
    return PlanPreview(
        changes=[*_compare_tasks(before, after), *_compare_settings(before, after)],
        new_consents=sorted(consent_scope(for_volunteers) - agreed_scope),
        runners=sorted(runners, key=attrgetter("count"), reverse=True),
        volunteers=sum(r.volunteers for r in runners),
        controls=sum(r.controls for r in runners),
    )


def consent_scope(plan: Plan) -> frozenset[str]:
    """Return the items that an agent asks its owner's consent for.

    These are tasks with options, and the hosts behind them. A test compares it with the agent's
    code.
    """
    return frozenset(_name_unit(task) for task in plan.tasks) | list_hosts(plan.services)


def list_hosts(services: Iterable[Service]) -> frozenset[str]:
    return frozenset(host for service in services for e in service.endpoints for host in e.hosts)


def describe_unit(task: PlannedTask) -> str:
    options = "".join(f" {key}={value}" for key, value in sorted(task.options.items()))
    return f"{task.experiment} {task.service or task.target}".strip() + options


def _name_unit(task: PlannedTask) -> str:
    """Name what a volunteer agrees to; a light check is part of its test."""
    options = {key: value for key, value in task.options.items() if key != LIGHT}
    return describe_unit(replace(task, options=options))


def describe_task(task: PlannedTask) -> str:
    """Describe a task for people, without repeating a name."""
    unit_parts = describe_unit(task).split(" ", 1)
    return (
        unit_parts[1]
        if len(unit_parts) == 2 and task.service == task.experiment
        else " ".join(unit_parts)
    )


def compare_services(before: Sequence[Service], after: Sequence[Service]) -> list[PlanChange]:
    """List one change for each service that differs."""
    old, new = ({s.name: s for s in service_list} for service_list in (before, after))
    changes = [PlanChange("removed", name) for name in old.keys() - new.keys()]
    changes += [
        PlanChange("added", name, _describe_service(new[name])) for name in new.keys() - old.keys()
    ]
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            changes.append(PlanChange("changed", name, _describe_difference(old[name], new[name])))
    return sorted(changes, key=attrgetter("subject"))


def _compare_tasks(before: Plan | None, after: Plan) -> list[PlanChange]:
    old, new = (
        {(describe_unit(task), task.role): task for task in (plan.tasks if plan else ())}
        for plan in (before, after)
    )
    changes = [PlanChange("removed", _name_task(old[key])) for key in old if key not in new]
    for key, task in new.items():
        if key not in old:
            changes.append(PlanChange("added", _name_task(task), format_interval(task.interval_s)))
        elif old[key].interval_s != task.interval_s:
            detail = f"{format_interval(old[key].interval_s)} → {format_interval(task.interval_s)}"
            changes.append(PlanChange("changed", _name_task(task), detail))
    return changes


def _compare_settings(before: Plan | None, after: Plan) -> list[PlanChange]:
    if before is None:
        return []
    pairs: list[tuple[str, object, object]] = [
        (name, getattr(before, name), getattr(after, name))
        for name in ("heartbeat_s", "fixed_schedule", "newest_version", "insecure_before")
    ]
    pairs += [
        (f"limits.{name}", getattr(before.limits, name), getattr(after.limits, name))
        for name in ("bytes_per_month", "concurrency", "target_pause_s")
    ]
    changes = [
        PlanChange("changed", name, f"{_describe_value(old)} → {_describe_value(new)}")
        for name, old, new in pairs
        if old != new
    ]
    editions = (before.services_version, after.services_version)
    if editions[0] != editions[1]:
        changes.append(PlanChange("changed", "services", " → ".join(editions)))
    return changes


def _describe_value(value: object) -> str:
    return "none" if value == "" else str(value)


def _name_task(task: PlannedTask) -> str:
    return describe_task(task) + (f" (by {task.role}s)" if task.role else "")


def format_interval(seconds: int) -> str:
    for size, unit_ in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and not seconds % size:
            return f"every {seconds // size} {unit_}"
    return f"every {seconds} s"


def _describe_service(service: Service) -> str:
    return f"{service.experiment}, {len(service.endpoints)} endpoints"


def _describe_difference(old: Service, new: Service) -> str:
    before = list_hosts([old])
    after = list_hosts([new])
    parts = [f"adds {', '.join(sorted(after - before))}"] if after - before else []
    parts += [f"drops {', '.join(sorted(before - after))}"] if before - after else []
    return "; ".join(parts) or "title, experiment or how an endpoint is asked"
