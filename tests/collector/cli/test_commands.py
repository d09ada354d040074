"""The operator's commands: their output, their changes, and how they refuse."""

import base64
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from heliograph.experiments import NAMES
from heliograph.keys import SigningKey
from heliograph.services import load_shipped_services
from heliograph.units import SECOND_US
from heliograph.v1.intake_pb2 import Invite
from heliograph.yaml_document import read_yaml
from heliograph_agent.experiments import REGISTRY
from heliograph_collector import cli
from heliograph_collector.cli.invite import parse_duration_s
from heliograph_collector.fleet import Fleet, open_keyring, plan_file
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.plans import build_default_plan, load_current_plan
from heliograph_collector.fleet.registry import AgentSighting
from heliograph_collector.fleet.session_records import Refusal, SessionEnd, record_sessions
from heliograph_collector.incidents.log_file import LOG_FILE_NAME
from support.incident_book import ago, book, silence


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    (tmp_path / "data").mkdir()

    def command(*words: str) -> Ran:
        try:
            code = cli.main([*words, "--data", str(tmp_path / "data")])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return command


def enrolled(data: Path, number: int = 1) -> str:
    fleet = Fleet(data)
    token = fleet.create_invite(role="volunteer", uses=1, now_s=0, expires_s=10)
    agent = fleet.enrol_agent(token, SigningKey(number.to_bytes(32, "big")).public, "0.1", 5)
    fleet.close()
    return agent.id.hex()


def decoded(line: str) -> Invite:
    body = line.strip().removeprefix("heliograph1:")
    return Invite.FromString(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def test_invite_is_one_line_with_endpoint_and_pin(run: Command, tmp_path: Path) -> None:
    ran = run("invite", "--endpoint", "collector.example:443")
    assert ran.code == 0
    assert ran.out.count("\n") == 1
    assert ran.err == ""
    invite = decoded(ran.out)
    assert invite.endpoint == "collector.example:443"
    assert invite.pin == open_keyring(tmp_path / "data", []).pin
    assert len(invite.token) == 16


def test_invite_carries_uses_and_role(run: Command, tmp_path: Path) -> None:
    ran = run("invite", "--uses", "2", "--expires", "1h", "--control")
    token, fleet = decoded(ran.out).token, Fleet(tmp_path / "data")
    assert [parse_duration_s(text) for text in ("30m", "12h", "7d")] == [1_800, 43_200, 604_800]
    keys = [SigningKey(bytes([n]) * 32).public for n in (1, 2)]
    assert [fleet.enrol_agent(token, key, "", 0).role for key in keys] == ["control", "control"]
    fleet.close()


def test_invite_needs_a_public_endpoint_or_a_running_collector(
    run: Command, tmp_path: Path
) -> None:
    file = tmp_path / "c.yml"
    file.write_text("grpc: 0.0.0.0:7443\n")
    for nowhere in ((), ("--endpoint", "a.example:0")):
        ran = run("invite", "--config", str(file), *nowhere)
        assert (ran.code, ran.out) == (1, "")
        assert "agents cannot dial" in ran.err
        assert "--endpoint HOST:PORT" in ran.err
    assert run("invite", "--config", str(file), "--endpoint", "a.example:1").code == 0
    (tmp_path / "data" / "serving.json").write_text('{"grpc": "127.0.0.1:4711"}')
    assert decoded(run("invite").out).endpoint == "127.0.0.1:4711"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("invite", "--uses", "0"), "whole number from 1"),
        (("invite", "--expires", "soon"), "must be a time like 30m, 12h or 7d"),
        (("invite", "--endpoint", "nowhere"), "must be HOST:PORT"),
        (("serve", "--grpc", "7443"), "must be HOST:PORT"),
        (("agents",), "list|revoke"),
        (("fly",), "invalid choice"),
    ],
)
def test_wrong_usage_exits_with_two(run: Command, words: Sequence[str], says: str) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert says in ran.err


