"""The plan: show, edit, preview, sign and send it, and restore an earlier version."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from aiohttp import web

from heliograph.experiments import NAMES
from heliograph.plan import LIGHT, Plan, PlannedTask, Service
from heliograph.services import parse_services
from heliograph.yaml_document import YamlError
from heliograph_collector.console import fleet_table, templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.backend import InvalidInputError
from heliograph_collector.console.fleet import list_rows
from heliograph_collector.console.plan_form import PlanForm, build_plan, fill_form, read_fields
from heliograph_collector.fleet.plan_file import render_plan
from heliograph_collector.fleet.plans import (
    PlanChangedError,
    list_plans,
    load_current_plan,
    load_plan,
)
from heliograph_collector.http.problem import Problem


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


FIELD_NAME = "plan"  # name of the text field in error messages
MAX_NEW_CONSENTS = 60
_CHANGED = "Another plan was sent meanwhile: look at the preview again."


class PlanPages:
    def __init__(self, access_control: AccessControl) -> None:
        self._access_control = access_control
        self._backend = access_control.backend

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", "/console/plan", VIEWER, self.show)
        add_route("GET", "/console/plan/edit", OPERATOR, self.edit)
        add_route("POST", "/console/plan/form", OPERATOR, self.preview_form)
        add_route("POST", "/console/plan/preview", OPERATOR, self.preview)
        add_route("POST", "/console/plan/send", OPERATOR, self.send)
        add_route("GET", "/console/plan/{version}", VIEWER, self.show_version)
        add_route("GET", "/console/services", VIEWER, self.show_services)
        add_route("POST", "/console/services/check", OPERATOR, self.check_services)

    async def show(self, request: web.Request) -> web.StreamResponse:
        plan = await self._read_current()
        return templates.render(
            request,
            "plan.html",
            plan=plan,
            text=render_plan(plan) if plan else "",
            history=await asyncio.to_thread(list_plans, self._backend.fleet),
            every=format_interval,
            unit=describe_task,
        )

    async def show_version(self, request: web.Request) -> web.StreamResponse:
        plan = await self._read_version(request.match_info["version"])
        plan_yaml = render_plan(plan)
        return templates.render(request, "edition.html", plan=plan, text=plan_yaml)

    async def edit(self, request: web.Request) -> web.StreamResponse:
        """Show the editor with the current plan, or with the version `from`."""
        from_version = request.query.get("from", "")
        plan = (
            await self._read_version(from_version) if from_version else await self._read_current()
        )
        form = fill_form(plan) if plan else None
        return self._render_editor(request, render_plan(plan) if plan else "", form=form)

    async def preview_form(self, request: web.Request) -> web.StreamResponse:
        """Preview the plan that the form's fields make of the version that they are of."""
        fields = self._access_control.checked_form(request)
        plan = await self._read_version(fields.get("version", ""))
        form = read_fields(plan, fields)
        try:
            plan_yaml = render_plan(build_plan(plan, form))
            new_plan = await asyncio.to_thread(self._backend.read_plan, plan_yaml, FIELD_NAME)
        except InvalidInputError as error:
            return self._render_editor(request, render_plan(plan), form=form, error_text=str(error))
        return await self._render_preview(request, plan_yaml, new_plan)

    async def preview(self, request: web.Request) -> web.StreamResponse:
        plan_yaml = self._access_control.checked_form(request).get("plan", "").replace("\r\n", "\n")
        try:
            new_plan = await asyncio.to_thread(self._backend.read_plan, plan_yaml, FIELD_NAME)
        except InvalidInputError as error:
            return self._render_editor(request, plan_yaml, error_text=str(error))
        return await self._render_preview(request, plan_yaml, new_plan)

    async def _render_preview(
        self, request: web.Request, plan_yaml: str, new_plan: Plan
    ) -> web.Response:
        current_plan = await self._read_current()
        rows = await list_rows(self._backend)
        return templates.render(
            request,
            "preview.html",
            text=plan_yaml,
            preview=build_preview(current_plan, new_plan, rows),
            most=MAX_NEW_CONSENTS,
            version=current_plan.version if current_plan else 0,
        )

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Sign and send a plan that was previewed against the current version."""
        form = self._access_control.checked_form(request)
        plan_yaml = form.get("plan", "").replace("\r\n", "\n")
        current_plan = await self._read_current()
        version = current_plan.version if current_plan else 0
        if form.get("version", "") != str(version):
            return self._render_editor(request, plan_yaml, error_text=_CHANGED, status=409)
        try:
            new_plan = await asyncio.to_thread(self._backend.read_plan, plan_yaml, FIELD_NAME)
            await self._access_control.record_audit(
                request, "plan.send", f"after version {version}"
            )
            await asyncio.to_thread(self._backend.issue_plan, new_plan, version)
        except InvalidInputError as error:
            return self._render_editor(request, plan_yaml, error_text=str(error))
        except PlanChangedError:  # while the trail was written
            return self._render_editor(request, plan_yaml, error_text=_CHANGED, status=409)
        return templates.redirect("/console/plan")

    async def show_services(self, request: web.Request) -> web.StreamResponse:
        return self._render_services(request)

    async def check_services(self, request: web.Request) -> web.StreamResponse:
        """Check a services file and explain how to install it; store nothing."""
        services_yaml = (
            self._access_control.checked_form(request).get("services", "").replace("\r\n", "\n")
        )
        try:
            new_services = await asyncio.to_thread(
                parse_services, services_yaml.encode(), "services"
            )
        except YamlError as error:
            return self._render_services(request, services_yaml, status=400, error_text=str(error))
        current_services = self._backend.services.services
        return self._render_services(
            request,
            services_yaml,
            checked_version=new_services.version,
            changes=compare_services(current_services, new_services.services),
            new_hosts=sorted(list_hosts(new_services.services) - list_hosts(current_services)),
        )

    def _render_services(
        self,
        request: web.Request,
        services_yaml: str = "",
        *,
        status: int = 200,
        error_text: str = "",
        checked_version: str = "",
        changes: list[PlanChange] | None = None,
        new_hosts: list[str] | None = None,
    ) -> web.Response:
        return templates.render(
            request,
            "services.html",
            status=status,
            services=self._backend.services,
            place=self._backend.services_source,
            text=services_yaml,
            wrong=error_text,
            checked=checked_version,
            changes=changes or [],
            wider=new_hosts or [],
        )

    def _render_editor(
        self,
        request: web.Request,
        plan_yaml: str,
        *,
        form: PlanForm | None = None,
        error_text: str = "",
        status: int = 200,
    ) -> web.Response:
        status = 400 if error_text and status == 200 else status
        return templates.render(
            request,
            "editor.html",
            status=status,
            text=plan_yaml,
            form=form,
            wrong=error_text,
            unit=describe_task,
            experiments=NAMES,
            services=self._backend.services.services,
        )

    async def _read_current(self) -> Plan | None:
        current = await asyncio.to_thread(load_current_plan, self._backend.fleet)
        return current[0] if current else None

    async def _read_version(self, version_text: str) -> Plan:
        number = (
            int(version_text)
            if version_text.isascii() and version_text.isdigit() and len(version_text) < 10
            else 0
        )
        plan = await asyncio.to_thread(load_plan, self._backend.fleet, number)
        if plan is None:
            raise Problem(404, "No such plan", "The versions there were stand on the plan's page.")
        return plan
