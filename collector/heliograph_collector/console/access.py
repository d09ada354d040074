"""Access control: every path of the console declares its role, without exception.

The roles are those of `fleet.operators`, and NOBODY for pages before the login.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import ClassVar

from aiohttp import web

from heliograph_collector.console import forms, templates
from heliograph_collector.console.backend import ConsoleBackend
from heliograph_collector.console.sessions import LIFETIME_US, LoginSession, Sessions
from heliograph_collector.fleet.operators import ROLES, OperatorsError, Person
from heliograph_collector.http.problem import Problem

log = logging.getLogger("heliograph.console")

NOBODY = ""
VIEWER = ROLES[0]
OPERATOR = ROLES[1]
LOGIN = "/console/login"
_FORM = web.RequestKey("form", Mapping[str, str])
MAX_LINES = 64  # assumed; of the audit trail that wait, each with a request that waits
LIVE_HEADER = "X-Heliograph-Live"  # of a page that refreshes itself, possibly without a user
PageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
AddRoute = Callable[[str, str, str, PageHandler], None]  # method, path, role, page


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalView(templates.PageView):
    template: ClassVar[str] = "refusal.html"
    title: str
    detail: str


class AccessControl:
    def __init__(self, backend: ConsoleBackend) -> None:
        self.backend = backend
        self.sessions = Sessions(backend.clock)
        self._line_turn = asyncio.Lock()  # a line may wait for the journal's servers in its thread
        self._line_count = 0  # of lines that are written, or wait for it

    def require(self, request: web.Request, role: str) -> LoginSession:
        """Return the session if its role allows the request. Raises Problem 401, 403."""
        id_ = request.cookies.get(cookie_name(request, "session"), "")
        session = (
            self.sessions.find_session(id_, is_active=LIVE_HEADER not in request.headers)
            if id_
            else None
        )
        if session is None or not self._is_current(session):
            self.sessions.end_session(id_)
            raise Problem(401, "Log in", f"Log in first, at {LOGIN}: nobody is, or it is over.")
        request[templates.SESSION] = session
        if not has_role(session.role, role):
            raise Problem(
                403, "Not for you", f"This needs the role {role}; yours is {session.role}."
            )
        return session

    def guard(self, role: str, handler: PageHandler) -> PageHandler:
        """Wrap `handler` for sessions of `role`: check forms, answer refusals as pages."""

        @wraps(handler)
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                if role != NOBODY:
                    self.require(request, role)
                if request.method == "POST":
                    request[_FORM] = await self._read_form(request)
                return await handler(request)
            except Problem as problem:
                return await self._render_refusal(request, problem)

        answer.role = role  # type: ignore[attr-defined]  # for the table of roles
        return answer

    def route_adder(self, app: web.Application) -> AddRoute:
        def add(method: str, path: str, role: str, handler: PageHandler) -> None:
            guarded = self.guard(role, handler)
            app.router.add_route(method, path, guarded)
            if method == "GET":
                app.router.add_route("HEAD", path, guarded)

        return add

    async def record_audit(
        self,
        request: web.Request,
        action: str,
        subject: str = "",
        *,
        is_refused: bool = False,
        note: str = "",
    ) -> None:
        """Write to the audit trail, on disk.

        Call it before acting: it raises Problem 503, so an action that cannot be logged is not
        done.
        """
        session = templates.session_of(request)
        actor = session.name if session else "-"
        now_us = self.backend.clock.wall_us()
        add = partial(self.backend.trail.add, refused=is_refused, note=note)
        try:
            with self._line_place():
                async with self._line_turn:
                    await asyncio.to_thread(add, now_us, actor, action, subject)
        except OSError as error:
            log.error("the audit trail cannot be written: %s", error.strerror)
            raise Problem(
                503,
                "No trail",
                "The audit trail cannot be written now, so nothing was done.",
                headers={"Retry-After": "5"},
            ) from error

    @contextmanager
    def _line_place(self) -> Iterator[None]:
        """Hold a line's place in the queue. Raises Problem 503."""
        if self._line_count >= MAX_LINES:
            raise Problem(503, "Busy", "The audit trail is busy.", headers={"Retry-After": "5"})
        self._line_count += 1
        try:
            yield
        finally:
            self._line_count -= 1

    def checked_form(self, request: web.Request) -> Mapping[str, str]:
        """Return the form of a POST, already checked."""
        return request[_FORM]

    def is_still_allowed(self, request: web.Request) -> bool:
        """Return whether a stream may continue; the check keeps no session alive."""
        id_ = request.cookies.get(cookie_name(request, "session"), "")
        session = self.sessions.find_session(id_, is_active=False)
        return session is not None and self._is_current(session)

    def find_person(self, name: str) -> Person | None:
        try:
            return self.backend.operators.read_people().get(name)
        except (OperatorsError, OSError) as error:
            log.error("%s; nobody can log in.", error)
            return None

    def _is_current(self, session: LoginSession) -> bool:
        """Return whether the person still has the same password and role.

        Otherwise the session ends at once.
        """
        person = self.find_person(session.name)
        return person is not None and person.stamp == session.stamp

    async def _read_form(self, request: web.Request) -> Mapping[str, str]:
        if not forms.is_same_origin(request):
            raise Problem(403, "From elsewhere", "This form was not sent from a page of ours.")
        form = await forms.read_form(request)
        session = templates.session_of(request)
        expected_token = (
            session.token if session else derive_login_token(request, self.backend.secret)
        )
        if not expected_token or not hmac.compare_digest(
            form.get("token", "").encode(), expected_token.encode()
        ):
            raise Problem(403, "Stale form", "The form is from an earlier session: load it again.")
        return form

    async def _render_refusal(self, request: web.Request, problem: Problem) -> web.StreamResponse:
        if (
            problem.status == 401
            and request.method in ("GET", "HEAD")
            and "text/html" in _accept_header(request)
        ):
            return templates.redirect(LOGIN)
        session = templates.session_of(request)
        if session is not None and problem.status == 403:
            action = f"{request.method} {_route_template(request)}"
            await self.record_audit(request, action, is_refused=True, note=problem.document.title)
        if "text/html" not in _accept_header(request):
            raise problem
        view = RefusalView(title=problem.document.title, detail=problem.document.detail)
        response = templates.render(request, view, status=problem.status)
        response.headers.update(problem.headers)
        return response


