"""Login and logout."""

import asyncio
import hmac
import secrets

from aiohttp import web

from heliograph_collector.console import access, templates
from heliograph_collector.console.access import NOBODY, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.forms import forwarded_for, request_scheme
from heliograph_collector.fleet import passwords
from heliograph_collector.fleet.operators import OperatorsError, Person
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.rate_limit import LoginThrottle

_STEP_S = 30  # step of the second factor (RFC 6238)
_BROWSER_COOKIE_S = 180 * 86_400  # seconds in which a browser is recognized after a login
_MAX_WAITING = 8  # tries by unknown browsers that may wait
_WRONG_LOGIN = "Name, password or code is not right."
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class LoginPages:
    """Login pages; passwords are hashed in threads.

    Known and unknown browsers have a slot each, so that a crowd of unknown ones delays nobody else.
    """

    def __init__(self, access_control: AccessControl) -> None:
        self._access_control = access_control
        self._backend = access_control.backend
        self._throttle = LoginThrottle()
        self._hashing_slots = {is_stranger: asyncio.Semaphore(1) for is_stranger in (False, True)}
        self._waiting_count = 0

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
        origin = self._backend.name_origin(forwarded_for(request))
        browser = self._known_browser(request, name)
        person = self._access_control.find_person(name)
        person_name = person.name if person else ""
        now_us = self._backend.clock.monotonic_us()
        wait_s = self._throttle.count_try(person_name, origin, browser, now_us)
        if wait_s:
            return self._render_too_many(request, wait_s)
        if not await self._check_credentials(
            person, password, form.get("code", ""), is_stranger=not browser
        ):
            await self._access_control.record_audit(
                request, "login", person_name or "unknown name", is_refused=True
            )
            return self._render_form(request, status=403, error_text=_WRONG_LOGIN, name=name)
        assert person is not None  # noqa: S101 -- an unknown name has no right password
        self._throttle.forget_tries(person_name, origin, browser)
        return await self._start_session(request, person)

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
        access.set_cookie(request, response, "door", "", 0)
        nonce = secrets.token_hex(16)
        proof = f"{nonce}.{self._sign_browser(person.name, nonce)}"
        access.set_cookie(request, response, "known", proof, _BROWSER_COOKIE_S)
        return response

    def _render_form(
        self, request: web.Request, *, status: int = 200, error_text: str = "", name: str = ""
    ) -> web.Response:
        """Render the form with a new token, bound to a new cookie."""
        cookie = secrets.token_hex(32)
        response = templates.render(
            request,
            "login.html",
            status=status,
            wrong=error_text,
            name=name,
            token=hmac.digest(
                self._backend.secret, b"login form\0" + cookie.encode(), "sha256"
            ).hex(),
            bare=request_scheme(request) != "https" and _request_host(request) not in _LOCAL_HOSTS,
        )
        access.set_cookie(request, response, "door", cookie, 3_600)
        return response

    def _render_too_many(self, request: web.Request, wait_s: int) -> web.Response:
        error_text = f"Too many tries. Wait {wait_s} s, then try again."
        response = self._render_form(request, status=429, error_text=error_text)
        response.headers["Retry-After"] = str(wait_s)
        return response

    async def _check_credentials(
        self, person: Person | None, password: str, code: str, *, is_stranger: bool
    ) -> bool:
        """Check password and code; an unknown name takes as long as a known one.

        The result does not reveal whether the password or the code was wrong.
        """
        if is_stranger and self._waiting_count >= _MAX_WAITING:
            raise Problem(503, "Busy", "Many try to log in.", headers={"Retry-After": "5"})
        self._waiting_count += is_stranger
        try:
            async with self._hashing_slots[is_stranger]:
                stored_hash = person.hash if person else ""
                is_right = await asyncio.to_thread(passwords.verify_password, stored_hash, password)
        finally:
            self._waiting_count -= is_stranger
        return person is not None and is_right and await self._check_second_factor(person, code)

    async def _check_second_factor(self, person: Person, code: str) -> bool:
        if not person.totp:
            return True
        now_s = self._backend.clock.wall_us() // 1_000_000
        step = find_matching_step(person.totp, code, now_s)
        try:
            return step is not None and await asyncio.to_thread(
                self._backend.operators.use_step, person.name, step
            )
        except (OperatorsError, OSError):
            raise Problem(503, "No second factor", "operators.json cannot be written.") from None

    def _known_browser(self, request: web.Request, name: str) -> str:
        """Return the proof of an earlier login by this name; "" without one."""
        browser_cookie = request.cookies.get(access.cookie_name(request, "known"), "")[:256]
        nonce, _, proof = browser_cookie.partition(".")
        expected_proof = self._sign_browser(name, nonce)
        return (
            nonce if nonce and hmac.compare_digest(proof.encode(), expected_proof.encode()) else ""
        )

    def _sign_browser(self, name: str, nonce: str) -> str:
        message = f"was in\0{name}\0{nonce}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._backend.secret, message, "sha256").hex()


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
