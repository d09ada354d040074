"""Access to the console: users, cookies, and requests of foreign pages."""

import asyncio
import re
import threading
from pathlib import Path

import pytest

from heliograph_collector.console import access, login
from heliograph_collector.console.access import NOBODY, OPERATOR
from heliograph_collector.console.access import VIEWER as VIEWERS
from heliograph_collector.console.sessions import IDLE_US, LIFETIME_US
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.http.rate_limit import (
    FREE_TRIES,
    LOCAL_ORIGIN,
    TRIES_PER_CODE,
    LoginThrottle,
)
from support.console_backend import PASSWORD, VIEWER, Caller, FakeBackend, console
from support.waiting import until_true

SECRET = "JBSWY3DPEHPK3PXP" * 2
OPEN = {"/console/login", "/console/static/{name}"}


def cookies(caller: Caller) -> dict[str, str]:
    jar = caller.client.session.cookie_jar
    return {cookie.key: cookie.value for cookie in jar}


async def test_in_and_out(caller: Caller) -> None:
    assert (await caller.get("/console"), await caller.log_in()) == ((303, "/console/login"), 303)
    status, page = await caller.get("/console")
    assert status == 200
    assert "Log out" in page
    assert await caller.post("/console/logout", {}) == (303, "/console/login")
    assert await caller.get("/console") == (303, "/console/login")


async def try_login(caller: Caller, **fields: str) -> tuple[int, str]:
    """Return the status and page after a form with a fresh token."""
    await caller.get("/console/login")
    return await caller.post("/console/login", {"name": "operator", **fields})


async def test_each_path_has_a_role_and_none_lets_a_stranger_in(caller: Caller) -> None:
    routes = [r for r in caller.app.router.routes() if r.resource is not None]
    ours = [r for r in routes if r.resource is not None and r.resource.canonical[:8] == "/console"]
    assert ours
    for route in ours:
        assert route.resource is not None
        path, role = route.resource.canonical, getattr(route.handler, "role", "no role")
        assert role in (NOBODY, VIEWERS, OPERATOR), path
        assert (role == NOBODY) == (path in OPEN), path
        if role == NOBODY:
            continue
        assert route.method != "POST" or path == "/console/logout" or role == OPERATOR, path
        real = path.replace("{", "").replace("}", "")
        if route.method != "POST":
            assert await caller.get(real) == (303, "/console/login"), path
            assert (await caller.get(real, Accept="application/json"))[0] == 401, path
        else:
            assert (await caller.post(real, {}))[0] == 401, path


async def test_a_viewer_is_refused_what_operators_do(caller: Caller, backend: FakeBackend) -> None:
    await caller.log_in(VIEWER)
    for route in caller.app.router.routes():
        if getattr(route.handler, "role", "") != OPERATOR or route.resource is None:
            continue
        real = route.resource.canonical.replace("{", "").replace("}", "")
        ask = caller.post(real, {}) if route.method == "POST" else caller.get(real)
        assert (await ask)[0] == 403, real
        deed = caller.gate.backend.trail.read_page(None, 1)[0][0]
        assert (deed.who, deed.outcome) == (VIEWER, "refused")
        assert deed.did.endswith(route.resource.canonical)


@pytest.mark.parametrize(
    "path",
    ["/console/", "/console/../console", "/console/%2e%2e/console", "/Console",
     "/console;x", "/console%00", "/console/static/../home.html"],
)  # fmt: skip
async def test_no_other_spelling_leads_in(caller: Caller, path: str) -> None:
    status, text = await caller.get(path)
    assert status in (303, 400, 404), path
    assert "Log out" not in text


