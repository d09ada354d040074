"""What a new plan or services file would change, and for whom: pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heliograph.plan import Plan, PlannedTask, Service
from heliograph_collector.console import fleet_table


@dataclass(frozen=True, slots=True)
class Change:
    """`kind` is added, removed or changed."""

    kind: str
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Runners:
    country: str
    access: str
    volunteers: int
    controls: int


@dataclass(frozen=True, slots=True)
class Preview:
    changes: Sequence[Change]
    wider: Sequence[str]  # what volunteers have to agree to first
    runners: Sequence[Runners]
    volunteers: int
    controls: int


def preview(before: Plan | None, after: Plan, rows: Sequence[fleet_table.Row]) -> Preview:
    """`after` against the plan that stands."""
    volunteers, controls = (fleet_table.places(rows, role) for role in ("volunteer", "control"))
    for_volunteers = after.of_role("volunteer")
    runners = [
        Runners(*where, volunteers[where] if for_volunteers.tasks else 0, controls[where])
        for where in sorted(volunteers | controls)
    ]
    agreed = scope(before.of_role("volunteer")) if before else frozenset()
    return Preview(
        changes=[*_tasks(before, after), *_settings(before, after)],
        wider=sorted(scope(for_volunteers) - agreed),
        runners=sorted(runners, key=lambda r: (-r.volunteers - r.controls, r.country, r.access)),
        volunteers=sum(r.volunteers for r in runners),
        controls=sum(r.controls for r in runners),
    )


def scope(plan: Plan) -> frozenset[str]:
    """What an agent asks its owner's consent for, one by one: tasks with their options, and the
    hosts behind them. A test holds it against the agent's own."""
    return frozenset(unit(task) for task in plan.tasks) | hosts(plan.services)


def hosts(services: Iterable[Service]) -> frozenset[str]:
    return frozenset(e.host for service in services for e in service.endpoints)


def unit(task: PlannedTask) -> str:
    options = "".join(f" {key}={value}" for key, value in sorted(task.options.items()))
    return f"{task.experiment} {task.service or task.target}".strip() + options


def shown(task: PlannedTask) -> str:
    """The same for people, who need not read a name twice."""
    words = unit(task).split(" ", 1)
    return words[1] if len(words) == 2 and task.service == task.experiment else " ".join(words)


def services(before: Sequence[Service], after: Sequence[Service]) -> list[Change]:
    """One line for each service that is not as it was."""
    old, new = ({s.name: s for s in some} for some in (before, after))
    found = [Change("removed", name) for name in old.keys() - new.keys()]
    found += [Change("added", name, _reached(new[name])) for name in new.keys() - old.keys()]
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            found.append(Change("changed", name, _difference(old[name], new[name])))
    return sorted(found, key=lambda change: change.what)


def _tasks(before: Plan | None, after: Plan) -> list[Change]:
    old, new = (
        {(unit(task), task.role): task for task in (plan.tasks if plan else ())}
        for plan in (before, after)
    )
    found = [Change("removed", _named(old[key])) for key in old if key not in new]
    for key, task in new.items():
        if key not in old:
            found.append(Change("added", _named(task), every(task.interval_s)))
        elif old[key].interval_s != task.interval_s:
            detail = f"{every(old[key].interval_s)} → {every(task.interval_s)}"
            found.append(Change("changed", _named(task), detail))
    return found


def _settings(before: Plan | None, after: Plan) -> list[Change]:
    if before is None:
        return []
    pairs = [("heartbeat_s", before.heartbeat_s, after.heartbeat_s)]
    pairs += [
        (f"limits.{name}", getattr(before.limits, name), getattr(after.limits, name))
        for name in ("bytes_per_month", "concurrency", "target_pause_s")
    ]
    found = [Change("changed", name, f"{old} → {new}") for name, old, new in pairs if old != new]
    editions = (before.services_version, after.services_version)
    if editions[0] != editions[1]:
        found.append(Change("changed", "services", " → ".join(editions)))
    return found


def _named(task: PlannedTask) -> str:
    return shown(task) + (f" (by {task.role}s)" if task.role else "")


def every(seconds: int) -> str:
    for size, unit_ in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and not seconds % size:
            return f"every {seconds // size} {unit_}"
    return f"every {seconds} s"


def _reached(service: Service) -> str:
    return f"{service.experiment}, {len(service.endpoints)} endpoints"


def _difference(old: Service, new: Service) -> str:
    before, after = hosts([old]), hosts([new])
    parts = [f"adds {', '.join(sorted(after - before))}"] if after - before else []
    parts += [f"drops {', '.join(sorted(before - after))}"] if before - after else []
    return "; ".join(parts) or "title, experiment or how an endpoint is asked"
