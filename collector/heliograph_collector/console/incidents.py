"""Incident pages of the console: evidence, and the four acts of an operator."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.http.problem import Problem

PATH = "/console/incidents"
ACTS = ("acknowledged", "annotated", "confirmed", "withdrawn")
FILTERS = ("open", "over", "all")
_MAX_ROWS = 200  # rows of the list
_EVIDENCE_TIMEOUT_S = 10.0  # after this time the page is shown without the store's data


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """One incident in the list; `marks` are labels beside its state."""

    id: str
    sentence: str
    state: str
    is_open: bool
    country: str
    service: str
    facts: Sequence[str]
    marks: Sequence[str]
    updated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntryView:
    """One log entry of an incident."""

    entry: int
    at: str
    change: str
    by: str  # detector or operator
    comment: str
    name: str
    is_alert: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentDetail:
    """One incident of the log; `allowed_acts` are those that an operator may record."""

    row: IncidentRow
    newest_entry: int
    allowed_acts: Sequence[str]
    facts: Sequence[tuple[str, str]]
    counter_evidence: Sequence[str]
    hints: Sequence[str]
    parts: Sequence[Mapping[str, Any]]
    turns: Sequence[tuple[str, str]]
    log_entries: Sequence[LogEntryView]
    page: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkVotes:
    """The vantages of one network during an incident.

    For a silence (`is_silence`), `bad` counts those silent at once, `good` those connected now.
    """

    name: str
    bad: int
    good: int
    unknown: int
    is_silence: bool

    @property
    def bar_widths(self) -> tuple[int, int, int]:
        """Return the shares of failing, good and unknown vantages, in percent."""
        total = max(1, self.bad + self.good + self.unknown)
        bad = round(100 * self.bad / total)
        good = round(100 * self.good / total)
        return bad, good, 100 - bad - good


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementRow:
    """A measurement that supports the incident."""

    id: str
    at: str
    network: str
    target: str
    state: str
    how: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceView:
    networks: Sequence[NetworkVotes] = ()
    measurements: Sequence[MeasurementRow] = ()
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class IncidentActions:
    """Callables of the incident pages.

    `record_act` takes (id, act, seen entry, comment, name) and raises ActRefusedError.
    `get_evidence` may raise OSError or StoreError, which the page then shows.
    """

    list_incidents: Callable[[], Sequence[IncidentRow]]
    get_incident: Callable[[str], IncidentDetail | None]
    get_evidence: Callable[[str], Awaitable[EvidenceView]]
    record_act: Callable[[str, str, int, str, str], Awaitable[None]]


class ActRefusedError(Exception):
    """An act is invalid; the text is a sentence with the correction."""


def add_routes(
    add_route: AddRoute, access_control: AccessControl, actions: IncidentActions
) -> None:
    pages = _IncidentPages(access_control, actions)
    add_route("GET", PATH, VIEWER, pages.show_list)
    add_route("GET", PATH + "/{id}", VIEWER, pages.show_incident)
    add_route("POST", PATH + "/{id}", OPERATOR, pages.record_act)


class _IncidentPages:
    def __init__(self, access_control: AccessControl, actions: IncidentActions) -> None:
        self._access_control = access_control
        self._actions = actions

    async def show_list(self, request: web.Request) -> web.StreamResponse:
        query = {name: request.query.get(name, "")[:64] for name in ("show", "country", "service")}
        show = query["show"] if query["show"] in FILTERS else "open"
        incident_rows = await asyncio.to_thread(self._actions.list_incidents)
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
        entry_text = form.get("seen", "")
        comment = form.get("text", "")
        session = templates.session_of(request)
        name = session.name if session and form.get("named") else ""
        await self._access_control.record_audit(request, f"incident.{act}", incident.row.id)
        try:
            seen_entry = (
                int(entry_text)
                if entry_text.isascii() and entry_text.isdigit() and len(entry_text) < 10
                else 0
            )
            await self._actions.record_act(incident.row.id, act, seen_entry, comment, name)
        except ActRefusedError as refusal:
            current = self._find_incident(request)
            return await self._render_incident(
                request, current, status=409, error_text=str(refusal), act=act, comment=comment
            )
        return templates.redirect(f"{PATH}/{incident.row.id}")

    def _find_incident(self, request: web.Request) -> IncidentDetail:
        """Find an incident. Raises Problem 404."""
        incident = self._actions.get_incident(request.match_info["id"])
        if incident is None:
            raise Problem(404, "No such incident", f"Those that there are, are at {PATH}.")
        return incident

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

    async def _get_evidence(self, id_: str) -> EvidenceView:
        """Read the evidence; on failure the page shows the reason instead."""
        try:
            async with asyncio.timeout(_EVIDENCE_TIMEOUT_S):
                return await self._actions.get_evidence(id_)
        except TimeoutError:
            return EvidenceView(problem="The store takes too long; load the page again.")