@pytest.mark.parametrize("tls", [False, True])
async def test_cookies_are_for_this_host_and_no_script(caller: Caller, tls: bool) -> None:
    proxy = {"X-Forwarded-Proto": "https"} if tls else {}
    async with caller.client.get("/console/login", headers=proxy) as answer:
        (line,) = answer.headers.getall("Set-Cookie")
    assert line.startswith("__Host-" if tls else "heliograph-login=")
    flags = {part.strip().lower() for part in line.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert ("secure" in flags) == tls
    assert not any(flag.startswith("domain") for flag in flags)


async def test_an_id_that_was_brought_along_is_not_taken_over(caller: Caller) -> None:
    caller.client.session.cookie_jar.update_cookies({"heliograph-session": "planted"})
    await caller.log_in()
    first = cookies(caller)["heliograph-session"]
    assert first != "planted"
    assert caller.gate.sessions.find_session("planted") is None
    await caller.log_in()
    assert cookies(caller)["heliograph-session"] != first
    assert caller.gate.sessions.find_session(first) is None


async def test_sessions_end(caller: Caller, backend: FakeBackend) -> None:
    await caller.log_in()
    for _ in range(3):
        backend.clock.advance_us(IDLE_US)
        assert (await caller.get("/console"))[0] == 200
    backend.clock.advance_us(IDLE_US - 1)
    live = {"X-Heliograph-Live": "1"}  # a page left open updates itself, but extends no login
    assert (await caller.get("/console", **live))[0] == 200
    backend.clock.advance_us(2)
    assert (await caller.get("/console"))[0] == 303
    await caller.log_in()
    for _ in range(LIFETIME_US // IDLE_US):
        backend.clock.advance_us(IDLE_US)
        await caller.get("/console")
    backend.clock.advance_us(1)
    assert (await caller.get("/console"))[0] == 303


async def test_a_changed_user_is_logged_out(caller: Caller) -> None:
    await caller.log_in(VIEWER)
    operators = caller.gate.backend.operators
    operators.set_totp(VIEWER, "JBSWY3DPEHPK3PXP")
    assert (await caller.get("/console"))[0] == 303
    operators.remove(VIEWER)
    assert await caller.log_in(VIEWER) == 403


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"token": ""}, {}),
        ({"token": "x" * 43}, {}),
        ({"token": "\u00e4"}, {}),
        ({}, {"Origin": "https://elsewhere.example"}),
        ({}, {"Origin": "null"}),
        ({}, {"Origin": ""}),
    ],
)
async def test_a_form_of_another_page_does_nothing(
    caller: Caller, fields: dict[str, str], headers: dict[str, str]
) -> None:
    await caller.log_in()
    assert (await caller.post("/console/logout", fields, headers))[0] == 403
    assert (await caller.get("/console"))[0] == 200
    await caller.get("/console/login")
    tried = {"name": "operator", "password": PASSWORD, **fields}
    assert (await caller.post("/console/login", tried, headers))[0] == 403


async def test_forms_have_a_size(caller: Caller) -> None:
    await caller.log_in()
    assert (await caller.post("/console/logout", {"x": "y" * 600_000}))[0] == 413
    assert (await caller.post("/console/logout", {str(n): "" for n in range(3_000)}))[0] == 400
    json = {"Content-Type": "application/json"}
    assert (await caller.post("/console/logout", {}, json))[0] == 415


async def test_refusals_say_nothing_about_who_there_is(caller: Caller) -> None:
    answers = set()
    for name in ("operator", "nobody-of-that-name"):
        status, page = await try_login(caller, name=name, password="wrong")
        answers.add((status, page.replace(name, "").replace(caller.token, "").count("right")))
    assert answers == {(403, 1)}
    (deed, _), _ = caller.gate.backend.trail.read_page(None, 2)
    assert (deed.about, deed.outcome) == ("unknown name", "refused")


async def test_strangers_slow_down_and_lock_nobody_out(
    caller: Caller, backend: FakeBackend
) -> None:
    await caller.log_in()  # from now on this browser is known
    known = cookies(caller)["heliograph-known"]
    await caller.post("/console/logout", {})
    caller.client.session.cookie_jar.clear()
    for number in range(5):
        assert (await try_login(caller, password="wrong"))[0] == 403, number
    status, page = await try_login(caller, password=PASSWORD)
    assert status == 429, "not even the right one, from there"
    assert "Wait" in page
    backend.clock.advance_us(2_000_001)
    assert await caller.log_in() == 303
    caller.client.session.cookie_jar.clear()
    caller.client.session.cookie_jar.update_cookies({"heliograph-known": known})
    assert await caller.log_in() == 303


