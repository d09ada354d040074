"""Show incidents with evidence, and let an operator review and sign entries.

A review shows what an entry would publish, before it is signed for ever. It is kept under a random
token, for one session, once and for ten minutes. Only the token comes back from the page, so that
exactly the reviewed text is published.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from heliograph.clock import Clock
from heliograph.units import MINUTE_US
from heliograph_collector.console import forms, templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.incident_views import (
    IncidentDetail,
    IncidentRow,
    build_detail,
    build_row,
)
from heliograph_collector.console.publication import (
    ACT_PREFIX,
    ACTS,
    EntryPublisher,
    OperatorLog,
    Publication,
    PublicationChangedError,
)
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.incident_evidence import (
    EvidenceReader,
    EvidenceSource,
    IncidentEvidence,
)
from heliograph_collector.http.problem import Problem
from heliograph_collector.incidents.log_file import AlertLogError
from heliograph_collector.incidents.operator_entries import OperatorEntry, OperatorEntryError
from heliograph_collector.incidents.state import OperatorAct

PATH = "/console/incidents"
FILTERS = ("open", "over", "all")
_MAX_ROWS = 200  # rows of the list
_USED_REVIEW = "This was published, or its page is too old: nothing was published now."
_CHANGED = "It has changed since you looked: read again what would be published."
_EVIDENCE_TIMEOUT_S = 10.0  # after this time the page is shown without the store's data
LIFETIME_US = 10 * MINUTE_US  # assumed; enough to read a page, and to ask a colleague
MAX_REVIEWS = 64  # of all operators together; the oldest is removed first


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Reviewed entry that is not signed yet; `session_token` is that of its operator."""

    session_token: str
    operator_entry: OperatorEntry
    publication: Publication
    made_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentListView(templates.PageView):
    template: ClassVar[str] = "incidents.html"
    rows: Sequence[IncidentRow]
    omitted_count: int
    counts: Mapping[str, int]  # by filter
    show: str  # the chosen one of FILTERS
    query: Mapping[str, str]
    countries: Sequence[str]
    services: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewView(templates.PageView):
    template: ClassVar[str] = "review.html"
    incident_id: str
    publication: Publication
    review: str  # the token of the review
    error_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView(templates.PageView):
    template: ClassVar[str] = "incident.html"
    incident: IncidentDetail
    evidence: IncidentEvidence
    error_text: str
    comment: str  # as it was typed


