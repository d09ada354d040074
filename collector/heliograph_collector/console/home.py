"""The first page after the login: one line on each thing that an operator worries about."""

from aiohttp import web

from heliograph_collector.console import frame, verdicts
from heliograph_collector.console.fleet import rows_of
from heliograph_collector.console.gate import VIEWER, Add, Gate


class Home:
    def __init__(self, gate: Gate) -> None:
        self._office = gate.office

    def routes(self, add: Add) -> None:
        add("GET", "/console", VIEWER, self.show)

    async def show(self, request: web.Request) -> web.StreamResponse:
        found, ingest = await rows_of(self._office), self._office.ingest()
        standing = self._office.standing
        told = (
            [("/console/incidents", "Incidents", verdicts.of_incidents(standing()))]
            if standing
            else []
        )
        lines = (
            *told,
            ("/console/fleet", "Fleet", verdicts.of_fleet(found)),
            ("/console/health#controls", "Controls", verdicts.of_controls(found)),
            ("/console/health#ingest", "Ingest", verdicts.of_ingest(ingest)),
            ("/console/health#refusals", "Refusals", verdicts.of_refusals(ingest)),
            ("/console/health#spools", "Spools", verdicts.of_spools(found)),
        )
        return frame.render(
            request, "home.html", lines=lines, newest=[r for r in found if r.here][:6]
        )