def has_role(role: str, required_role: str) -> bool:
    return (
        required_role in ROLES and role in ROLES and ROLES.index(role) >= ROLES.index(required_role)
    )


def derive_login_token(request: web.Request, secret: bytes) -> str:
    """Derive the token of the login form from its cookie; "" without a cookie."""
    cookie = request.cookies.get(cookie_name(request, "login"), "")
    return sign_login_cookie(cookie, secret) if cookie else ""


def sign_login_cookie(cookie: str, secret: bytes) -> str:
    return hmac.digest(secret, b"login form\0" + cookie.encode(), "sha256").hex()


def cookie_name(request: web.Request, name: str) -> str:
    """Return the cookie's name, with the prefix __Host- over TLS.

    Browsers accept such a name only from this host, and send it only by TLS.
    """
    return (
        f"__Host-heliograph-{name}"
        if forms.request_scheme(request) == "https"
        else f"heliograph-{name}"
    )


def set_cookie(
    request: web.Request, response: web.Response, name: str, value: str, max_age_s: int
) -> None:
    """Set a cookie; `max_age_s` 0 deletes it."""
    response.set_cookie(
        cookie_name(request, name),
        value,
        max_age=max_age_s,
        path="/",
        httponly=True,
        secure=forms.request_scheme(request) == "https",
        samesite="Strict",
    )


def _route_template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _accept_header(request: web.Request) -> str:
    return request.headers.get("Accept", "")[:1_000]


SESSION_S = LIFETIME_US // 1_000_000
