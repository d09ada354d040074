"""Login and logout."""

import asyncio
import hmac
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from aiohttp import web

from heliograph_collector.console import access, templates
from heliograph_collector.console.access import NOBODY, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.forms import parse_number, request_scheme
from heliograph_collector.fleet import passwords
from heliograph_collector.fleet.operators import OperatorsError, Person
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.rate_limit import LOCAL_ORIGIN, LoginThrottle
from heliograph_collector.http.request_addresses import forwarded_for

_STEP_S = 30  # step of the second factor (RFC 6238)
_BROWSER_COOKIE_S = 180 * 86_400  # seconds in which a browser is recognized after a login
_MAX_WAITING = 8  # tries by strangers that may wait for the hash
_MAX_WAITING_PER_NETWORK = 2  # of them, so that one network does not fill the queue
LOCKED_REPLY_S = 0.5  # assumed; over the 75 ms of a hash, which would show that a code was right
_MAX_DELAYED = 64  # answers that wait for it; further ones are given at once
_NO_SECRET = "A" * 32  # base 32, in place of the second factor of a user who has none
_WRONG_LOGIN = "Name, password or code is not right."
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class LoginKind(StrEnum):
    """Proof of a try before its password is checked; each kind has a hashing slot."""

    KNOWN_BROWSER = "known browser"
    LOCAL = "local"  # from the collector's own machine
    SECOND_FACTOR = "second factor"  # of an account or network that is locked
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginTry:
    """One try; `wait_s` is over 0 where its account or network is locked."""

    name: str
    password: str
    code: str
    person: Person | None
    origin: str
    browser: str
    wait_s: int
    kind: LoginKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginView(templates.PageView):
    template: ClassVar[str] = "login.html"
    error_text: str
    name: str
    token: str  # of the form, bound to a cookie
    is_unencrypted: bool  # the page comes over HTTP from another machine


