"""The console over plain HTTP: fleet, invitations, plan, codes and audit trail."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.keys import SigningKey
from heliograph.services import load_shipped_services
from heliograph_agent.consent import consent_scope
from heliograph_collector.console import plan_changes
from heliograph_collector.console.backend import DryRun, DryRunStatus, VerdictChangeCount
from heliograph_collector.console.health_summary import describe_lost_times
from heliograph_collector.fleet.forgetting import forget_agent
from heliograph_collector.fleet.invites import list_invites
from heliograph_collector.fleet.plans import build_default_plan, load_current_plan
from heliograph_collector.fleet.session_records import SessionEnd
from heliograph_collector.model.records import BlindTime
from support.console_backend import PLAN, VIEWER, Caller, FakeBackend, live_agent


def did(caller: Caller) -> list[tuple[str, str]]:
    deeds, _ = caller.gate.backend.trail.read_page(None, 50)
    return [(deed.did, deed.outcome) for deed in deeds]


async def test_revoking_wants_the_id_again(caller: Caller, backend: FakeBackend) -> None:
    agent = backend.enrol(1)
    backend.live_agents[agent] = live_agent(queued=3)
    await caller.log_in()
    path = f"/console/fleet/{agent.hex()}"
    _, page = await caller.get(path)
    assert "3 envelopes in its spool" in page
    assert "KZ-75" in page
    assert (await caller.post(f"{path}/revoke", {"again": "000000"}))[0] == 400
    assert backend.fleet.list_agents()[0].revoked_s is None
    assert await caller.post(f"{path}/revoke", {"again": agent.hex()[:6]}) == (303, path)
    assert backend.fleet.list_agents()[0].revoked_s == backend.now_s()
    assert (await caller.post(f"{path}/revoke", {"again": agent.hex()[:6]}))[0] == 409
    assert ("agent.revoke", "done") in did(caller)


@pytest.mark.parametrize(
    ("departure", "words"),
    [
        (None, "undetermined: no end of its last session is on record"),
        (("goodbye", "pause"), "it said goodbye: its volunteer paused it"),
        (("goodbye", "<b>"), "it said goodbye</dd>"),  # an agent's own words are not shown
        (("silent", ""), "it fell silent on an open connection"),
        (("misbehaved", ""), "look for a newer version"),
    ],
)
async def test_page_of_an_absent_agent_says_why_it_may_be_silent(
    caller: Caller, backend: FakeBackend, departure: tuple[str, str] | None, words: str
) -> None:
    agent, other, _ = (backend.enrol(n) for n in (1, 2, 3))
    backend.enrol(4, asn=1)
    if departure:
        backend.ends[agent] = SessionEnd(agent, backend.now_s(), *departure, 1, 0)
    backend.live_agents[other] = live_agent()
    await caller.log_in()
    _, page = await caller.get(f"/console/fleet/{agent.hex()}")
    assert words in page
    assert "1 of 2 are here now" in page  # a cut takes all of a network
    _, page = await caller.get(f"/console/fleet/{other.hex()}")
    assert "Why not here" not in page
    assert "0 of 2 are here now" in page


async def test_page_of_an_agent_that_never_came_says_where_to_look(
    caller: Caller, backend: FakeBackend
) -> None:
    token = backend.fleet.create_invite(role="volunteer", uses=1, now_s=0, expires_s=1)
    agent = backend.fleet.enrol_agent(token, SigningKey(bytes(32)).public, "0.9.1", 0)
    await caller.log_in()
    _, page = await caller.get(f"/console/fleet/{agent.id.hex()}")
    assert "it joined and has never connected" in page
    assert "heliograph-agent status" in page


async def test_a_name_and_a_note_are_kept_found_and_erased(
    caller: Caller, backend: FakeBackend
) -> None:
    agent = backend.enrol(1)
    backend.enrol(2)
    await caller.log_in()
    path = f"/console/fleet/{agent.hex()}"
    for wrong in ({"name": "a" * 61}, {"note": "b" * 501}, {"name": "a\u202eb"}, {"note": "\x1b"}):
        assert (await caller.post(f"{path}/describe", wrong))[0] == 400
    told = {"name": " Anna's  <router> ", "note": "In the cellar.\r\nAsk for Wi-Fi."}
    assert await caller.post(f"{path}/describe", told) == (303, path)
    _, page = await caller.get(path)
    assert "<bdi>Anna&#39;s &lt;router&gt;</bdi>" in page
    assert "In the cellar.<br>Ask for Wi-Fi." in page
    _, page = await caller.get("/console/fleet?q=cellar")
    assert "1 agent" in page
    assert "&lt;router&gt;" in page
    assert ("agent.describe", "done") in did(caller)
    assert b"cellar" not in (backend.trail._file).read_bytes()
    forget_agent(backend.fleet, agent, backend.now_s())
    described = next(a for a in backend.fleet.list_agents() if a.id == agent)
    assert (described.name, described.note) == ("", "")


async def test_ten_thousand_are_searched_and_paged(caller: Caller, backend: FakeBackend) -> None:
    token = backend.fleet.create_invite(role="volunteer", uses=100_000, now_s=0, expires_s=9)
    assert token
    with backend.fleet.transaction() as db:
        db.executemany(
            "INSERT INTO agents (id, public_key, role, version, created_s, country, asn)"
            " VALUES (?, ?, 'volunteer', '1.0', ?, ?, ?)",
            [
                (n.to_bytes(16, "big"), n.to_bytes(32, "big"), n, "KZ" if n % 100 else "IR", n % 7)
                for n in range(10_000)
            ],
        )
    await caller.log_in()
    _, page = await caller.get("/console/fleet?page=2")
    assert "10,000 agents" in page
    assert "page 2 of 200" in page
    _, page = await caller.get("/console/fleet?q=ir&state=away")
    assert "100 agents" in page
    _, page = await caller.get("/console/fleet?q=%3Cscript%3E&page=99999999")
    assert "No agent is like that" in page
    assert "<script>" not in page
    _, page = await caller.get("/console/fleet/coverage")
    assert "AS6" in page


async def test_an_invitation_is_shown_once_and_withdrawn(
    caller: Caller, backend: FakeBackend
) -> None:
    await caller.log_in()
    await caller.get("/console/invites")
    status, page = await caller.post(
        "/console/invites", {"uses": "20", "life": "7d", "role": "volunteer"}
    )
    assert status == 200
    assert page.count("heliograph1:") == 1
    assert 'src="data:image/svg+xml;base64,' in page
    assert "connect to <code>127.0.0.1:7443</code>" in page
    assert "Only agents on this machine reach that address" in page
    _, page = await caller.get("/console/invites")
    assert "Only agents on this machine" not in page
    assert "heliograph1:" not in page
    assert "20 of 20" in page
    (offer,) = list_invites(backend.fleet)
    path = f"/console/invites/{offer.id}/withdraw"
    assert ((await caller.post(path, {}))[0], (await caller.post(path, {}))[0]) == (303, 404)
    assert not list_invites(backend.fleet)[0].is_open(backend.now_s())
    assert "heliograph1:" not in (backend.data / "audit.jsonl").read_text()


@pytest.mark.parametrize(
    "fields",
    [{"uses": "0"}, {"uses": "1e3"}, {"uses": "999999999999"}, {"life": "900y"}, {"role": "king"}],
)
async def test_an_invitation_that_cannot_be(caller: Caller, fields: dict[str, str]) -> None:
    await caller.log_in()
    sent = {"uses": "1", "life": "7d", "role": "volunteer", **fields}
    status, page = await caller.post("/console/invites", sent)
    assert status == 400
    assert "is wanted" in page


async def test_a_plan_is_previewed_signed_and_taken_back(
    caller: Caller, backend: FakeBackend
) -> None:
    backend.enrol(1)
    backend.enrol(2, role="control", country="NL")
    await caller.log_in()
    status, page = await caller.post("/console/plan/preview", {"plan": PLAN})
    assert status == 200
    assert "It asks for more than volunteers agreed to" in page
    assert "127.0.0.2" in page
    assert "1 volunteer and 1 control" in page
    assert (await caller.post("/console/plan/send", {"plan": PLAN, "version": "0"}))[0] == 303
    assert (await caller.post("/console/plan/send", {"plan": PLAN, "version": "0"}))[0] == 409
    narrower = PLAN.replace("600", "1200")
    _, page = await caller.post("/console/plan/preview", {"plan": narrower})
    assert "every 10 min → every 20 min" in page
    assert "stays within what volunteers agreed to" in page
    await caller.post("/console/plan/send", {"plan": narrower, "version": "1"})
    _, page = await caller.get("/console/plan/edit?from=1")
    assert "interval_s: 600" in page
    found = load_current_plan(backend.fleet)
    assert found is not None
    assert (found[0].version, found[0].tasks[1].interval_s) == (2, 1_200)
    assert did(caller).count(("plan.send", "done")) == 2
    assert (await caller.get("/console/plan/77"))[0] == 404


async def test_a_plan_that_cannot_be_names_line_and_key(caller: Caller) -> None:
    await caller.log_in()
    wrong = PLAN.replace("interval_s: 600", "interval_s: never")
    status, page = await caller.post("/console/plan/preview", {"plan": wrong})
    assert status == 400
    assert "plan, line 4: tasks[1].interval_s" in page
    assert "interval_s: never" in page, "what was typed is not lost"
    status, page = await caller.post("/console/plan/preview", {"plan": "tasks: [\x00"})
    assert status == 400
    status, page = await caller.post(
        "/console/services/check", {"services": "version: a\nservices: {x: {titel: 1}}\n"}
    )
    assert status == 400
    assert "services, line 2" in page


async def test_services_are_checked_and_said_to_want_a_restart(caller: Caller) -> None:
    await caller.log_in()
    text = """version: "test.2"
