"""The first page after the login: one line on each thing that an operator worries about."""

from aiohttp import web

from heliograph_collector.console import health_summary, templates
from heliograph_collector.console.access import VIEWER, Add, Gate
from heliograph_collector.console.fleet import rows_of


class Home:
    def __init__(self, gate: Gate) -> None:
        self._office = gate.office

    def routes(self, add: Add) -> None:
        add("GET", "/console", VIEWER, self.show)

    async def show(self, request: web.Request) -> web.StreamResponse:
        found, ingest = await rows_of(self._office), self._office.ingest()
        standing = self._office.standing
        told = (
            [("/console/incidents", "Incidents", health_summary.of_incidents(standing()))]
            if standing
            else []
        )
        lines = (
            *told,
            ("/console/fleet", "Fleet", health_summary.of_fleet(found)),
            ("/console/health#controls", "Controls", health_summary.of_controls(found)),
            ("/console/health#ingest", "Ingest", health_summary.of_ingest(ingest)),
            ("/console/health#refusals", "Refusals", health_summary.of_refusals(ingest)),
            ("/console/health#spools", "Spools", health_summary.of_spools(found)),
        )
        return templates.render(
            request, "home.html", lines=lines, newest=[r for r in found if r.here][:6]
        )
