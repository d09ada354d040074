"""The commands as a person types them: help, sentences, exit codes."""

import asyncio
import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph import keys
from heliograph.plan import PlannedTask
from heliograph_agent import cli
from heliograph_agent.consent import digest_unit
from heliograph_agent.state import (
    COLLECTOR,
    CONSENT,
    KEY,
    NEXT_KEY,
    OWN_KEY,
    PAUSED,
    SPOOL,
    STATUS,
    State,
)
from heliograph_agent.state import PLAN as PLAN_FILE
from support.programs import ask
from support.scripted_intake import Collector, identity, intake, plan_of

COMMANDS = (*cli.MODULES, *cli.MODULE_OF)
MANUAL = Path(__file__).parents[2] / "agent/README.md"
PLAN = plan_of(PlannedTask(experiment="tcp", target="192.0.2.1:9", interval_s=60))


async def call(*arguments: str) -> int:
    """Run the command in a thread, as it runs its own event loop."""
    return await asyncio.to_thread(cli.main, arguments)


async def join(state: State, line: str) -> int:
    return await call("join", line, "--yes", "--state", str(state.root))


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "agent")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example_and_is_in_the_manual(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([command, "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert f"xample: heliograph-agent {command}" in out
    assert "--state" in out
    assert "--config" in out
    assert re.search(rf"heliograph-agent .*\b{command}\b", MANUAL.read_text())


@pytest.mark.parametrize(
    "words",
    [[], ["fly"], ["join"], ["run", "--twice"], ["pause", "--until", "soon"],
     ["join", "x", "--country", "KAZ"], ["join", "x", "--region", "75"],
     ["join", "x", "--access", "wifi"]],
)  # fmt: skip
def test_wrong_usage_is_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 2


@pytest.mark.parametrize("words", [["run"], ["plan"], ["status"]])
def test_before_joining_the_cure_is_named(
    words: list[str], state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words, "--state", str(state.root)]) == 1
    assert "heliograph-agent join INVITE" in capsys.readouterr().err


def test_help_loads_no_library() -> None:
    code = (
        "import sys, contextlib\n"
        "from heliograph_agent import cli\n"
        "with contextlib.suppress(SystemExit): cli.main(['--help'])\n"
        "heavy = {'grpc', 'cryptography', 'google.protobuf', 'dns', 'yaml', 'sqlite3', 'h11'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    told = ask([sys.executable, "-c", code])
    assert told.splitlines()[-1] == "[]"


def test_module_and_script_are_the_same_program() -> None:
    script = str(Path(sys.executable).with_name("heliograph-agent"))
    for program in ([sys.executable, "-m", "heliograph_agent"], [script]):
        done = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == "0.1.0\n"


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    done = subprocess.run(
        f"{sys.executable} -m heliograph_agent experiments | head -1 >/dev/null",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_full_disk_under_its_output_is_not_blamed_on_the_state(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        words = ["-m", "heliograph_agent", "experiments", "--state", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "stdout cannot be used (No space left on device): make room" in done.stderr
    assert done.stderr.count("\n") == 1


async def test_join_shows_what_will_run_and_asks(
    state: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with intake(PLAN) as collector:
        answers(monkeypatch, "kz\nno\nno\n")
        assert await call("join", collector.invite(), "--state", str(state.root)) == 1
        out, err = capsys.readouterr()
        assert "192.0.2.1:9: tcp, every 1 min" in out
        assert "Who can see it" in out
        assert "In Kazakhstan the network is censored and watched" in out.replace("\n ", "")
        assert "Nothing will run" in err
        answers(monkeypatch, "kz\nyes\n")  # another user's network, without consent
        assert await call("join", collector.invite(), "--state", str(state.root)) == 1
        assert "ask its owner first" in capsys.readouterr().err
        assert state.read(CONSENT) is None
        answers(monkeypatch, "kz\nallowed\nyes\n")
        assert await call("join", collector.invite(), "--state", str(state.root)) == 0
    stored = state.read_json(CONSENT)
    assert stored
    assert stored["scope"] == [digest_unit("tcp 192.0.2.1:9")]
    assert b"192.0.2.1" not in (state.read(CONSENT) or b""), "it names no target"
    assert (stored["network"], stored["country"], stored["version"]) == ("allowed", "KZ", 2)
    assert state.path(KEY).stat().st_mode & 0o777 == 0o600


async def test_joining_again_changes_nothing_but_what_is_declared(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    async with intake(PLAN) as collector:
        here = ("join", collector.invite(), "--yes", "--state", str(state.root))
        assert await call(*here, "--country", "kz") == 0
        key = state.read(KEY)
        assert await call(*here, "--access", "mobile") == 0
        assert "has already joined" in capsys.readouterr().out
    stored = state.read_json(CONSENT)
    assert stored
    assert (stored["country"], stored["access"]) == ("KZ", "mobile")
    assert state.read(KEY) == key


async def test_a_machine_gets_a_key_of_its_own_and_keeps_what_waits(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    async with intake(PLAN) as collector:
        assert await join(state, collector.invite()) == 0
        before = state.joined_collector()
        consent = state.read(CONSENT)
        state.write_json(STATUS, {"cloned": True, "allowance": {"left": 5}})
        state.write(NEXT_KEY, bytes(32))
        state.write(SPOOL, b"what waits")
        state.write(OWN_KEY, b"k" * 32)  # a kill ended the first try
        collector.used_token = False  # another invite
        here = ("join", collector.invite(), "--new-key", "--yes", "--state", str(state.root))
        assert await call(*here) == 0
    after = state.joined_collector()
    assert state.signer().public == keys.SigningKey(b"k" * 32).public
    assert after.agent == keys.agent_id(state.signer().public) != before.agent
    assert (state.read(NEXT_KEY), state.read(OWN_KEY)) == (None, None)
    assert state.read(SPOOL) == b"what waits"
    assert (state.read(CONSENT) == consent, state.read_json(STATUS)) == (
        True,
        {"cloned": False, "allowance": {"left": 5}},
    )
    assert "its own key now" in capsys.readouterr().out


async def test_another_collectors_invite_needs_another_state(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    async with intake(PLAN) as first, intake(PLAN) as second:
        assert await join(state, first.invite()) == 0
        assert await join(state, second.invite()) == 1
    assert f"belongs to the collector at {first.endpoint}" in capsys.readouterr().err


def forge_plan(collector: Collector) -> str:
    collector.plan.signature = bytes(64)
    return collector.invite()


@pytest.mark.parametrize(
    ("make_line", "sentence"),
    [
        (lambda c: c.invite(token=b"some other token"),
         "used already, has expired or was withdrawn"),
        (lambda c: c.invite(pin=identity().pin), "somebody may be intercepting"),
        (forge_plan, "its signature is not the collector's"),
        (lambda _: "heliograph1:zzz", "copy the whole line again"),
    ],
    ids=["used or expired", "key of a stranger", "forged plan", "garbled"],
)  # fmt: skip
async def test_join_refusal_names_the_reason(
    make_line: Callable[[Collector], str],
    sentence: str,
    state: State,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with intake(PLAN) as collector:
        assert await join(state, make_line(collector)) == 1
        assert make_line is forge_plan or not collector.agents
    assert sentence in capsys.readouterr().err
    assert state.collector() is None


async def test_join_names_collector_out_of_reach(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    async with intake(PLAN) as collector:
        line = collector.invite()
    assert await join(state, line) == 1
    assert "cannot be reached" in capsys.readouterr().err


async def test_plan_and_status_speak_json_and_words(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = replace(PLAN, hello_profiles="# \x9b2J\u202e".encode())
    async with intake(hostile) as collector:
        assert await join(state, collector.invite()) == 0
    capsys.readouterr()
    assert cli.main(["plan", "--json", "--state", str(state.root)]) == 0
    output = capsys.readouterr().out
    assert output.rstrip("\n").isprintable(), "nothing in it moves a cursor or reorders text"
    plan = json.loads(output)
    assert plan["hello_profiles"] == hostile.hello_profiles.decode()
    assert plan["tasks"][0]["target"] == "192.0.2.1:9"
    assert plan["not_agreed"] == []
    assert cli.main(["status", "--json", "--state", str(state.root)]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["running"] is False
    assert (status["queued_measurements"], status["queued_envelopes"]) == (0, 0)
    assert cli.main(["plan", "--state", str(state.root)]) == 0
    assert cli.main(["status", "--state", str(state.root)]) == 0
    out = capsys.readouterr().out
    state.write(PAUSED, b"")
    assert cli.main(["status", "--state", str(state.root)]) == 0
    assert "paused until `heliograph-agent resume`" in capsys.readouterr().out
    assert "Plan 1" in out
    assert "come later than planned" not in out
    assert "not running: start it with" in out
    (state.root / "config.yml").write_text("opt_out: {tests: [tcp, telegramm]}")
    assert cli.main(["plan", "--state", str(state.root)]) == 0
    assert "leaves out nothing by telegramm: no category" in capsys.readouterr().err
    (state.root / "config.yml").write_text("limits: {bytes_per_month: 1000000}\n")
    assert cli.main(["plan", "--state", str(state.root)]) == 0
    assert "By a limit of 1 MB a month tests come later than planned" in capsys.readouterr().out


async def test_a_yes_is_to_the_plan_that_was_shown(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    """A yes holds for the plan shown, though another one may have come meanwhile."""
    async with intake(PLAN) as collector:
        assert await join(state, collector.invite()) == 0
        agreed = {**(state.read_json(CONSENT) or {}), "scope": ["tcp 192.0.2.1:9"]}
        state.write_json(CONSENT, agreed)
        wider = PlannedTask(experiment="tcp", target="192.0.2.2:9", interval_s=60)
        plan = replace(PLAN, version=8, tasks=(*PLAN.tasks, wider))
        state.write(PLAN_FILE, collector.signed(plan).SerializeToString())
    capsys.readouterr()
    assert cli.main(["plan", "--agree", "7", "--state", str(state.root)]) == 1
    assert "plan 8 has come since plan 7" in capsys.readouterr().err
    assert state.read_json(CONSENT) == agreed
    assert cli.main(["plan", "--state", str(state.root)]) == 0
    assert "To agree: heliograph-agent plan --agree 8\n" in capsys.readouterr().out
    assert cli.main(["plan", "--agree", "8", "--state", str(state.root)]) == 0
    assert digest_unit("tcp 192.0.2.2:9") in (state.read_json(CONSENT) or {})["scope"]


def test_nothing_that_it_makes_is_for_others_to_read(state: State) -> None:
    state.prepare()
    state.write(COLLECTOR, b"{")
    before = os.umask(0o022)
    try:
        assert cli.main(["pause", "--state", str(state.root)]) == 0
        state.path("any").touch()
    finally:
        os.umask(before)
    assert state.path("any").stat().st_mode & 0o077 == 0


def test_leave_erases_ours_and_nothing_else(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    state.prepare()
    state.private_key(create=True)
    state.path("spool.db-wal").write_bytes(b"")
    state.path("holiday.jpg").write_bytes(b"")
    assert cli.main(["leave", "--erase", "--state", str(state.root)]) == 0
    assert [path.name for path in state.root.iterdir()] == ["holiday.jpg"]
    told = capsys.readouterr()
    assert "were left in" in told.err
    assert told.out == "Left.\n", "there was no collector to notify"
    assert cli.main(["leave", "--state", str(state.root)]) == 0
    assert "nothing to leave" in capsys.readouterr().out


async def test_collector_that_could_not_be_asked_to_forget_is_named(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    """A collector that could not be asked to forget is named.

    An agent that joined, agreed to nothing and leaves is in the collector's records all the same.
    """
    async with intake(PLAN) as collector:
        assert await join(state, collector.invite()) == 0
        state.path(CONSENT).unlink()
        assert await call("leave", "--erase", "--state", str(state.root)) == 0
    assert "could not be asked to forget this agent" in capsys.readouterr().out


@pytest.mark.parametrize("name", [COLLECTOR, CONSENT, PLAN_FILE, KEY])
async def test_leave_erases_damaged_state(state: State, name: str) -> None:
    async with intake(PLAN) as collector:
        assert await join(state, collector.invite()) == 0
        state.path(name).write_bytes(b"{damaged")
        assert await call("leave", "--erase", "--state", str(state.root)) == 0
    assert not state.root.exists()


async def test_join_mends_damaged_enrolment(state: State) -> None:
    async with intake(PLAN) as collector:
        assert await join(state, collector.invite()) == 0
        state.path(COLLECTOR).write_bytes(b"")
        assert await join(state, collector.invite()) == 0
    assert state.collector() is not None


@pytest.mark.parametrize("written", [None, b""], ids=["not yet", "cut short by a power cut"])
async def test_status_does_without_what_the_agent_wrote(
    state: State, written: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    async with intake(PLAN) as collector:
        assert await join(state, collector.invite()) == 0
    if written is not None:
        state.path(STATUS).write_bytes(written)
    with state.hold_lock():  # as by an agent that has just begun
        assert cli.main(["status", "--state", str(state.root)]) == 0
    assert "no session" in capsys.readouterr().out


async def test_status_tells_what_the_own_side_does(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    async with intake(PLAN) as collector:
        assert await join(state, collector.invite()) == 0
    signs = {"decrypts": "CN=Scan\x1b[2JMe", "filters": "", "of a later version": ""}
    state.write_json(STATUS, {"own_signs": signs})
    assert cli.main(["status", "--state", str(state.root)]) == 0
    out = capsys.readouterr().out
    assert "A program on this machine or in this house decrypts TLS: CN=Scan·[2JMe" in out
    assert "filters adverts" in out


def test_a_bad_configuration_is_told_with_its_line(
    state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yml"
    config.write_text("net:\n  resolvr: x\n")
    with contextlib.suppress(SystemExit):
        assert cli.main(["run", "--state", str(state.root), "--config", str(config)]) == 1
    assert f"{config}, line 2: unknown key net.resolvr" in capsys.readouterr().err


def answers(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(line))