class Reviews:
    """Reviews that wait for their operator, in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reviews: dict[str, Review] = {}

    def add(
        self, session_token: str, operator_entry: OperatorEntry, publication: Publication
    ) -> str:
        """Keep a review and return its token."""
        while len(self._reviews) >= MAX_REVIEWS:
            del self._reviews[next(iter(self._reviews))]
        token = secrets.token_urlsafe(32)
        self._reviews[token] = Review(
            session_token=session_token,
            operator_entry=operator_entry,
            publication=publication,
            made_us=self._clock.monotonic_us(),
        )
        return token

    def take(self, token: str, session_token: str, incident: str) -> Review | None:
        """Remove and return the review of this session and incident; None without one."""
        review = self._reviews.get(token)
        if (
            review is None
            or not secrets.compare_digest(review.session_token, session_token)
            or review.operator_entry.incident != incident
        ):
            return None
        del self._reviews[token]
        is_late = self._clock.monotonic_us() - review.made_us > LIFETIME_US
        return None if is_late else review


class IncidentPages:
    """The incident pages; they read the feed and write to the log."""

    def __init__(
        self,
        access_control: AccessControl,
        feed: Feed,
        operator_log: OperatorLog,
        evidence: EvidenceSource | None = None,
    ) -> None:
        self._access_control = access_control
        self._reviews = Reviews(access_control.backend.clock)
        self._incident_cache = IncidentCache(feed)
        self._publisher = EntryPublisher(operator_log, self._incident_cache)
        self._evidence_reader = EvidenceReader(evidence or feed)

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", PATH, VIEWER, self.show_list)
        add_route("GET", PATH + "/{id}", VIEWER, self.show_incident)
        add_route("POST", PATH + "/{id}", OPERATOR, self.review_act)
        add_route("POST", PATH + "/{id}/publish", OPERATOR, self.publish_act)

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
        view = IncidentListView(
            rows=rows[:_MAX_ROWS],
            omitted_count=len(rows[_MAX_ROWS:]),
            counts=counts,
            show=show,
            query=query,
            countries=sorted({line.country for line in incident_rows}),
            services=sorted({line.service for line in incident_rows if line.service}),
        )
        return templates.render(request, view)

    async def show_incident(self, request: web.Request) -> web.StreamResponse:
        return await self._render_incident(request)

    async def review_act(self, request: web.Request) -> web.StreamResponse:
        """Show what an act would publish; nothing is written yet."""
        incident = self._find_incident(request)
        form = self._access_control.checked_form(request)
        act = form.get("act", "")
        if act not in ACTS:
            raise Problem(400, "No such act", f"It is one of {', '.join(ACTS)}.")
        session = templates.session_of(request)
        operator_entry = OperatorEntry(
            incident=incident.row.id,
            act=OperatorAct(ACT_PREFIX + act),
            seen_number=forms.parse_number(form.get("seen", ""), 9) or 0,
            note=form.get("text", ""),
            name=session.name if session and form.get("named") else "",
        )
        try:
            return await self._render_review(request, operator_entry)
        except OperatorEntryError as error:
            return await self._render_incident(request, str(error), operator_entry.note)

    async def publish_act(self, request: web.Request) -> web.StreamResponse:
        """Write the entry of a review, if it still publishes what its page showed."""
        incident = self._find_incident(request)
        session = templates.session_of(request)
        token = self._access_control.checked_form(request).get("review", "")
        review = self._reviews.take(token, session.token if session else "", incident.row.id)
        if review is None:
            return await self._render_incident(request, _USED_REVIEW)
        entry = review.operator_entry

        async def record_audit(action: str) -> None:
            await self._access_control.record_audit(request, action, entry.incident)

        try:
            await self._publisher.publish(entry, review.publication, record_audit)
        except PublicationChangedError:
            return await self._render_changed(request, entry)
        except OperatorEntryError as error:
            return await self._render_incident(request, str(error), entry.note)
        except (OSError, AlertLogError) as error:
            refusal = f"The log cannot be written, so nothing was said: {error}."
            return await self._render_incident(request, refusal, entry.note)
        return templates.redirect(f"{PATH}/{entry.incident}")

    async def _render_changed(
        self, request: web.Request, entry: OperatorEntry
    ) -> web.StreamResponse:
        try:
            return await self._render_review(request, entry, status=409, error_text=_CHANGED)
        except OperatorEntryError as error:
            return await self._render_incident(request, str(error), entry.note)

    async def _render_review(
        self,
        request: web.Request,
        operator_entry: OperatorEntry,
        *,
        status: int = 200,
        error_text: str = "",
    ) -> web.StreamResponse:
        """Show a review under a new token. Raises OperatorEntryError."""
        publication = await self._publisher.preview(operator_entry)
        session = templates.session_of(request)
        token = self._reviews.add(session.token if session else "", operator_entry, publication)
        view = ReviewView(
            incident_id=operator_entry.incident,
            publication=publication,
            review=token,
            error_text=error_text,
        )
        return templates.render(request, view, status=status)

    async def _render_incident(
        self, request: web.Request, error_text: str = "", comment: str = ""
    ) -> web.StreamResponse:
        """Show the present incident, after a refusal with reason and typed comment."""
        incident = self._find_incident(request)
        view = IncidentView(
            incident=incident,
            evidence=await self._get_evidence(incident.row.id),
            error_text=error_text,
            comment=comment,
        )
        return templates.render(request, view, status=409 if error_text else 200)

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
