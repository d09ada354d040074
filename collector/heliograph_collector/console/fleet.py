"""The fleet pages: agents, coverage, and revocation; without any address."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from heliograph_collector.console import fleet_table, forms, health_summary, templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.backend import ConsoleBackend
from heliograph_collector.fleet.absence import AgentRecord, list_reasons
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.fleet.session_records import read_plan_issue, read_refusal
from heliograph_collector.http.problem import Problem

MAX_CELLS = 100  # shown cells of the coverage
MAX_NAME = 60  # characters of an agent's name; assumed, a line of the table
MAX_NOTE = 500  # as of a note on an incident


async def list_rows(backend: ConsoleBackend) -> list[fleet_table.FleetRow]:
    agents = await asyncio.to_thread(backend.fleet.list_agents)
    return fleet_table.build_rows(agents, backend.list_live_agents())


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView(templates.PageView):
    template: ClassVar[str] = "fleet.html"
    fleet_filter: fleet_table.FleetFilter
    fleet_page: fleet_table.FleetPage
    states: Sequence[str]
    status_line: health_summary.StatusLine
    now_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageView(templates.PageView):
    template: ClassVar[str] = "coverage.html"
    cells: Sequence[fleet_table.FleetCoverage]
    hidden: int  # cells beyond MAX_CELLS


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView(templates.PageView):
    template: ClassVar[str] = "agent.html"
    row: fleet_table.FleetRow
    record: AgentRecord
    reasons: Sequence[str]  # why it may be silent
    neighbors: str
    now_s: int


class FleetPages:
    def __init__(self, access_control: AccessControl) -> None:
        self._access_control = access_control
        self._backend = access_control.backend

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", "/console/fleet", VIEWER, self.show)
        add_route("GET", "/console/fleet/coverage", VIEWER, self.show_coverage)
        add_route("GET", "/console/fleet/{id}", VIEWER, self.show_agent)
        add_route("POST", "/console/fleet/{id}/describe", OPERATOR, self.describe)
        add_route("POST", "/console/fleet/{id}/revoke", OPERATOR, self.revoke)

    async def show(self, request: web.Request) -> web.StreamResponse:
        rows = await list_rows(self._backend)
        fleet_filter = _parse_filter(request)
        view = FleetView(
            fleet_filter=fleet_filter,
            fleet_page=fleet_table.cut_page(rows, fleet_filter),
            states=fleet_table.STATES,
            status_line=health_summary.summarize_fleet(rows),
            now_s=self._backend.clock.wall_us() // 1_000_000,
        )
        return templates.render(request, view)

    async def show_coverage(self, request: web.Request) -> web.StreamResponse:
        cells = fleet_table.build_coverage(await list_rows(self._backend))
        view = CoverageView(cells=cells[:MAX_CELLS], hidden=max(0, len(cells) - MAX_CELLS))
        return templates.render(request, view)

    async def show_agent(self, request: web.Request) -> web.StreamResponse:
        rows = await list_rows(self._backend)
        row = _find_row(rows, request.match_info["id"])
        now_s = self._backend.clock.wall_us() // 1_000_000
        record = await asyncio.to_thread(self._read_record, row.agent)
        view = AgentView(
            row=row,
            record=record,
            reasons=list_reasons(row.agent, record, now_s, is_here=row.live is not None),
            neighbors=fleet_table.describe_neighbors(row, rows),
            now_s=now_s,
        )
        return templates.render(request, view)

    def _read_record(self, agent: EnrolledAgent) -> AgentRecord:
        fleet = self._backend.fleet
        return AgentRecord(
            end=self._backend.find_end(agent.id),
            refusal=read_refusal(fleet, agent.id),
            incident=self._backend.find_silence(agent),
            plan=read_plan_issue(fleet),
        )

    async def describe(self, request: web.Request) -> web.StreamResponse:
        """Set an agent's name and note.

        The trail records that they changed and not to what, so that both can be erased.
        """
        row = await self._read_row(request)
        form = self._access_control.checked_form(request)
        name = " ".join(form.get("name", "").split())
        note = form.get("note", "").replace("\r\n", "\n").strip()
        if error_text := _check_description(name, note):
            raise Problem(400, "Not saved", error_text)
        await self._access_control.record_audit(request, "agent.describe", row.id)
        await asyncio.to_thread(self._backend.fleet.describe_agent, row.agent.id, name, note)
        return templates.redirect(f"/console/fleet/{row.id}")

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Revoke an agent; the form must repeat the beginning of its id.

        Revocation is permanent.
        """
        row = await self._read_row(request)
        if (
            self._access_control.checked_form(request).get("again", "").strip().lower()
            != row.id[:6]
        ):
            raise Problem(400, "Not revoked", f"To be sure, type {row.id[:6]} into the field.")
        if row.agent.revoked_s is not None:
            raise Problem(409, "Revoked already", "This agent is turned away already.")
        await self._access_control.record_audit(request, "agent.revoke", row.id)
        now_s = self._backend.clock.wall_us() // 1_000_000
        await asyncio.to_thread(self._backend.fleet.revoke_agent, row.agent.id, now_s)
        return templates.redirect(f"/console/fleet/{row.id}")

    async def _read_row(self, request: web.Request) -> fleet_table.FleetRow:
        return _find_row(await list_rows(self._backend), request.match_info["id"])


def _find_row(rows: Sequence[fleet_table.FleetRow], id_: str) -> fleet_table.FleetRow:
    """Raises Problem 404."""
    for row in rows:
        if row.id == id_:
            return row
    raise Problem(404, "No such agent", "Nobody of that id is enrolled; see the list.")


def _check_description(name: str, note: str) -> str:
    """Return a sentence on the fault of a name or a note, "" if there is none."""
    for field, text, most in (("name", name, MAX_NAME), ("note", note, MAX_NOTE)):
        if len(text) > most:
            return f"The {field} has {len(text)} characters; {most} are allowed."
        if not text.replace("\n", "").isprintable():
            return f"The {field} has a character that cannot be shown; type it again."
    return ""


def _parse_filter(request: web.Request) -> fleet_table.FleetFilter:
    query = request.query
    return fleet_table.FleetFilter(
        search_text=query.get("q", "")[:64],
        state=query.get("state", "all"),
        role=query.get("role", ""),
        page=forms.parse_number(query.get("page", ""), 6) or 1,
    )
