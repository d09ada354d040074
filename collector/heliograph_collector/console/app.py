"""Routes of the console, its audit trail and its event stream."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from heliograph_collector.console import forms, templates
from heliograph_collector.console.access import NOBODY, OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.backend import ConsoleBackend
from heliograph_collector.console.fleet import FleetPages
from heliograph_collector.console.health import HealthPages, HomePage
from heliograph_collector.console.invites import InvitePages
from heliograph_collector.console.login import LoginPages
from heliograph_collector.console.plans import PlanPages
from heliograph_collector.console.rules import RulesPages
from heliograph_collector.console.voice_page import VoiceCodePage
from heliograph_collector.fleet.audit_log import AuditEntry
from heliograph_collector.http.headers import head_event_stream, start_event_stream
from heliograph_collector.http.problem import Problem

PAGE_SIZE = 50  # entries of the audit trail
POLL_S = 1.0
KEEPALIVE_POLLS = 15
MAX_STREAMS = 64  # open at once


class ConsoleEventStream:
    def __init__(self, access_control: AccessControl, poll_s: float = POLL_S) -> None:
        self._access_control = access_control
        self._poll_s = poll_s
        self._open_count = 0
        self._closing = asyncio.Event()

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", "/console/stream", VIEWER, self.__call__)

    async def close(self, app: web.Application) -> None:
        """End all streams before their sources are closed; pages connect again."""
        self._closing.set()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return head_event_stream()
        if self._open_count >= MAX_STREAMS:
            raise Problem(503, "Too many pages", "Close some.", headers={"Retry-After": "60"})
        self._open_count += 1
        try:
            return await self._send_changes(request)
        finally:
            self._open_count -= 1

    async def _send_changes(self, request: web.Request) -> web.StreamResponse:
        markers = self._access_control.backend.read_change_markers()
        response = await start_event_stream(request, "retry: 3000\n: welcome\n\n")
        poll_count = 0
        while self._access_control.is_still_allowed(request):
            if await self._is_closing_soon():
                return response
            new_markers = self._access_control.backend.read_change_markers()
            poll_count = poll_count + 1
            changed_topics = sorted(
                topic for topic in new_markers if new_markers[topic] != markers.get(topic)
            )
            markers = new_markers
            if changed_topics:
                await response.write(_format_event("changed", {"topics": changed_topics}))
            elif poll_count % KEEPALIVE_POLLS == 0:
                await response.write(b": alive\n\n")
        await response.write(_format_event("over", {}))
        return response

    async def _is_closing_soon(self) -> bool:
        try:
            async with asyncio.timeout(self._poll_s):
                return await self._closing.wait()
        except TimeoutError:
            return False


def _format_event(name: str, data: Mapping[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailView(templates.PageView):
    template: ClassVar[str] = "trail.html"
    entries: Sequence[AuditEntry]
    older: int  # where the next page begins
    is_newest: bool


class AuditPage:
    def __init__(self, access_control: AccessControl) -> None:
        self._backend = access_control.backend

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", "/console/trail", OPERATOR, self.show)

    async def show(self, request: web.Request) -> web.StreamResponse:
        before = forms.parse_number(request.query.get("before", ""), 15)
        entries, older = await asyncio.to_thread(self._backend.trail.read_page, before, PAGE_SIZE)
        view = TrailView(entries=entries, older=older, is_newest=before is None)
        return templates.render(request, view)


PAGE_GROUPS = (
    LoginPages,
    HomePage,
    FleetPages,
    InvitePages,
    PlanPages,
    HealthPages,
    RulesPages,
    VoiceCodePage,
    AuditPage,
)


def add_routes(app: web.Application, backend: ConsoleBackend) -> AccessControl:
    """Add the routes; return the access control, with which other parts add theirs."""
    access_control = AccessControl(backend)
    add_route = access_control.route_adder(app)
    add_route("GET", "/console/static/{name}", NOBODY, templates.serve_static)
    for page_group in PAGE_GROUPS:
        page_group(access_control).routes(add_route)
    event_stream = ConsoleEventStream(access_control)
    event_stream.routes(add_route)
    app.on_shutdown.append(event_stream.close)
    return access_control
