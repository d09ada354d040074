"""The plan: show, edit, preview, sign and send it, and restore an earlier version."""

import asyncio

from aiohttp import web

from heliograph.experiments import NAMES
from heliograph.plan import Plan
from heliograph.services import parse_services
from heliograph.yaml_document import YamlError
from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.backend import InvalidInputError
from heliograph_collector.console.fleet import list_rows
from heliograph_collector.console.plan_changes import (
    PlanChange,
    build_preview,
    compare_services,
    describe_task,
    format_interval,
    list_hosts,
)
from heliograph_collector.console.plan_form import PlanForm, build_plan, fill_form, read_fields
from heliograph_collector.console.plan_views import (
    PlanEditorView,
    PlannedTaskLine,
    PlanPreviewView,
    PlanVersionView,
    PlanView,
    ServicesView,
)
from heliograph_collector.fleet.plan_file import render_plan
from heliograph_collector.fleet.plans import (
    PlanChangedError,
    list_plans,
    load_current_plan,
    load_plan,
)
from heliograph_collector.http.problem import Problem

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
        view = PlanView(
            plan=plan,
            tasks=_list_tasks(plan) if plan else [],
            plan_yaml=render_plan(plan) if plan else "",
            history=await asyncio.to_thread(list_plans, self._backend.fleet),
        )
        return templates.render(request, view)

    async def show_version(self, request: web.Request) -> web.StreamResponse:
        plan = await self._read_version(request.match_info["version"])
        view = PlanVersionView(plan=plan, plan_yaml=render_plan(plan))
        return templates.render(request, view)

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
        view = PlanPreviewView(
            plan_yaml=plan_yaml,
            preview=build_preview(current_plan, new_plan, rows),
            max_consents=MAX_NEW_CONSENTS,
            version=current_plan.version if current_plan else 0,
        )
        return templates.render(request, view)

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
        view = ServicesView(
            services=self._backend.services,
            source=self._backend.services_source,
            services_yaml=services_yaml,
            error_text=error_text,
            checked_version=checked_version,
            changes=changes or [],
            new_hosts=new_hosts or [],
        )
        return templates.render(request, view, status=status)

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
        view = PlanEditorView(
            plan_yaml=plan_yaml,
            form=form,
            error_text=error_text,
            experiments=NAMES,
            services=self._backend.services.services,
        )
        return templates.render(request, view, status=status)

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


def _list_tasks(plan: Plan) -> list[PlannedTaskLine]:
    return [
        PlannedTaskLine(
            name=describe_task(task), interval=format_interval(task.interval_s), role=task.role
        )
        for task in plan.tasks
    ]
