"""How controls, ingest and spools do, and what today's rules would say of the last day."""

from collections import Counter

from aiohttp import web

from heliograph_collector.console import fleet_table, health_summary, templates
from heliograph_collector.console.access import OPERATOR, VIEWER, Add, Gate
from heliograph_collector.console.backend import NotSoError, Rehearsal
from heliograph_collector.console.fleet import rows_of

_BACKLOGS = 20


class Health:
    def __init__(self, gate: Gate) -> None:
        self._gate, self._office = gate, gate.office
        self._rehearsed: Rehearsal | None = None

    def routes(self, add: Add) -> None:
        add("GET", "/console/health", VIEWER, self.show)
        add("GET", "/console/rules", VIEWER, self.rules)
        add("POST", "/console/rules", OPERATOR, self.rehearse)

    async def show(self, request: web.Request) -> web.StreamResponse:
        found, ingest = await rows_of(self._office), self._office.ingest()
        refused: Counter[tuple[str, str, str]] = Counter()
        for carrier, status, reason, number in ingest.envelopes:
            if status not in ("stored", "duplicate"):
                refused[carrier, status, reason] += number
        return templates.render(
            request,
            "health.html",
            now_s=self._office.clock.wall_us() // 1_000_000,
            controls=[r for r in found if r.agent.role == "control" and r.state != "revoked"][:50],
            of_controls=health_summary.of_controls(found),
            ingest=ingest,
            of_ingest=health_summary.of_ingest(ingest),
            refused=refused.most_common(),
            of_refusals=health_summary.of_refusals(ingest),
            of_spools=health_summary.of_spools(found),
            backlogs=_backlogs(found),
        )

    async def rules(self, request: web.Request) -> web.StreamResponse:
        return self._rules(request)

    async def rehearse(self, request: web.Request) -> web.StreamResponse:
        await self._gate.note(request, "rules.rehearse")
        try:
            self._rehearsed = await self._office.rehearse()
        except NotSoError as error:
            return self._rules(request, status=409, wrong=str(error))
        return templates.away("/console/rules")

    def _rules(self, request: web.Request, *, status: int = 200, wrong: str = "") -> web.Response:
        return templates.render(
            request,
            "rules.html",
            status=status,
            rules=self._office.rules,
            rehearsed=self._rehearsed,
            wrong=wrong,
        )


def _backlogs(found: list[fleet_table.Row]) -> list[fleet_table.Row]:
    waiting = [r for r in found if r.here is not None and r.here.queued > health_summary.BACKLOG]
    return sorted(waiting, key=lambda r: -(r.here.queued if r.here else 0))[:_BACKLOGS]
