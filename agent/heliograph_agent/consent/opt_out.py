"""What a volunteer never wants to run, and in which hours nothing. It always wins; pure."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from heliograph.experiments import Category, category_of
from heliograph.plan import Plan, PlannedTask


def names_of(task: PlannedTask) -> frozenset[str]:
    """By any of which it can be left out."""
    return frozenset({category_of(task.experiment), task.experiment, task.service} - {""})


def without(plan: Plan, unwanted: Collection[str]) -> Plan:
    """The plan but for what was opted out of; a service that no task needs goes too."""
    if not unwanted:
        return plan
    tasks = tuple(task for task in plan.tasks if not names_of(task) & set(unwanted))
    named = {task.service for task in tasks}
    services = tuple(service for service in plan.services if service.name in named)
    return replace(plan, tasks=tasks, services=services)


def left_out(plan: Plan, unwanted: Iterable[str]) -> tuple[PlannedTask, ...]:
    chosen = set(unwanted)
    return tuple(task for task in plan.tasks if names_of(task) & chosen)


def careful(plan: Plan) -> Plan:
    """What a simple yes covers where people are punished: messengers and anchors."""
    categories = {category_of(task.experiment) for task in plan.tasks}
    return without(plan, categories - {Category.MESSENGERS, Category.ANCHORS})


def hour_of(wall_us: int) -> int:
    """Of this machine's own clock."""
    return datetime.fromtimestamp(wall_us / 1e6, UTC).astimezone().hour