def code_at(backend: FakeBackend, secret: str) -> str:
    import pyotp

    return pyotp.TOTP(secret).at(backend.clock.wall_us() // 1_000_000)


async def lock_by_strangers(caller: Caller, backend: FakeBackend, name: str = "operator") -> None:
    """Guess from many networks until a name is locked everywhere."""
    caller.client.session.cookie_jar.clear()
    for number in range(60):
        backend.origin = f"{name} {number // 4}"
        await try_login(caller, name=name, password="wrong")
    backend.origin = "a hotel"
    assert (await try_login(caller, name=name, password=PASSWORD))[0] == 429


async def test_second_factor_passes_a_lock_by_strangers(
    caller: Caller, backend: FakeBackend
) -> None:
    """The second factor passes a lock by strangers, on a new device and network."""
    caller.gate.backend.operators.set_totp("operator", SECRET)
    await lock_by_strangers(caller, backend)
    assert await caller.log_in(code=code_at(backend, SECRET)) == 303
    caller.client.session.cookie_jar.clear()
    backend.origin = "operator 0"
    for _ in range(2):
        await try_login(caller, name="nobody", password="wrong")
    assert (await try_login(caller, password=PASSWORD))[0] == 429
    backend.clock.advance_us(30_000_000)
    assert await caller.log_in(code=code_at(backend, SECRET)) == 303
    caller.client.session.cookie_jar.clear()
    assert await caller.log_in(code=code_at(backend, SECRET)) == 429, "the code was used"


async def test_strangers_in_the_queue_hold_up_no_second_factor(
    caller: Caller, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller.gate.backend.operators.set_totp("operator", SECRET)
    await lock_by_strangers(caller, backend)
    monkeypatch.setattr(login, "_MAX_WAITING", 0)  # the queue is full
    assert (await try_login(caller, name=VIEWER, password=PASSWORD))[0] in (429, 503)
    assert await caller.log_in(code=code_at(backend, SECRET)) == 303


async def test_lock_is_no_oracle_for_codes_names_or_passwords(
    caller: Caller, backend: FakeBackend
) -> None:
    """A locked login answers a right code with a wrong password as a wrong code.

    So guesses reveal no code, name or password.
    """
    caller.gate.backend.operators.set_totp("operator", SECRET)
    await lock_by_strangers(caller, backend)
    await lock_by_strangers(caller, backend, "nobody-of-that-name")
    answers = set()
    for fields in (
        {"code": "000000", "password": PASSWORD},
        {"code": code_at(backend, SECRET), "password": "wrong"},
        {"name": "nobody-of-that-name", "code": "000000", "password": "wrong"},
    ):
        status, page = await try_login(caller, **fields)
        answers.add((status, re.sub(r'name="token" value="\w+"', "", page)))
    assert len(answers) == 1
    for _ in range(TRIES_PER_CODE - 1):
        assert (await try_login(caller, code=code_at(backend, SECRET), password="wrong"))[0] == 429
    assert await caller.log_in(code=code_at(backend, SECRET)) == 429, "the code is used up"
    backend.clock.advance_us(30_000_000)
    assert await caller.log_in(code=code_at(backend, SECRET)) == 303


@pytest.mark.long
async def test_known_device_passes_a_lock_until_its_cookie_ends(
    caller: Caller, backend: FakeBackend
) -> None:
    await caller.log_in()
    known = cookies(caller)["heliograph-known"]
    expires, nonce, signature = known.split(".")
    for cookie, status in (
        (known, 303),
        (f"{int(expires) + 1}.{nonce}.{signature}", 429),
        (f".{signature}", 429),
        ("", 429),
    ):
        await lock_by_strangers(caller, backend)
        caller.client.session.cookie_jar.update_cookies({"heliograph-known": cookie})
        assert await caller.log_in() == status, cookie
        backend.clock.advance_us(3_700_000_000)
    backend.clock.advance_us(180 * 86_400 * 1_000_000)
    await lock_by_strangers(caller, backend)
    caller.client.session.cookie_jar.update_cookies({"heliograph-known": known})
    assert await caller.log_in() == 429


def test_unknown_names_are_counted_as_known_ones_are() -> None:
    """Tries at unknown names count as those at known ones, so that names stay secret."""
    attempts = LoginThrottle()
    for number in range(60):
        assert attempts.count_try("", f"place {number}", "", number) == 0
    waits = [attempts.count_try(name, f"at {name}", "", 100) for name in map(str, range(200))]
    assert waits.count(0) > 150


def test_right_login_of_one_name_forgets_no_tries_at_another() -> None:
    """All names share a few counters, and a viewer must not reset an operator's."""
    attempts, guesses = LoginThrottle(), 0
    for turn in range(2_000):
        guesses += attempts.count_try("operator", f"place {turn}", "", turn) == 0
        name = f"viewer {turn % 64}"
        if attempts.count_try(name, "viewers", "", turn) == 0:
            attempts.forget_tries(name, "viewers", "")
    assert guesses == 60


def test_guesses_from_everywhere_lock_out_no_returning_user_and_not_the_machine() -> None:
    attempts = LoginThrottle()
    for number in range(200):
        attempts.count_try("operator", f"place {number}", "", number)
    assert attempts.count_try("operator", "another place", "", 200) > 0
    assert attempts.count_try("operator", "another place", "a known browser", 200) == 0
    assert attempts.count_try("operator", LOCAL_ORIGIN, "", 200) == 0
    assert attempts.count_try("operator", "another place", "", 3_700_000_000) == 0, "not for good"


def test_a_crowd_of_places_does_not_make_the_tries_at_a_name_forgotten() -> None:
    """Tries from many addresses do not push the tries at a name out of memory."""
    attempts = LoginThrottle()
    for number in range(60):
        assert attempts.count_try("operator", f"place {number}", "", number) == 0
    for number in range(5_000):
        attempts.count_try("", f"crowd {number}", "", 100 + number)
    assert attempts.count_try("operator", "another place", "", 6_000) > 0


def test_a_user_cannot_guess_at_another_name_without_end() -> None:
    attempts, guesses = LoginThrottle(), 0
    for turn in range(100):
        guesses += attempts.count_try("operator", LOCAL_ORIGIN, "", turn) == 0
        assert attempts.count_try("vera", LOCAL_ORIGIN, "", turn) == 0
        attempts.forget_tries("vera", LOCAL_ORIGIN, "")
    assert guesses == FREE_TRIES


async def test_a_code_counts_once(caller: Caller, backend: FakeBackend) -> None:
    import pyotp

    secret = pyotp.random_base32()
    caller.gate.backend.operators.set_totp("operator", secret)
    code = pyotp.TOTP(secret).at(backend.clock.wall_us() // 1_000_000)
    assert (await caller.log_in(), await caller.log_in(code="000000")) == (403, 403)
    assert await caller.log_in(code=code) == 303
    assert await caller.log_in(code=code) == 403, "somebody looked over the shoulder"
    backend.clock.advance_us(30_000_000)
    code = pyotp.TOTP(secret).at(backend.clock.wall_us() // 1_000_000)
    assert await caller.log_in(code=code) == 303


async def test_without_a_trail_nobody_comes_in(backend: FakeBackend) -> None:
    trail = backend.data / "audit.jsonl"
    trail.mkdir()
    async with console(backend) as caller:
        assert await caller.log_in() == 503


class SlowTrail(AuditLog):
    """A trail whose lines wait for servers that choose a leader."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.has_leader = threading.Event()
        self.waiting = 0

    def append_line(self, line: bytes) -> None:
        self.waiting += 1
        assert self.has_leader.wait(60)
        super().append_line(line)


async def until_waiting(caller: Caller, count: int) -> None:
    await until_true(lambda: caller.gate._line_count == count)


async def test_log_ins_wait_for_the_trail_and_keep_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread that waits is one that the judge in the same process lacks."""
    monkeypatch.setattr(access, "MAX_LINES", 3)
    backend = FakeBackend(tmp_path)
    backend.trail = trail = SlowTrail(tmp_path)
    form = {"name": "operator", "password": PASSWORD}
    async with console(backend) as caller:
        log_ins = []
        for count in (1, 2, 3):
            await caller.get("/console/login")
            log_ins.append(asyncio.ensure_future(caller.post("/console/login", form)))
            await until_waiting(caller, count)
        status, page = await try_login(caller, password=PASSWORD)
        assert (status, "audit trail is busy" in page, trail.waiting) == (503, True, 1)
        trail.has_leader.set()
        assert await asyncio.gather(*log_ins) == [(303, "/console")] * 3
    backend.fleet.close()
