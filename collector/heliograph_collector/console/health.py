"""The overview and the health page."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from heliograph_collector.console import fleet_table, health_summary, templates
from heliograph_collector.console.access import VIEWER, AccessControl, AddRoute
from heliograph_collector.console.backend import IngestStatus
from heliograph_collector.console.fleet import list_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeView(templates.PageView):
    template: ClassVar[str] = "home.html"
    lines: Sequence[tuple[str, str, health_summary.StatusLine]]  # path, title, state
    newest: Sequence[fleet_table.FleetRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthView(templates.PageView):
    template: ClassVar[str] = "health.html"
    now_s: int
    controls: Sequence[fleet_table.FleetRow]
    controls_line: health_summary.StatusLine
    ingest: IngestStatus
    ingest_line: health_summary.StatusLine
    refusals: Sequence[tuple[tuple[str, str, str], int]]  # (carrier, status, reason), count
    refusals_line: health_summary.StatusLine
    spools_line: health_summary.StatusLine
    backlogs: Sequence[fleet_table.FleetRow]


class HomePage:
    def __init__(self, access_control: AccessControl) -> None:
        self._backend = access_control.backend

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", "/console", VIEWER, self.show)

    async def show(self, request: web.Request) -> web.StreamResponse:
        rows = await list_rows(self._backend)
        ingest_status = self._backend.read_ingest_status()
        incident_counts = self._backend.count_incidents()
        lines = (
            (
                "/console/incidents",
                "Incidents",
                health_summary.summarize_incidents(incident_counts),
            ),
            ("/console/fleet", "Fleet", health_summary.summarize_fleet(rows)),
            ("/console/health#controls", "Controls", health_summary.summarize_controls(rows)),
            ("/console/health#ingest", "Ingest", health_summary.summarize_ingest(ingest_status)),
            (
                "/console/health#refusals",
                "Refusals",
                health_summary.summarize_refusals(ingest_status),
            ),
            ("/console/health#spools", "Spools", health_summary.summarize_spools(rows)),
        )
        view = HomeView(lines=lines, newest=[r for r in rows if r.live][:6])
        return templates.render(request, view)


_MAX_BACKLOGS = 20


class HealthPages:
    def __init__(self, access_control: AccessControl) -> None:
        self._backend = access_control.backend

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", "/console/health", VIEWER, self.show)

    async def show(self, request: web.Request) -> web.StreamResponse:
        rows = await list_rows(self._backend)
        ingest_status = self._backend.read_ingest_status()
        refused_counts: Counter[tuple[str, str, str]] = Counter()
        for carrier, status, reason, number in ingest_status.envelopes:
            if status not in ("stored", "duplicate"):
                refused_counts[carrier, status, reason] += number
        view = HealthView(
            now_s=self._backend.clock.wall_us() // 1_000_000,
            controls=[r for r in rows if r.agent.role == "control" and r.state != "revoked"][:50],
            controls_line=health_summary.summarize_controls(rows),
            ingest=ingest_status,
            ingest_line=health_summary.summarize_ingest(ingest_status),
            refusals=refused_counts.most_common(),
            refusals_line=health_summary.summarize_refusals(ingest_status),
            spools_line=health_summary.summarize_spools(rows),
            backlogs=_list_backlogs(rows),
        )
        return templates.render(request, view)


def _list_backlogs(rows: list[fleet_table.FleetRow]) -> list[fleet_table.FleetRow]:
    backlog_rows = [r for r in rows if _count_queued(r) > health_summary.BACKLOG_ENVELOPES]
    return sorted(backlog_rows, key=_count_queued, reverse=True)[:_MAX_BACKLOGS]


def _count_queued(row: fleet_table.FleetRow) -> int:
    return row.live.queued_envelopes if row.live is not None else 0
