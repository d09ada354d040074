"""Incident pages of the console: evidence, and the four acts of an operator."""

import asyncio
from typing import Protocol

from aiohttp import web

from heliograph_collector.console import forms, templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.incident_views import (
    IncidentDetail,
    IncidentRow,
    build_detail,
    build_row,
)
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.incident_evidence import EvidenceReader, IncidentEvidence
from heliograph_collector.http.problem import Problem
from heliograph_collector.incidents.log_file import AlertLogError
from heliograph_collector.incidents.operator_entries import OperatorEntry, OperatorEntryError
from heliograph_collector.incidents.state import LogEntry, OperatorAct

PATH = "/console/incidents"
ACTS = ("acknowledged", "annotated", "confirmed", "withdrawn")
FILTERS = ("open", "over", "all")
_MAX_ROWS = 200  # rows of the list
_EVIDENCE_TIMEOUT_S = 10.0  # after this time the page is shown without the store's data


class OperatorLog(Protocol):
    """The incident log, to which an operator adds entries."""

    async def record_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        """Write an entry. Raises OperatorEntryError, OSError, AlertLogError."""
        ...


class IncidentPages:
    """The incident pages; they read the feed and write to the log."""

    def __init__(
        self, access_control: AccessControl, feed: Feed, operator_log: OperatorLog
    ) -> None:
        self._access_control = access_control
        self._operator_log = operator_log
        self._incident_cache = IncidentCache(feed)
        self._evidence_reader = EvidenceReader(feed)

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", PATH, VIEWER, self.show_list)
        add_route("GET", PATH + "/{id}", VIEWER, self.show_incident)
        add_route("POST", PATH + "/{id}", OPERATOR, self.record_act)

    async def show_list(self, request: web.Request) -> web.StreamResponse:
        query = {name: request.query.get(name, "")[:64] for name in ("show", "country", "service")}
        show = query["show"] if query["show"] in FILTERS else "open"
        incident_rows = await asyncio.to_thread(self._list_incidents)
        matching = [
            line
            for line in incident_rows
            if (not query["country"] or line.country == query["country"])
            and (not query["service"] or line.service == query["service"])
        ]
        counts = {
            "open": sum(line.is_open for line in matching),
            "over": sum(not line.is_open for line in matching),
            "all": len(matching),
        }
        rows = [line for line in matching if show == "all" or line.is_open is (show == "open")]
        return templates.render(
            request,
            "incidents.html",
            rows=rows[:_MAX_ROWS],
            more=len(rows[_MAX_ROWS:]),
            counts=counts,
            show=show,
            asked=query,
            countries=sorted({line.country for line in incident_rows}),
            services=sorted({line.service for line in incident_rows if line.service}),
        )

    async def show_incident(self, request: web.Request) -> web.StreamResponse:
        return await self._render_incident(request, self._find_incident(request))

    async def record_act(self, request: web.Request) -> web.StreamResponse:
        incident = self._find_incident(request)
        form = self._access_control.checked_form(request)
        act = form.get("act", "")
        if act not in ACTS:
            raise Problem(400, "No such act", f"It is one of {', '.join(ACTS)}.")
        comment = form.get("text", "")
        session = templates.session_of(request)
        name = session.name if session and form.get("named") else ""
        await self._access_control.record_audit(request, f"incident.{act}", incident.row.id)
        seen_number = forms.parse_number(form.get("seen", ""), 9) or 0
        refusal = await self._write_entry(
            OperatorEntry(
                incident=incident.row.id,
                act=OperatorAct(f"operator_{act}"),
                seen_number=seen_number,
                note=comment,
                name=name,
            )
        )
        if refusal:
            current = self._find_incident(request)
            return await self._render_incident(
                request, current, status=409, error_text=refusal, act=act, comment=comment
            )
        return templates.redirect(f"{PATH}/{incident.row.id}")

    async def _write_entry(self, operator_entry: OperatorEntry) -> str:
        """Write the entry; return the reason in a sentence if the log refuses it."""
        try:
            await self._operator_log.record_operator_entry(operator_entry)
        except OperatorEntryError as error:
            return str(error)
        except (OSError, AlertLogError) as error:
            return f"The log cannot be written, so nothing was said: {error}."
        return ""

    def _list_incidents(self) -> list[IncidentRow]:
        """List the incidents, confirmed before suspected before closed ones."""
        rows = [build_row(incident) for incident in self._incident_cache.all_incidents()]
        return sorted(rows, key=_rank_state)

    def _find_incident(self, request: web.Request) -> IncidentDetail:
        """Find an incident. Raises Problem 404."""
        incident = self._incident_cache.get_incident(request.match_info["id"])
        if incident is None:
            raise Problem(404, "No such incident", f"Those that there are, are at {PATH}.")
        return build_detail(incident)

    async def _render_incident(
        self,
        request: web.Request,
        incident: IncidentDetail,
        *,
        status: int = 200,
        error_text: str = "",
        act: str = "",
        comment: str = "",
    ) -> web.StreamResponse:
        return templates.render(
            request,
            "incident.html",
            status=status,
            case=incident,
            evidence=await self._get_evidence(incident.row.id),
            wrong=error_text,
            act=act,
            text=comment,
        )

    async def _get_evidence(self, id_: str) -> IncidentEvidence:
        """Read the evidence; on failure the page shows the reason instead."""
        incident = self._incident_cache.get_incident(id_)
        if incident is None:
            return IncidentEvidence()
        try:
            async with asyncio.timeout(_EVIDENCE_TIMEOUT_S):
                return await self._evidence_reader.read_evidence(incident)
        except TimeoutError:
            return IncidentEvidence(problem="The store takes too long; load the page again.")


def _rank_state(row: IncidentRow) -> int:
    return {"confirmed": 0, "suspected": 1}.get(row.state, 2)
