"""The audit trail, the newest first."""

import asyncio

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, Add, Gate

PAGE = 50


class Diary:
    def __init__(self, gate: Gate) -> None:
        self._office = gate.office

    def routes(self, add: Add) -> None:
        add("GET", "/console/trail", OPERATOR, self.show)

    async def show(self, request: web.Request) -> web.StreamResponse:
        given = request.query.get("before", "")
        before = int(given) if given.isascii() and given.isdigit() and len(given) < 16 else None
        deeds, older = await asyncio.to_thread(self._office.trail.page, before, PAGE)
        return templates.render(
            request, "trail.html", deeds=deeds, older=older, first=before is None
        )
