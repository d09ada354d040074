"""The plan as a form: what its fields hold, and the plan that comes of them. Pure.

A field keeps what was typed, so that a form with an error comes back as it was sent.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from heliograph.experiments import NAMES
from heliograph.plan import ROLES, VERSION, Limits, Plan, PlannedTask
from heliograph_collector.console.backend import InvalidInputError
from heliograph_collector.console.forms import parse_number
from heliograph_collector.console.plan_changes import describe_task

NEW_ROWS = 3
_UNITS_S = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_INTERVAL = re.compile(r"([0-9]{1,6}) *(s|min|h|d)")
_SHORTEST_S = 10  # as a plan file may say; see fleet/plan_file.py
_LONGEST_S = 604_800
_MEGABYTE = 1_000_000
_WEB = "web"  # the experiment of a page, where none is chosen


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task of the plan, with its typed fields."""

    task: PlannedTask
    interval: str
    role: str
    is_removed: bool = False

    @property
    def name(self) -> str:
        return describe_task(self.task)


@dataclass(frozen=True, slots=True)
class NewTaskRow:
    """A task to add; it is none while `target` is empty."""

    target: str = ""  # the name of a service, an address of a page, or what the experiment takes
    experiment: str = ""
    interval: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanForm:
    version: int  # of the plan whose tasks are listed
    tasks: Sequence[TaskRow]
    new_tasks: Sequence[NewTaskRow]
    heartbeat_s: str
    megabytes_per_month: str
    concurrency: str
    target_pause_s: str
    newest_version: str
    insecure_before: str


_SETTINGS = (
    "heartbeat_s", "megabytes_per_month", "concurrency", "target_pause_s", "newest_version",
    "insecure_before",
)  # fmt: skip


def fill_form(plan: Plan) -> PlanForm:
    """Return the form of a plan as it is."""
    return PlanForm(
        version=plan.version,
        tasks=[TaskRow(task, write_interval(task.interval_s), task.role) for task in plan.tasks],
        new_tasks=[NewTaskRow()] * NEW_ROWS,
        heartbeat_s=str(plan.heartbeat_s),
        megabytes_per_month=str(plan.limits.bytes_per_month // _MEGABYTE),
        concurrency=str(plan.limits.concurrency),
        target_pause_s=str(plan.limits.target_pause_s),
        newest_version=plan.newest_version,
        insecure_before=plan.insecure_before,
    )


def read_fields(plan: Plan, fields: Mapping[str, str]) -> PlanForm:
    """Return the form of a plan as it was sent; missing fields are the plan's."""
    form = fill_form(plan)
    return replace(
        form,
        tasks=[_read_row(row, number, fields) for number, row in enumerate(form.tasks)],
        new_tasks=[_read_new_row(number, fields) for number in range(NEW_ROWS)],
        **{name: fields.get(name, getattr(form, name)).strip() for name in _SETTINGS},
    )


def _read_row(row: TaskRow, number: int, fields: Mapping[str, str]) -> TaskRow:
    return replace(
        row,
        interval=fields.get(f"interval-{number}", row.interval).strip(),
        role=fields.get(f"role-{number}", row.role),
        is_removed=f"remove-{number}" in fields,
    )


def _read_new_row(number: int, fields: Mapping[str, str]) -> NewTaskRow:
    names = ("target", "experiment", "interval", "role")
    return NewTaskRow(*(fields.get(f"new-{name}-{number}", "").strip() for name in names))


def build_plan(plan: Plan, form: PlanForm) -> Plan:
    """Return the plan that a form asks for. Raises InvalidInputError."""
    remaining = [_change_task(row) for row in form.tasks if not row.is_removed]
    added = [_build_task(plan, row) for row in form.new_tasks if row.target]
    if not (remaining or added):
        raise InvalidInputError("A plan has at least one task: keep one.")
    return replace(
        plan,
        tasks=(*remaining, *added),
        heartbeat_s=_parse_range("Heartbeat", form.heartbeat_s, 1, 300),
        limits=Limits(
            bytes_per_month=_parse_bytes(plan, form.megabytes_per_month),
            concurrency=_parse_range("Tests at once", form.concurrency, 1, 64),
            target_pause_s=_parse_range("Pause between two", form.target_pause_s, 1, 3_600),
        ),
        newest_version=_check_version("Newest version", form.newest_version),
        insecure_before=_check_version("Insecure before", form.insecure_before),
    )


def _change_task(row: TaskRow) -> PlannedTask:
    name = row.task.service or row.task.target
    return replace(
        row.task, interval_s=_parse_interval(name, row.interval), role=_check_role(name, row.role)
    )


def _build_task(plan: Plan, row: NewTaskRow) -> PlannedTask:
    service = next((s for s in plan.services if s.name == row.target), None)
    if row.experiment and row.experiment not in NAMES:
        raise InvalidInputError(f"{row.target}: there is no experiment {row.experiment}.")
    is_page = row.target.startswith(("https://", "http://"))
    if not (service or row.experiment or is_page):
        raise InvalidInputError(
            f"{row.target}: it is neither a service of the list nor the address of a page; "
            "choose its experiment."
        )
    return PlannedTask(
        experiment=row.experiment or (service.experiment if service else _WEB),
        interval_s=_parse_interval(row.target, row.interval),
        service=row.target if service else "",
        target="" if service else row.target,
        role=_check_role(row.target, row.role),
    )


def _check_role(name: str, role: str) -> str:
    if role and role not in ROLES:
        raise InvalidInputError(f"{name}: it is run by everybody, volunteers or controls.")
    return role


def write_interval(seconds: int) -> str:
    """Write seconds in the largest unit that they fill, such as "2 h"."""
    unit = next(unit for unit in reversed(_UNITS_S) if not seconds % _UNITS_S[unit])
    return f"{seconds // _UNITS_S[unit]} {unit}"


def _parse_interval(name: str, typed: str) -> int:
    match = _INTERVAL.fullmatch(typed)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise InvalidInputError(
            f"{name}: “{typed}” is no interval from 10 s to 7 d; write 30 s, 15 min, 2 h or 1 d."
        )
    return seconds


def _parse_bytes(plan: Plan, typed: str) -> int:
    """Return bytes a month; the plan's, which may be no whole megabytes, if unchanged."""
    if typed == fill_form(plan).megabytes_per_month:
        return plan.limits.bytes_per_month
    return _MEGABYTE * _parse_range("Megabytes a month", typed, 1, 1_000_000)


def _parse_range(name: str, typed: str, least: int, most: int) -> int:
    number = parse_number(typed, 7)
    if number is None or not least <= number <= most:
        raise InvalidInputError(f"{name}: “{typed}” is no whole number from {least} to {most}.")
    return number


def _check_version(name: str, typed: str) -> str:
    if typed and not VERSION.fullmatch(typed):
        raise InvalidInputError(
            f"{name}: “{typed}” is no version of agents; write one such as 0.2.0, or nothing."
        )
    return typed
