"""An operator in a real browser logs in and invites an agent; others are kept out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.console.backend import DryRun, DryRunStatus, VerdictChangeCount
from heliograph_collector.fleet.operator_file import OperatorFile
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.passwords import hash_password
from support.browser_reader import Open, Reader, connected, open_reader
from support.console_backend import INGEST, PASSWORD, PLAN, VIEWER, FakeBackend, console, live_agent
from support.loopback_plan import prepare
from support.operator_journey import agents_join, invite, log_in
from support.serve_process import NO_CONTROL, served
from support.tcp_server import say_nothing, serving

pytestmark = pytest.mark.xdist_group("browser")

PLACES = (("KZ", 9198), ("KZ", 206026), ("IR", 44244), ("BY", 6697), ("ZZ", 0))
PATHS = (
    "/console", "/console/fleet", "/console/fleet/coverage", "/console/invites", "/console/plan",
    "/console/plan/1", "/console/plan/edit", "/console/services", "/console/health",
    "/console/rules", "/console/code", "/console/trail",
)  # fmt: skip


@contextmanager
def fill_backend(data: Path) -> Iterator[FakeBackend]:
    backend = FakeBackend(data)
    try:
        _enrol(backend)
        _plans(backend)
        backend.open_incidents = {"confirmed": 2, "suspected": 1}
        backend.ingest_status = replace(INGEST, lag_entries=312)
        moved = VerdictChangeCount(
            country="KZ", service="telegram", before="tls.reset", after="tls.reset_after_hello",
            state_before="blocked", state_after="unknown", count=31,
        )  # fmt: skip
        now_us = backend.clock.wall_us()
        result = DryRun(
            since_us=now_us - 86_400_000_000, until_us=now_us, judged_count=48_211,
            changed_count=35, is_complete=True,
            changes=[moved, replace(moved, service="whatsapp", count=4)],
        )  # fmt: skip
        backend.dry_run_status = DryRunStatus(list_name="mine.csv", result=result)
        yield backend
    finally:
        backend.fleet.close()


def _enrol(backend: FakeBackend) -> None:
    for number in range(1, 64):
        country, asn = PLACES[number % len(PLACES)]
        role = "control" if number == 9 else "volunteer"
        agent = backend.enrol(number, country=country, asn=asn, role=role)
        if number % 3 == 0:
            queued = 412 if number == 12 else number % 5
            link = "domestic_only" if number % 7 == 0 else "online"
            region = f"{country}-75" if number % 2 else ""
            backend.live_agents[agent] = replace(
                live_agent(link, queued), country=country, region=region
            )
        if number == 5:
            backend.fleet.revoke_agent(agent, backend.now_s())
    with backend.fleet.transaction() as db:
        db.execute("UPDATE agents SET access = 'mobile' WHERE country = 'IR'")
        db.execute("UPDATE agents SET trial_s = 1641000000 WHERE country = 'BY'")
        db.execute("UPDATE agents SET created_s = ?", (backend.now_s() - 400_000,))


def _plans(backend: FakeBackend) -> None:
    for version, text in enumerate((PLAN, PLAN.replace("600", "300"))):
        backend.issue_plan(backend.read_plan(text, "plan"), version)
    for uses, role in ((20, "volunteer"), (1, "control")):
        backend.create_invite(role, uses, 604_800)
    for number in range(64):
        did = ("login", "invite.make", "agent.revoke", "plan.send")[number % 4]
        backend.trail.add(
            backend.clock.wall_us() + number * 1_000_000,
            ("operator", "vera")[number % 3 == 0],
            did,
            "" if did == "login" else f"{number:032x}",
            refused=number % 9 == 0,
        )


SESSION_OVER = "Log in"


@pytest.mark.slow  # a whole collector and an agent, in a process each
async def test_an_operator_invites_and_sees_the_agent_join(chromium: str, tmp_path: Path) -> None:
    async with serving(say_nothing) as port, connected(chromium) as browser:
        prepare(tmp_path, port)
        told = (tmp_path / "run.yml").read_text() + NO_CONTROL
        config = told.replace("services.yml", str(tmp_path / "services.yml"))
        data = tmp_path / "data"
        with served(data, config=config) as process:
            process.wait_for("http")
            password = (data / "keys" / "operator.password").read_text().strip()
            origin = f"http://{process.places['http']}"
            async with open_reader(browser, origin, expected=("403", "ERR_")) as seen:
                await log_in(seen, "not the password", right=False)
                await log_in(seen, password)
                line = await invite(seen, uses=1)
                await seen.check()
                with agents_join(line, tmp_path / "agent"):
                    await _sees_it_come(seen)
                    await _changes_the_plan(seen)
                    await _revokes(seen)
            operators = Operators(OperatorFile(data))  # as the command does it
            operators.add(VIEWER, "viewer", hash_password(PASSWORD), 0)
            async with open_reader(browser, origin, expected=("403",)) as seen:
                await log_in(seen, PASSWORD, VIEWER)
                await _is_refused(seen)
            async with open_reader(browser, origin) as seen:
                await log_in(seen, password)
                await _finds_it_written(seen)


async def _sees_it_come(seen: Reader) -> None:
    """Check that the agent appears on a page that stays open."""
    page = seen.page
    await seen.goto("/console/fleet")
    await seen.live()
    await page.evaluate("window.stayed = true")
    await page.wait_for_selector(".state.here", timeout=60_000)
    assert await page.evaluate("window.stayed")
    assert "1 of 1 volunteer connected" in await seen.text("#line")
    await page.click("tbody th a")
    assert "in its spool" in await seen.text("#facts")


async def _changes_the_plan(seen: Reader) -> None:
    page = seen.page
    await seen.goto("/console/plan/edit")
    assert await page.input_value("[name=interval-0]") == "10 s"
    await page.fill("[name=interval-0]", "20 s")
    await page.click("form[action$=form] button")
    assert "every 10 s → every 20 s" in await seen.text(".changes")
    assert "stays within what volunteers agreed to" in await seen.text("main")
    await page.click("text=Sign and send")
    assert await seen.text("h1") == "Plan 2"


async def _revokes(seen: Reader) -> None:
    page = seen.page
    await seen.goto("/console/fleet")
    await page.click("tbody th a")
    again = await page.inner_text("label code")
    await page.fill("input[name=again]", again)
    await page.click("text=Revoke this agent")
    await page.wait_for_selector(".state.revoked")
    await seen.goto("/console/trail")
    deeds = await seen.text("tbody")
    for did in ("login", "invite.make", "plan.send", "agent.revoke"):
        assert did in deeds


async def _is_refused(seen: Reader) -> None:
    """Check that a viewer has no button, and is refused the page and its requests."""
    await seen.goto("/console/plan")
    assert await seen.page.locator("text=Edit the plan").count() == 0
    answer = await seen.page.evaluate(
        """async () => {
          const token = document.querySelector("[name=token]").value;
          const body = new URLSearchParams({ token, plan: "tasks: []", version: "2" });
          return (await fetch("/console/plan/send", { method: "POST", body })).status;
        }"""
    )
    assert answer == 403
    await seen.goto("/console/plan/edit")
    assert await seen.text("h1") == "Not for you"
    assert await seen.page.locator("textarea").count() == 0
    await seen.goto("/console/plan")
    assert await seen.text("h1") == "Plan 2"


async def _finds_it_written(seen: Reader) -> None:
    """Find both tries of the viewer in the trail, and the wrong password."""
    await seen.goto("/console/trail")
    for tried in ("GET /console/plan/edit", "POST /console/plan/send", "login"):
        who = "-" if tried == "login" else VIEWER
        row = seen.page.locator("tr", has_text=tried).filter(has=seen.page.locator(".refused"))
        assert await row.locator(f"td:text-is('{who}')").count() == 1


async def test_a_session_ends_under_an_open_page(reader: Open, backend: FakeBackend) -> None:
    async with console(backend) as caller, reader(caller.origin) as seen:
        await log_in(seen, PASSWORD)
        await seen.live()
        backend.clock.advance_us(31 * 60_000_000)
        await seen.page.wait_for_selector('#live[data-state="lost"]')
        assert "Logged out" in await seen.text("#live-word")
        await seen.page.click("text=Fleet")
        assert await seen.text("h1") == SESSION_OVER


async def test_a_form_of_a_session_that_is_over_does_nothing(
    reader: Open, backend: FakeBackend
) -> None:
    backend.issue_plan(backend.read_plan(PLAN, "plan"), 0)
    async with console(backend) as caller, reader(caller.origin, expected=("401",)) as seen:
        await log_in(seen, PASSWORD)
        await seen.goto("/console/plan/edit")
        await seen.page.click("summary")
        await seen.page.fill("#plan", PLAN.replace("600", "300"))
        await seen.page.click("details button")
        assert "every 10 min → every 5 min" in await seen.text(".changes")
        backend.clock.advance_us(31 * 60_000_000)
        await seen.page.click("text=Sign and send")
        assert await seen.text("h1") == SESSION_OVER
        await log_in(seen, PASSWORD)
        await seen.goto("/console/plan")
        assert await seen.text("h1") == "Plan 1"


async def test_pages_hold_on_each_screen(chromium: str, tmp_path: Path) -> None:
    """Axe clean and nothing too wide; half the pages on each of the two screens."""
    screens = ((PATHS[::2], 1280, False), (PATHS[1::2], 390, True))
    with fill_backend(tmp_path) as backend:
        async with console(backend) as caller, connected(chromium) as browser:
            for paths, width, dark in screens:
                async with open_reader(browser, caller.origin, width=width, dark=dark) as seen:
                    await log_in(seen, PASSWORD)
                    for path in paths:
                        await seen.goto(path)
                        await seen.check()
