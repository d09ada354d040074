"""Who may pass: each path of the console declares its role here, and no other way leads in.

The roles are those of `fleet.operators`, and NOBODY for what is shown before the login.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps

from aiohttp import web

from heliograph_collector.console import forms, templates
from heliograph_collector.console.backend import Office
from heliograph_collector.console.sessions import LIFE_US, Session, Sessions
from heliograph_collector.fleet.operators import ROLES, OperatorsError, Person
from heliograph_collector.http.problem import Problem

log = logging.getLogger("heliograph.console")

NOBODY, VIEWER, OPERATOR = "", *ROLES
LOGIN = "/console/login"
_FORM = web.RequestKey("form", Mapping[str, str])
LIVE = "X-Heliograph-Live"  # a page that renews itself: nobody may be sitting before it
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]
Add = Callable[[str, str, str, Page], None]  # method, path, role, page


class Gate:
    def __init__(self, office: Office) -> None:
        self.office = office
        self.sessions = Sessions(office.clock)

    def require(self, request: web.Request, role: str) -> Session:
        """The session of somebody who may. Raises Problem 401, 403."""
        id_ = request.cookies.get(cookie_name(request, "session"), "")
        found = self.sessions.find(id_, touch=LIVE not in request.headers) if id_ else None
        if found is None or not self._stands(found):
            self.sessions.end(id_)
            raise Problem(401, "Log in", f"Log in first, at {LOGIN}: nobody is, or it is over.")
        request[templates.SESSION] = found
        if not may(found.role, role):
            raise Problem(403, "Not for you", f"This needs the role {role}; yours is {found.role}.")
        return found

    def guarded(self, role: str, page: Page) -> Page:
        """`page` for those of `role` alone, its forms checked; refusals are pages too."""

        @wraps(page)
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                if role != NOBODY:
                    self.require(request, role)
                if request.method == "POST":
                    request[_FORM] = await self._form(request)
                return await page(request)
            except Problem as problem:
                return await self._refuse(request, problem)

        answer.role = role  # type: ignore[attr-defined]  # the table of roles is made from it
        return answer

    def add(self, app: web.Application) -> Add:
        def add(method: str, path: str, role: str, page: Page) -> None:
            app.router.add_route(method, path, self.guarded(role, page))

        return add

    async def note(
        self,
        request: web.Request,
        did: str,
        about: str = "",
        *,
        refused: bool = False,
        note: str = "",
    ) -> None:
        """Into the audit trail, on disk. Raises Problem 503, so what cannot be told is not done:
        call it before acting."""
        session = templates.session_of(request)
        who = session.name if session else "-"
        now_us = self.office.clock.wall_us()
        try:
            await asyncio.to_thread(
                self.office.trail.add, now_us, who, did, about, refused=refused, note=note
            )
        except OSError as error:
            log.error("the audit trail cannot be written: %s", error.strerror)
            raise Problem(
                503, "No trail", "The audit trail cannot be written, so nothing was done."
            ) from error

    def form(self, request: web.Request) -> Mapping[str, str]:
        """What came with a POST; checked already."""
        return request[_FORM]

    def still(self, request: web.Request) -> bool:
        """Whether who opened a stream may still read on; that alone keeps no session alive."""
        id_ = request.cookies.get(cookie_name(request, "session"), "")
        found = self.sessions.find(id_, touch=False)
        return found is not None and self._stands(found)

    def person(self, name: str) -> Person | None:
        try:
            return self.office.operators.people().get(name)
        except (OperatorsError, OSError) as error:
            log.error("%s; nobody can log in.", error)
            return None

    def _stands(self, session: Session) -> bool:
        """Whoever was removed, or has another password or role meanwhile, is out at once."""
        person = self.person(session.name)
        return person is not None and person.stamp == session.stamp

    async def _form(self, request: web.Request) -> Mapping[str, str]:
        if not forms.from_ourselves(request):
            raise Problem(403, "From elsewhere", "This form was not sent from a page of ours.")
        form = await forms.read(request)
        session = templates.session_of(request)
        wanted = session.token if session else login_token(request, self.office.secret)
        if not wanted or not hmac.compare_digest(form.get("token", "").encode(), wanted.encode()):
            raise Problem(403, "Stale form", "The form is from an earlier session: load it again.")
        return form

    async def _refuse(self, request: web.Request, problem: Problem) -> web.StreamResponse:
        if (
            problem.status == 401
            and request.method in ("GET", "HEAD")
            and "text/html" in _accepts(request)
        ):
            return templates.away(LOGIN)
        session = templates.session_of(request)
        if session is not None and problem.status == 403:
            did = f"{request.method} {_template(request)}"
            await self.note(request, did, refused=True, note=str(problem.body["title"]))
        if "text/html" not in _accepts(request):
            raise problem
        answer = templates.render(
            request, "refusal.html", status=problem.status, problem=problem.body
        )
        answer.headers.update(problem.headers)
        return answer


def may(role: str, wanted: str) -> bool:
    return wanted in ROLES and role in ROLES and ROLES.index(role) >= ROLES.index(wanted)


def login_token(request: web.Request, secret: bytes) -> str:
    """The token of the login form, made of the cookie that came with the form before it; ""
    without such a cookie."""
    door = request.cookies.get(cookie_name(request, "door"), "")
    return hmac.digest(secret, b"login form\0" + door.encode(), "sha256").hex() if door else ""


def cookie_name(request: web.Request, name: str) -> str:
    """Over TLS a browser takes a name so begun from this host alone, and sends it by TLS only."""
    return f"__Host-heliograph-{name}" if forms.scheme(request) == "https" else f"heliograph-{name}"


def set_cookie(
    request: web.Request, answer: web.Response, name: str, value: str, max_age_s: int
) -> None:
    """`max_age_s` 0 takes it away."""
    answer.set_cookie(
        cookie_name(request, name),
        value,
        max_age=max_age_s,
        path="/",
        httponly=True,
        secure=forms.scheme(request) == "https",
        samesite="Strict",
    )


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _accepts(request: web.Request) -> str:
    return request.headers.get("Accept", "")[:1_000]


SESSION_S = LIFE_US // 1_000_000