def test_agents_are_listed_and_revoked_by_id_prefix(run: Command, tmp_path: Path) -> None:
    assert "invite" in run("agents", "list").out
    first, second = (enrolled(tmp_path / "data", n) for n in (1, 2))
    listed = json.loads(run("agents", "list", "--json").out)
    assert {agent["id"] for agent in listed} == {first, second}
    assert listed[0]["last_seen"] is None
    assert run("agents", "revoke", first[:8]).code == 0
    table = run("agents", "list").out.splitlines()
    assert [line.endswith("revoked") for line in table if first in line] == [True]
    again = run("agents", "revoke", first)
    assert (again.code, "revoked already" in again.err) == (1, True)
    for unclear in ("ffff" * 8, first[:2]):
        ran = run("agents", "revoke", unclear)
        assert (ran.code, "no agent's id begins" in ran.err) == (1, True)


def test_the_list_says_why_agents_are_silent(run: Command, tmp_path: Path) -> None:
    data = tmp_path / "data"
    paused, lost, never = (bytes.fromhex(enrolled(data, n)) for n in (1, 2, 3))
    fleet = Fleet(data)
    seen_s = ago(20) // SECOND_US
    place = {"version": "0.1", "country": "KZ", "asn": 29355, "access": "mobile"}
    fleet.record_sightings(
        [AgentSighting(agent=agent, at_s=seen_s, **place) for agent in (paused, lost)]  # type: ignore[arg-type] # a table
    )
    ends = [
        SessionEnd(paused, seen_s, "goodbye", "pause", 1, 0),
        SessionEnd(lost, seen_s, "silent", "", 1, 0),
    ]
    record_sessions(fleet, ends, [Refusal(never, seen_s, "session", "bad_signature")])
    fleet.close()
    incident = silence(minutes=21)
    lines = [entry.line + b"\n" for entry in book(incident).entries]
    (data / LOG_FILE_NAME).write_bytes(b"".join(lines) + b'{"body": torn')
    rows = {
        row["id"]: row["silent_because"] for row in json.loads(run("agents", "list", "--json").out)
    }
    assert rows[paused.hex()] == ["it said goodbye: its volunteer paused it"]
    assert rows[lost.hex()][1:] == [f"it was lost in incident {incident.id} of its network"]
    assert "not by its key" in rows[never.hex()][1]
    table = run("agents", "list").out.splitlines()
    assert "    it said goodbye: its volunteer paused it" in table
    assert all(f"    {reason}" in table for reason in rows[lost.hex()])


def test_shown_plan_can_be_set_again(run: Command, tmp_path: Path) -> None:
    shown = run("plan", "show").out
    file = tmp_path / "plan.yml"
    file.write_text(shown.replace("heartbeat_s: 15", "heartbeat_s: 30"))
    ran = run("plan", "set", str(file))
    task_count = len(build_default_plan(load_shipped_services()).tasks)
    assert (ran.code, ran.out) == (0, f"Plan 2 is set: {task_count} tasks.\n")
    fleet = Fleet(tmp_path / "data")
    found = load_current_plan(fleet)
    fleet.close()
    assert found is not None
    assert (found[0].version, found[0].heartbeat_s) == (2, 30)
    whole = json.loads(run("plan", "show", "--json").out)
    assert whole["version"] == "2"
    assert {s["name"] for s in whole["services"]} >= {"telegram", "signal", "whatsapp"}


def write_task(fields: str) -> str:
    return f"tasks:\n- {{{fields}}}\n"


ALLOWED = "experiment: web, target: a, interval_s: 60"
TCP = ALLOWED.replace("web", "tcp")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("heartbeat_s: 15\n", 1, "the key tasks is missing"),
        ("tasks: []\n", 1, "must list 1 to 512 tasks"),
        (write_task("experiment: telepathy, target: a, interval_s: 60"), 2, "must be one of"),
        (write_task("experiment: web, interval_s: 60"), 2, "needs either service or target"),
        (write_task("experiment: web, target: a"), 2, "the key interval_s is missing"),
        (write_task("experiment: web, target: a, interval_s: 1"), 2, "from 10 to 604800"),
        ("tasks:\n- experiment: telegram\n  service: icq\n  interval_s: 60\n", 3, "'icq' must be"),
        (write_task("experiment: web, target: a b, interval_s: 60"), 2, "no blanks"),
        (write_task(f"{ALLOWED}, x: 1"), 2, "unknown key"),
        (write_task(f"{ALLOWED}, options: {{redirects: 11}}"), 2, "'11'; allowed: 0 to 10."),
        (write_task(f"{TCP}, options: {{ports: 1}}"), 2, "'ports'; its options are: none."),
        (f"limits: {{bytes: 1}}\n{write_task(ALLOWED)}", 1, "unknown"),
    ],
)
def test_wrong_plan_is_refused_with_its_line(
    run: Command, tmp_path: Path, text: str, line: int, says: str
) -> None:
    file = tmp_path / "plan.yml"
    file.write_text(text)
    ran = run("plan", "set", str(file))
    assert ran.code == 1
    assert f"{file}, line {line}: " in ran.err
    assert says in ran.err
    assert ran.err.count("\n") == 1