class LoginPages:
    """Login pages; passwords are hashed in threads.

    Strangers' wrong tries lock an account and a network. A lock does not hold for a browser that
    logged in before, and not for a right second factor: its password is checked, in a slot that
    strangers cannot fill.
    """

    def __init__(self, access_control: AccessControl) -> None:
        self._access_control = access_control
        self._backend = access_control.backend
        self._throttle = LoginThrottle()
        self._hashing_slots = {kind: asyncio.Semaphore(1) for kind in LoginKind}
        self._waiting_by_origin: Counter[str] = Counter()
        self._delayed_count = 0

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", access.LOGIN, NOBODY, self.show)
        add_route("POST", access.LOGIN, NOBODY, self.log_in)
        add_route("POST", "/console/logout", VIEWER, self.log_out)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return self._render_form(request)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        form = self._access_control.checked_form(request)
        name = form.get("name", "")[:64]
        password = form.get("password", "")
        if len(password) > passwords.MAX_LENGTH:
            return self._render_form(request, status=403, error_text=_WRONG_LOGIN)
        login_try = self._read_try(request, name, password, form.get("code", ""))
        began_s = asyncio.get_running_loop().time()
        is_right = not (login_try.wait_s and login_try.kind is LoginKind.STRANGER) and (
            await self._check_credentials(login_try)
        )
        if not is_right or login_try.person is None:
            return await self._refuse(request, login_try, began_s)
        if not login_try.wait_s:
            self._throttle.forget_tries(name, login_try.origin, login_try.browser)
        return await self._start_session(request, login_try.person)

    def _read_try(self, request: web.Request, name: str, password: str, code: str) -> LoginTry:
        """Count a try, and find its proof."""
        origin = self._backend.name_origin(forwarded_for(request))
        browser = self._known_browser(request, name)
        now_us = self._backend.clock.monotonic_us()
        wait_s = self._throttle.count_try(name, origin, browser, now_us)
        person = self._access_control.find_person(name)
        kind = LoginKind.STRANGER
        if wait_s:
            if self._passes_by_code(person, code):
                kind = LoginKind.SECOND_FACTOR
        elif browser:
            kind = LoginKind.KNOWN_BROWSER
        elif origin == LOCAL_ORIGIN:
            kind = LoginKind.LOCAL
        return LoginTry(
            name=name, password=password, code=code, person=person, origin=origin,
            browser=browser, wait_s=wait_s, kind=kind,
        )  # fmt: skip

    def _passes_by_code(self, person: Person | None, code: str) -> bool:
        """Return whether a right second factor, not used yet, passes the lock.

        A name without one takes as long.
        """
        secret = person.totp if person and person.totp else _NO_SECRET
        step = find_matching_step(secret, code, self._now_s())
        if person is None or not person.totp or step is None or step <= person.used_step:
            return False
        return self._throttle.count_code(person.name, step)

    async def _refuse(
        self, request: web.Request, login_try: LoginTry, began_s: float
    ) -> web.StreamResponse:
        """Refuse a try; where a lock holds, by the same answer after the same time."""
        if not login_try.wait_s or login_try.kind is not LoginKind.STRANGER:
            subject = login_try.person.name if login_try.person else "unknown name"
            await self._access_control.record_audit(request, "login", subject, is_refused=True)
        if not login_try.wait_s:
            return self._render_form(
                request, status=403, error_text=_WRONG_LOGIN, name=login_try.name
            )
        if self._delayed_count < _MAX_DELAYED:
            self._delayed_count += 1
            try:
                left_s = began_s + LOCKED_REPLY_S - asyncio.get_running_loop().time()
                await asyncio.sleep(max(0.0, left_s))
            finally:
                self._delayed_count -= 1
        return self._render_too_many(request, login_try.wait_s)

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        self._access_control.sessions.end_session(
            request.cookies.get(access.cookie_name(request, "session"), "")
        )
        response = templates.redirect(access.LOGIN)
        access.set_cookie(request, response, "session", "", 0)
        return response

    async def _start_session(self, request: web.Request, person: Person) -> web.StreamResponse:
        """Start a session under a new id, whatever id the browser sent."""
        self._access_control.sessions.end_session(
            request.cookies.get(access.cookie_name(request, "session"), "")
        )
        id_ = self._access_control.sessions.open_session(person)
        session = self._access_control.sessions.find_session(id_)
        if session is not None:
            request[templates.SESSION] = session
        await self._access_control.record_audit(request, "login")
        response = templates.redirect("/console")
        access.set_cookie(request, response, "session", id_, access.SESSION_S)
        access.set_cookie(request, response, "login", "", 0)
        proof = f"{self._now_s() + _BROWSER_COOKIE_S}.{secrets.token_hex(16)}"
        proof = f"{proof}.{self._sign_browser(person.name, proof)}"
        access.set_cookie(request, response, "known", proof, _BROWSER_COOKIE_S)
        return response

    def _render_form(
        self, request: web.Request, *, status: int = 200, error_text: str = "", name: str = ""
    ) -> web.Response:
        """Render the form with a new token, bound to a new cookie."""
        cookie = secrets.token_hex(32)
        view = LoginView(
            error_text=error_text,
            name=name,
            token=access.sign_login_cookie(cookie, self._backend.secret),
            is_unencrypted=request_scheme(request) != "https"
            and _request_host(request) not in _LOCAL_HOSTS,
        )
        response = templates.render(request, view, status=status)
        access.set_cookie(request, response, "login", cookie, 3_600)
        return response

    def _render_too_many(self, request: web.Request, wait_s: int) -> web.Response:
        error_text = f"Too many tries. Wait {wait_s} s, then try again."
        response = self._render_form(request, status=429, error_text=error_text)
        response.headers["Retry-After"] = str(wait_s)
        return response

    async def _check_credentials(self, login_try: LoginTry) -> bool:
        """Check password and code; an unknown name takes as long as a known one.

        The result does not reveal whether the password or the code was wrong.
        """
        person = login_try.person
        stored_hash = person.hash if person else ""
        with self._queue_place(login_try):
            async with self._hashing_slots[login_try.kind]:
                is_right = await asyncio.to_thread(
                    passwords.verify_password, stored_hash, login_try.password
                )
        return (
            person is not None
            and is_right
            and await self._check_second_factor(person, login_try.code)
        )

    @contextmanager
    def _queue_place(self, login_try: LoginTry) -> Iterator[None]:
        """Hold a stranger's place in the queue for hashing. Raises Problem 503."""
        if login_try.kind is not LoginKind.STRANGER:
            yield
            return
        waiting = self._waiting_by_origin
        if waiting.total() >= _MAX_WAITING or waiting[login_try.origin] >= _MAX_WAITING_PER_NETWORK:
            raise Problem(503, "Busy", "Many try to log in.", headers={"Retry-After": "5"})
        waiting[login_try.origin] += 1
        try:
            yield
        finally:
            waiting[login_try.origin] -= 1
            if not waiting[login_try.origin]:
                del waiting[login_try.origin]

    async def _check_second_factor(self, person: Person, code: str) -> bool:
        if not person.totp:
            return True
        step = find_matching_step(person.totp, code, self._now_s())
        try:
            return step is not None and await asyncio.to_thread(
                self._backend.operators.use_step, person.name, step
            )
        except (OperatorsError, OSError):
            raise Problem(503, "No second factor", "The users cannot be stored.") from None

    def _known_browser(self, request: web.Request, name: str) -> str:
        """Return the valid proof of an earlier login by this name, "" without one."""
        browser_cookie = request.cookies.get(access.cookie_name(request, "known"), "")[:256]
        proof, _, signature = browser_cookie.rpartition(".")
        expected_signature = self._sign_browser(name, proof)
        if not hmac.compare_digest(
            signature.encode("utf-8", "surrogateescape"), expected_signature.encode()
        ):
            return ""
        expires_s = parse_number(proof.partition(".")[0], 12) or 0
        return proof if self._now_s() < expires_s else ""

    def _sign_browser(self, name: str, proof: str) -> str:
        message = f"known browser v2\0{name}\0{proof}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._backend.secret, message, "sha256").hex()

    def _now_s(self) -> int:
        return self._backend.clock.wall_us() // 1_000_000


def find_matching_step(secret: str, code: str, now_s: int) -> int | None:
    """Return the TOTP step of a code: the step of `now_s` or a neighbor; else None."""
    import pyotp

    digits = code.replace(" ", "")
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return None
    totp = pyotp.TOTP(secret)
    step = now_s // _STEP_S
    for candidate in (step, step - 1, step + 1):
        if hmac.compare_digest(totp.at(candidate * _STEP_S), digits):
            return candidate
    return None


def _request_host(request: web.Request) -> str:
    host = request.host
    return host if host.endswith("]") else host.rpartition(":")[0] or host
