"""What agents run: shown, edited, previewed, signed and sent; and the way back to any before."""

import asyncio

from aiohttp import web

from heliograph.plan import Plan
from heliograph.services import ServicesError, parse
from heliograph_collector.console import plan_preview, templates
from heliograph_collector.console.access import OPERATOR, VIEWER, Add, Gate
from heliograph_collector.console.backend import NotSoError
from heliograph_collector.console.fleet import rows_of
from heliograph_collector.fleet.plans import edition, editions, standing
from heliograph_collector.http.problem import Problem

NAME = "plan"  # what the text field is called in errors
MAX_WIDER = 60


class Plans:
    def __init__(self, gate: Gate) -> None:
        self._gate, self._office = gate, gate.office

    def routes(self, add: Add) -> None:
        add("GET", "/console/plan", VIEWER, self.show)
        add("GET", "/console/plan/edit", OPERATOR, self.edit)
        add("POST", "/console/plan/preview", OPERATOR, self.preview)
        add("POST", "/console/plan/send", OPERATOR, self.send)
        add("GET", "/console/plan/{version}", VIEWER, self.before)
        add("GET", "/console/services", VIEWER, self.services)
        add("POST", "/console/services/check", OPERATOR, self.check)

    async def show(self, request: web.Request) -> web.StreamResponse:
        plan = await self._standing()
        return templates.render(
            request,
            "plan.html",
            plan=plan,
            text=self._office.write_plan(plan) if plan else "",
            history=await asyncio.to_thread(editions, self._office.fleet),
            every=plan_preview.every,
            unit=plan_preview.shown,
        )

    async def before(self, request: web.Request) -> web.StreamResponse:
        plan = await self._edition(request.match_info["version"])
        text = self._office.write_plan(plan)
        return templates.render(request, "edition.html", plan=plan, text=text)

    async def edit(self, request: web.Request) -> web.StreamResponse:
        """The plan that stands, or with `from` an earlier one."""
        given = request.query.get("from", "")
        plan = await self._edition(given) if given else await self._standing()
        return self._editor(request, self._office.write_plan(plan) if plan else "")

    async def preview(self, request: web.Request) -> web.StreamResponse:
        text = self._gate.form(request).get("plan", "").replace("\r\n", "\n")
        try:
            wanted = await asyncio.to_thread(self._office.read_plan, text, NAME)
        except NotSoError as error:
            return self._editor(request, text, wrong=str(error))
        now, found = await self._standing(), await rows_of(self._office)
        return templates.render(
            request,
            "preview.html",
            text=text,
            preview=plan_preview.preview(now, wanted, found),
            most=MAX_WIDER,
            version=now.version if now else 0,
        )

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Only what was previewed against the plan that still stands."""
        form = self._gate.form(request)
        text, now = form.get("plan", ""), await self._standing()
        text = text.replace("\r\n", "\n")
        if form.get("version", "") != str(now.version if now else 0):
            wrong = "Another plan was sent meanwhile: look at the preview again."
            return self._editor(request, text, wrong=wrong, status=409)
        try:
            wanted = await asyncio.to_thread(self._office.read_plan, text, NAME)
            await self._gate.note(request, "plan.send", f"after version {form['version']}")
            await asyncio.to_thread(self._office.issue, wanted)
        except NotSoError as error:
            return self._editor(request, text, wrong=str(error))
        return templates.away("/console/plan")

    async def services(self, request: web.Request) -> web.StreamResponse:
        return self._services(request)

    async def check(self, request: web.Request) -> web.StreamResponse:
        """Nothing is taken in: the page says how that is done."""
        text = self._gate.form(request).get("services", "").replace("\r\n", "\n")
        try:
            wanted = await asyncio.to_thread(parse, text.encode(), "services")
        except ServicesError as error:
            return self._services(request, text, status=400, wrong=f"{error}.")
        ours = self._office.services.services
        return self._services(
            request,
            text,
            checked=wanted.version,
            found=plan_preview.services(ours, wanted.services),
            wider=sorted(plan_preview.hosts(wanted.services) - plan_preview.hosts(ours)),
        )

    def _services(
        self,
        request: web.Request,
        text: str = "",
        *,
        status: int = 200,
        wrong: str = "",
        checked: str = "",
        found: list[plan_preview.Change] | None = None,
        wider: list[str] | None = None,
    ) -> web.Response:
        return templates.render(
            request,
            "services.html",
            status=status,
            services=self._office.services,
            place=self._office.services_place,
            text=text,
            wrong=wrong,
            checked=checked,
            changes=found or [],
            wider=wider or [],
        )

    def _editor(
        self, request: web.Request, text: str, *, wrong: str = "", status: int = 200
    ) -> web.Response:
        status = 400 if wrong and status == 200 else status
        return templates.render(request, "editor.html", status=status, text=text, wrong=wrong)

    async def _standing(self) -> Plan | None:
        found = await asyncio.to_thread(standing, self._office.fleet)
        return found[0] if found else None

    async def _edition(self, given: str) -> Plan:
        number = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
        found = await asyncio.to_thread(edition, self._office.fleet, number)
        if found is None:
            raise Problem(404, "No such plan", "The versions there were stand on the plan's page.")
        return found