def test_plan_experiments_are_those_of_agents() -> None:
    assert sorted(e.name for e in REGISTRY) == list(NAMES)


def test_task_is_parsed_with_its_options_and_rendered_as_written(tmp_path: Path) -> None:
    file = tmp_path / "plan.yml"
    task = "experiment: web\n  target: https://gov.test/\n  interval_s: 60\n"
    task += "  options:\n    body_limit: '9'\n  role: control\n"
    file.write_text(f"tasks:\n- {task}")
    plan = plan_file.parse_plan(read_yaml(file), load_shipped_services())
    assert plan.for_role("volunteer").tasks == ()
    assert [found.options for found in plan.tasks] == [{"body_limit": "9"}]
    assert task in plan_file.render_plan(plan)


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    deeper = {"agents": ("list", "revoke"), "plan": ("show", "set"), "geo": ("install",)}
    for name in cli.COMMANDS:
        for words in [(name,), *((name, action) for action in deeper.get(name, ()))]:
            with pytest.raises(SystemExit) as end:
                cli.main([*words, "--help"])
            assert end.value.code == 0
            assert "Example: heliograph-collector " + name in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_in_a_manual(name: str) -> None:
    root = Path(__file__).parents[3]
    folders = ("deploy/**/*.md", "collector/**/*.md")
    manuals = [root / "README.md", *(file for glob in folders for file in root.glob(glob))]
    assert any(re.search(rf"(collector |`){name}\b", file.read_text()) for file in manuals)


def test_missing_extra_is_named(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    ran = run("agents", "list")
    assert ran.code == 1
    assert "pip install '.[collector]'" in ran.err
    assert ran.err.count("\n") == 1


def test_invite_prints_qr_code_on_a_terminal_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "heliograph_collector", "invite", "--data", str(tmp_path)]
    master, terminal = pty.openpty()
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, text=True, timeout=60)
    os.close(terminal)
    drawn = os.read(master, 65_536).decode()
    os.close(master)
    assert ran.stdout.startswith("heliograph1:")
    assert ran.stdout.count("\n") == 1
    assert drawn.count("█") > 100
    assert "connect to 127.0.0.1:7443. Only agents on this machine reach that" in drawn