services:
  telegram: {title: Telegram, experiment: telegram, endpoints: [
    {id: dc1, kind: tcp, host: 127.0.0.9, port: 443, group: dc}]}
"""
    _, page = await caller.post("/console/services/check", {"services": text})
    assert "Edition test.2 holds" in page
    assert "adds 127.0.0.9; drops 127.0.0.2" in page
    assert "taken in by a restart" in page


def test_what_volunteers_are_asked_is_what_agents_ask() -> None:
    plan = build_default_plan(load_shipped_services())
    assert plan_changes.consent_scope(plan) == consent_scope(plan)


async def test_health_in_one_line_each(caller: Caller, backend: FakeBackend) -> None:
    await caller.log_in()
    _, page = await caller.get("/console/health")
    assert "nothing can be judged blocked" in page
    assert "bad signature" in page
    backend.live_agents[backend.enrol(1, role="control")] = live_agent()
    backend.live_agents[backend.enrol(2)] = live_agent(queued=400)
    _, page = await caller.get("/console/health")
    assert "1 of 1 connected control online" in page
    assert "1 agent has a backlog, 400 envelopes in all" in page
    start_us = 1_641_384_000 * 1_000_000
    times = [
        BlindTime(since_us=start_us, until_us=start_us + 62_000_000, reason="clock"),
        BlindTime(since_us=start_us, until_us=None, reason="clock"),
        BlindTime(since_us=start_us, until_us=None, reason="restart"),
    ]
    lost = describe_lost_times(times, start_us + 90_000_000)
    jump = "The machine's clock jumped ahead by 9 s."
    backend.ingest_status = replace(backend.ingest_status, notices=[jump, *lost])
    _, page = await caller.get("/console/health")
    assert "clock jumped ahead by 9 s" in page
    for lost_s in (62, 90):
        told = (
            f"2022-01-05 12:00:00 UTC nothing was judged for {lost_s} s: the clock had been ahead"
        )
        assert page.count(told) == 1


async def test_what_the_rules_of_today_would_move(caller: Caller, backend: FakeBackend) -> None:
    await caller.log_in()
    moved = VerdictChangeCount(
        country="KZ", service="telegram", before="tls.reset", after="tls.reset_twice",
        state_before="blocked", state_after="unknown", count=31,
    )  # fmt: skip
    result = DryRun(
        since_us=0, until_us=1_000_000, judged_count=9_000, changed_count=31, is_complete=False,
        changes=[moved],
    )  # fmt: skip
    backend.dry_run_status = DryRunStatus(result=result)
    _, page = await caller.get("/console/rules")
    assert "tls.reset_twice" in page
    assert "There were more" in page
    assert "rejudge --since 1970-01-01T00:00:00Z --until 1970-01-01T00:00:01Z" in page
    surer = replace(moved, after=moved.before, state_after=moved.state_before, count=7)
    backend.dry_run_status = DryRunStatus(result=replace(result, changes=[moved, surer]))
    _, page = await caller.get("/console/rules")
    assert "31 verdicts would change, and 7 verdicts would keep state and rule" in page
    assert page.count("tls.reset<") == 1, "no row of what looks the same"
    backend.dry_run_status = DryRunStatus(result=replace(result, changes=[surer]))
    _, page = await caller.get("/console/rules")
    assert "No verdict would change" in page


async def test_dry_run_does_not_hold_the_page_and_says_how_far_it_is(
    caller: Caller, backend: FakeBackend
) -> None:
    await caller.log_in()
    assert await caller.post("/console/rules", {}) == (303, "/console/rules")
    _, page = await caller.get("/console/rules")
    assert "800 measurements so far" in page
    status, page = await caller.post("/console/rules", {})
    assert status == 409
    assert "wait for that to end" in page
    backend.dry_run_status = DryRunStatus(error="The store does not answer.")
    _, page = await caller.get("/console/rules")
    assert "The store does not answer." in page
    assert did(caller)[0] == ("rules.rehearse", "done")


async def test_list_can_be_tried_and_a_bad_one_comes_back_with_what_was_typed(
    caller: Caller, backend: FakeBackend
) -> None:
    await caller.log_in()
    status, page = await caller.post("/console/rules", {"name": "mine.txt", "list": "a,b\r\nc,d"})
    assert status == 409
    assert "mine.txt: its ending is none of .csv." in page
    assert 'value="mine.txt"' in page
    assert "a,b\nc,d</textarea>" in page
    tried = {"name": "mine.csv", "list": "a,b\r\nc,d"}
    assert await caller.post("/console/rules", tried) == (303, "/console/rules")
    _, page = await caller.get("/console/rules")
    assert "with <code>mine.csv</code>" in page


async def test_a_code_is_understood_before_it_is_stored(
    caller: Caller, backend: FakeBackend
) -> None:
    await caller.log_in()
    status, page = await caller.post("/console/code", {"code": "54321"})
    assert status == 400
    assert "second group" in page
    _, page = await caller.post("/console/code", {"code": "12345"})
    assert "foreign sites: fail" in page
    assert backend.stored_codes == 0
    _, page = await caller.post("/console/code/keep", {"code": "12345"})
    assert "taken in, once" in page
    assert backend.stored_codes == 1
    assert did(caller)[0] == ("code.keep", "done")


async def test_the_trail_is_read_backwards_page_by_page(
    caller: Caller, backend: FakeBackend
) -> None:
    trail = caller.gate.backend.trail
    for number in range(119):
        trail.add(number * 1_000_000, "ann", f"deed {number}", "<b>")
    with (backend.data / "audit.jsonl").open("a") as file:
        file.write('{"at": "2022-\n')  # a crash cut it off
    await caller.log_in()
    seen, path = 0, "/console/trail"
    while path:
        _, page = await caller.get(path)
        seen += page.count("deed ")
        assert "<b>" not in page
        _, _, rest = page.partition("/console/trail?before=")
        path = f"/console/trail?before={rest.partition(chr(34))[0]}" if rest else ""
    assert seen == 119


async def test_the_stream_says_what_changed_and_ends_with_the_session(
    caller: Caller, backend: FakeBackend
) -> None:
    await caller.log_in(VIEWER)
    backend.change_markers = {"fleet": 1, "health": 1}
    async with caller.client.get("/console/stream") as answer:
        assert answer.content_type == "text/event-stream"
        await answer.content.readuntil(b"welcome\n\n")
        backend.change_markers = {"fleet": 2, "health": 1}
        event = await answer.content.readuntil(b"\n\n")
        assert json.loads(event.partition(b"data: ")[2]) == {"topics": ["fleet"]}
        caller.gate.backend.operators.remove(VIEWER)
        assert b"event: over" in await answer.content.read()
    assert (await caller.get("/console/stream", Accept="text/event-stream"))[0] == 401


async def test_the_stream_ends_whole_when_the_server_does(caller: Caller) -> None:
    await caller.log_in()
    async with caller.client.get("/console/stream") as answer:
        await answer.content.readuntil(b"welcome\n\n")
        await caller.client.server.close()
        assert await answer.content.read() == b""  # broken off, it would raise


def test_the_trail_is_for_its_owner_alone(backend: FakeBackend, tmp_path: Path) -> None:
    backend.trail.add(0, "ann", "login")
    for name in ("audit.jsonl", "operators.json", "operators.lock"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0, name


async def test_the_first_page_says_what_is_cut_before_all_else(
    caller: Caller, backend: FakeBackend
) -> None:
    await caller.log_in()
    for found, told in (
        ({}, "No incident is open."),
        ({"suspected": 1}, "1 suspected incident, none confirmed."),
        ({"confirmed": 2, "suspected": 1}, "2 confirmed incidents open, 1 suspected."),
    ):
        backend.open_incidents = found
        _, page = await caller.get("/console")
        assert told in page
        assert page.index(told) < page.index("volunteer")


async def test_codes_are_told_as_words(caller: Caller, backend: FakeBackend) -> None:
    backend.live_agents[backend.enrol(1)] = live_agent(link="domestic_only")
    await caller.log_in()
    _, page = await caller.get("/console/fleet")
    assert "domestic only" in page
    _, page = await caller.get("/console/health")
    assert "bad signature" in page
    _, page = await caller.get("/console/invites")
    assert '<option value="7d" selected>7 days</option>' in page
