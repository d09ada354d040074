"""The fleet: who there is, where, how well, and the end of it for one. Never an address."""

import asyncio

from aiohttp import web

from heliograph_collector.console import fleet_table, health_summary, templates
from heliograph_collector.console.access import OPERATOR, VIEWER, Add, Gate
from heliograph_collector.console.backend import Office
from heliograph_collector.http.problem import Problem

CELLS = 100  # of the coverage that are shown


async def rows_of(office: Office) -> list[fleet_table.Row]:
    agents = await asyncio.to_thread(office.fleet.agents)
    return fleet_table.rows(agents, office.here())


class Fleet:
    def __init__(self, gate: Gate) -> None:
        self._gate, self._office = gate, gate.office

    def routes(self, add: Add) -> None:
        add("GET", "/console/fleet", VIEWER, self.show)
        add("GET", "/console/fleet/coverage", VIEWER, self.coverage)
        add("GET", "/console/fleet/{id}", VIEWER, self.one)
        add("POST", "/console/fleet/{id}/revoke", OPERATOR, self.revoke)

    async def show(self, request: web.Request) -> web.StreamResponse:
        found = await rows_of(self._office)
        wanted = _wanted(request)
        return templates.render(
            request,
            "fleet.html",
            wanted=wanted,
            cut=fleet_table.cut(found, wanted),
            states=fleet_table.STATES,
            line=health_summary.of_fleet(found),
            now_s=self._office.clock.wall_us() // 1_000_000,
        )

    async def coverage(self, request: web.Request) -> web.StreamResponse:
        cells = fleet_table.coverage(await rows_of(self._office))
        return templates.render(
            request, "coverage.html", cells=cells[:CELLS], hidden=max(0, len(cells) - CELLS)
        )

    async def one(self, request: web.Request) -> web.StreamResponse:
        return templates.render(
            request,
            "agent.html",
            row=await self._row(request),
            now_s=self._office.clock.wall_us() // 1_000_000,
        )

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Only with the beginning of its id typed in again: there is no way back."""
        row = await self._row(request)
        if self._gate.form(request).get("again", "").strip().lower() != row.id[:6]:
            raise Problem(400, "Not revoked", f"To be sure, type {row.id[:6]} into the field.")
        if row.agent.revoked_s is not None:
            raise Problem(409, "Revoked already", "This agent is turned away already.")
        await self._gate.note(request, "agent.revoke", row.id)
        now_s = self._office.clock.wall_us() // 1_000_000
        await asyncio.to_thread(self._office.fleet.revoke, row.agent.id, now_s)
        return templates.away(f"/console/fleet/{row.id}")

    async def _row(self, request: web.Request) -> fleet_table.Row:
        id_ = request.match_info["id"]
        for row in await rows_of(self._office):
            if row.id == id_:
                return row
        raise Problem(404, "No such agent", "Nobody of that id is enrolled; see the list.")


def _wanted(request: web.Request) -> fleet_table.Wanted:
    query = request.query
    page = query.get("page", "1")
    return fleet_table.Wanted(
        text=query.get("q", "")[:64],
        state=query.get("state", "all"),
        role=query.get("role", ""),
        page=int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
    )