@pytest.mark.parametrize(
    "command",
    [
        "invite", "agents list", "agents revoke 3f9a", "agents clear 3f9a", "agents vouch 3f9a",
        "plan show", "keys show", "keys rotate", "fingerprints list", "fingerprints remove isp.csv",
        "enrol request.bin", "import bundle results.bundle", "import code 12345",
    ],
)  # fmt: skip
def test_a_directory_without_a_collector_is_named_and_stays_as_it_is(
    run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """A directory without a collector is named, and not changed.

    It is the wrong one: "no agent is enrolled" would be taken for the truth.
    """
    (tmp_path / "data" / "photo.jpg").touch()
    ran = run(*command.split())
    assert (ran.code, ran.out) == (1, "")
    assert f"no collector has its data in {tmp_path / 'data'}" in ran.err
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["photo.jpg"]
    missing = tmp_path / "missing"
    assert cli.main([*command.split(), "--data", str(missing)]) == 1
    assert f"serve --data {missing}" in capsys.readouterr().err
    assert not missing.exists()


def test_keys_are_shown_as_json(run: Command) -> None:
    document = json.loads(run("keys", "show", "--json").out)
    assert (document["version"], document["threshold"], document["agents"]) == (1, 1, 0)
    assert document["root_keys"][0] in run("keys", "show").out
    assert any("root key of the fleet is on this machine" in risk for risk in document["risks"])


def test_sources_are_listed_as_json(run: Command, tmp_path: Path) -> None:
    config = tmp_path / "collector.yml"
    config.write_text("corroborate: {sources: [ioda]}\n")
    ran = run("sources", "list", "--json", "--config", str(config))
    assert json.loads(ran.out) == {"ioda": True, "radar": False}


def test_damaged_key_and_database_are_sentences(run: Command, tmp_path: Path) -> None:
    run("invite")
    (tmp_path / "data" / "keys" / "sealing.key").write_bytes(b"short")
    ran = run("invite")
    assert (ran.code, "is damaged" in ran.err, ran.err.count("\n")) == (1, True, 1)
    (tmp_path / "data" / "fleet.db").write_bytes(b"no database at all" * 100)
    ran = run("agents", "list")
    assert (ran.code, "fleet.db cannot be used" in ran.err, ran.err.count("\n")) == (1, True, 1)


def test_plan_set_keeps_current_services(run: Command, tmp_path: Path) -> None:
    services = tmp_path / "services.yml"
    services.write_text(
        'version: "own.1"\nservices:\n  chat:\n    title: Chat\n    experiment: tcp\n'
        "    endpoints:\n      - {id: a, kind: tcp, host: chat.example, port: 443}\n"
    )
    config = tmp_path / "c.yml"
    config.write_text("plan: {services_file: services.yml}\n")
    plan = tmp_path / "plan.yml"
    plan.write_text("tasks:\n- {experiment: tcp, service: chat, interval_s: 60}\n")
    assert "must be one of anchors" in run("plan", "set", str(plan)).err
    assert run("plan", "set", str(plan), "--config", str(config)).code == 0
    assert run("plan", "set", str(plan)).code == 0, "the edition that stands is still own.1"
    assert "services own.1: chat" in run("plan", "show").out


def test_commands_leave_the_lines_of_the_console_in_the_audit_trail(
    run: Command, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    agent = enrolled(data)
    plan = tmp_path / "plan.yml"
    plan.write_text(run("plan", "show").out)
    assert run("invite", "--uses", "3", "--expires", "1h").code == 0
    assert run("plan", "set", str(plan)).code == 0
    assert run("agents", "vouch", agent).code == 0
    assert run("agents", "revoke", agent).code == 0
    entries = AuditLog(data).read_page(None, 9)[0]
    assert [(e.did, e.about) for e in reversed(entries)] == [
        ("invite.make", "volunteer, 3 uses, 3600 s"),
        ("plan.send", "after version 1"),
        ("agent.vouch", agent),
        ("agent.revoke", agent),
    ]


def test_plan_names_the_newest_version_of_agents_and_the_insecure_ones(
    run: Command, tmp_path: Path
) -> None:
    file = tmp_path / "plan.yml"
    file.write_text(run("plan", "show").out + 'newest_version: "0.3.0"\ninsecure_before: 0.2.1\n')
    assert run("plan", "set", str(file)).code == 0
    shown = run("plan", "show").out
    assert "newest_version: 0.3.0\ninsecure_before: 0.2.1\n" in shown
    file.write_text(shown.replace("0.2.1", "yesterday's"))
    refused = run("plan", "set", str(file))
    assert refused.code == 1
    assert "must be a version of agents" in refused.err


def test_a_day_as_until_is_included_by_every_command() -> None:
    words = ["--since", "2022-01-05", "--until", "2022-01-05"]
    end_us = 1_641_427_200 * SECOND_US  # 2022-01-06 00:00 UTC
    for command in (["export", "parquet", "out"], ["sources", "fetch", "ioda", "--country", "KZ"]):
        args = cli.build_parser().parse_args([*command, *words])
        assert args.until == end_us
    args = cli.build_parser().parse_args(["rejudge", *words])
    assert args.until.timestamp() * SECOND_US == end_us
    args = cli.build_parser().parse_args(["rejudge", "--until", "2022-01-05T03:00:00Z"])
    assert args.until.isoformat() == "2022-01-05T03:00:00+00:00"
