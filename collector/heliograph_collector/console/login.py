"""The way in and the way out."""

import asyncio
import hmac
import secrets

from aiohttp import web

from heliograph_collector.console import access, templates
from heliograph_collector.console.access import NOBODY, VIEWER, Add, Gate
from heliograph_collector.console.forms import scheme, way
from heliograph_collector.fleet import passwords
from heliograph_collector.fleet.operators import OperatorsError, Person
from heliograph_collector.http.login_throttle import Attempts
from heliograph_collector.http.problem import Problem

_STEP_S = 30  # of the second factor (RFC 6238)
_KNOWN_S = 180 * 86_400  # how long a browser is remembered to have been in
_QUEUE = 8  # tries that may wait for a strange place's turn
_WRONG = "Name, password or code is not right."
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


class Login:
    """Hashing goes in threads, one for strangers and one for those who were in before."""

    def __init__(self, gate_: Gate) -> None:
        self._gate, self._office = gate_, gate_.office
        self._attempts = Attempts()
        self._turns = {known: asyncio.Semaphore(1) for known in (False, True)}
        self._waiting = 0

    def routes(self, add: Add) -> None:
        add("GET", access.LOGIN, NOBODY, self.show)
        add("POST", access.LOGIN, NOBODY, self.enter)
        add("POST", "/console/logout", VIEWER, self.leave)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return self._form(request)

    async def enter(self, request: web.Request) -> web.StreamResponse:
        form = self._gate.form(request)
        name, password = form.get("name", "")[:64], form.get("password", "")
        if len(password) > passwords.MOST:
            return self._form(request, status=403, wrong=_WRONG)
        place, browser = self._office.place(way(request)), self._browser(request, name)
        known = self._gate.person(name)
        counted = known.name if known else ""
        now_us = self._office.clock.monotonic_us()
        wait_s = self._attempts.wait_s(counted, place, browser, now_us)
        if wait_s:
            return self._later(request, wait_s)
        if not await self._right(known, password, form.get("code", ""), strange=not browser):
            await self._gate.note(request, "login", counted or "unknown name", refused=True)
            return self._form(request, status=403, wrong=_WRONG, name=name)
        assert known is not None  # noqa: S101 -- nobody has no right password
        self._attempts.was_right(counted, place, browser)
        return await self._welcome(request, known)

    async def leave(self, request: web.Request) -> web.StreamResponse:
        self._gate.sessions.end(request.cookies.get(access.cookie_name(request, "session"), ""))
        answer = templates.away(access.LOGIN)
        access.set_cookie(request, answer, "session", "", 0)
        return answer

    async def _welcome(self, request: web.Request, person: Person) -> web.StreamResponse:
        """A session under a new id, whatever the browser brought along."""
        self._gate.sessions.end(request.cookies.get(access.cookie_name(request, "session"), ""))
        id_ = self._gate.sessions.begin(person)
        session = self._gate.sessions.find(id_)
        if session is not None:
            request[templates.SESSION] = session
        await self._gate.note(request, "login")
        answer = templates.away("/console")
        access.set_cookie(request, answer, "session", id_, access.SESSION_S)
        access.set_cookie(request, answer, "door", "", 0)
        nonce = secrets.token_hex(16)
        proof = f"{nonce}.{self._proof(person.name, nonce)}"
        access.set_cookie(request, answer, "known", proof, _KNOWN_S)
        return answer

    def _form(
        self, request: web.Request, *, status: int = 200, wrong: str = "", name: str = ""
    ) -> web.Response:
        """With a fresh token, bound to a fresh cookie."""
        door = secrets.token_hex(32)
        answer = templates.render(
            request,
            "login.html",
            status=status,
            wrong=wrong,
            name=name,
            token=hmac.digest(self._office.secret, b"login form\0" + door.encode(), "sha256").hex(),
            bare=scheme(request) != "https" and _host(request) not in _LOCAL,
        )
        access.set_cookie(request, answer, "door", door, 3_600)
        return answer

    def _later(self, request: web.Request, wait_s: int) -> web.Response:
        wrong = f"Too many tries. Wait {wait_s} s, then try again."
        answer = self._form(request, status=429, wrong=wrong)
        answer.headers["Retry-After"] = str(wait_s)
        return answer

    async def _right(
        self, person: Person | None, password: str, code: str, *, strange: bool
    ) -> bool:
        """As slow for nobody as for somebody, and for a wrong code as for a wrong password."""
        if strange and self._waiting >= _QUEUE:
            raise Problem(503, "Busy", "Many try to log in.", headers={"Retry-After": "5"})
        self._waiting += strange
        try:
            async with self._turns[strange]:
                kept = person.hash if person else ""
                right = await asyncio.to_thread(passwords.matches, kept, password)
        finally:
            self._waiting -= strange
        return person is not None and right and await self._second(person, code)

    async def _second(self, person: Person, code: str) -> bool:
        if not person.totp:
            return True
        now_s = self._office.clock.wall_us() // 1_000_000
        step = matching_step(person.totp, code, now_s)
        try:
            return step is not None and await asyncio.to_thread(
                self._office.operators.use_step, person.name, step
            )
        except (OperatorsError, OSError):
            raise Problem(503, "No second factor", "operators.json cannot be written.") from None

    def _browser(self, request: web.Request, name: str) -> str:
        """What proves that this browser was in before by that name; "" for none."""
        told = request.cookies.get(access.cookie_name(request, "known"), "")[:256]
        nonce, _, proof = told.partition(".")
        wanted = self._proof(name, nonce)
        return nonce if nonce and hmac.compare_digest(proof.encode(), wanted.encode()) else ""

    def _proof(self, name: str, nonce: str) -> str:
        message = f"was in\0{name}\0{nonce}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._office.secret, message, "sha256").hex()


def matching_step(secret: str, code: str, now_s: int) -> int | None:
    """Which of the steps before, of and after `now_s` the code is of."""
    import pyotp

    digits = code.replace(" ", "")
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return None
    made, step = pyotp.TOTP(secret), now_s // _STEP_S
    for near in (step, step - 1, step + 1):
        if hmac.compare_digest(made.at(near * _STEP_S), digits):
            return near
    return None


def _host(request: web.Request) -> str:
    host = request.host
    return host if host.endswith("]") else host.rpartition(":")[0] or host
