"""`status` shows in plain words what waits, what arrived, what lacks and why."""

import json

import pytest

from heliograph import __version__
from heliograph.clock import SystemClock
from heliograph.plan import is_older
from heliograph.v1 import plan_pb2 as pb
from heliograph_agent.cli import main
from heliograph_agent.runtime.pause import is_paused
from heliograph_agent.state import CONSENT, PAUSED, PLAN, SPOOL, STATUS, State

HOLE = f"This version, {__version__}, has a known security hole."


def shown(state: State, capsys: pytest.CaptureFixture[str], **told: object) -> dict[str, str]:
    """Return label → text of the status lines of a running agent."""
    state.path(STATUS).write_text(json.dumps(told))
    with state.hold_lock():
        assert main(["status", "--state", str(state.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}


def test_what_waits_what_arrived_and_what_gave_way(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(
        state, capsys, queued_measurements=3, queued_envelopes=2, oldest_us=1_641_380_400_000_000,
        acked_measurements=41, summed={"p3": 1_200}, dropped={"thinned_p2": 7, "damaged": 1},
        way="post://collector.example:7444 by proxy",
    )  # fmt: skip
    assert lines["waiting"] == "3 results in 2 batches, oldest 2022-01-05 11:00:00 UTC"
    assert lines["delivered"] == "41 results"
    assert lines["summed up"] == "1200 routine results are kept as sums of an hour or a day"
    assert lines["missing"] == (
        "7 failures that went on gave way, there was no room; the spool was mended 1 times"
    )
    assert "last tried: one batch at a time, by your proxy" in lines["collector"]


def test_nothing_is_said_of_what_is_all_there(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(state, capsys, connected=True, way="stream://collector.example:7443")
    assert "missing" not in lines
    assert lines["waiting"] == "nothing"
    assert lines["network"].startswith("not known yet, ")
    assert "summed up" not in lines
    assert ", connected, " in lines["collector"]


def test_a_key_on_two_machines_is_told_with_the_cure(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "key" not in shown(state, capsys, cloned=False)
    said = shown(state, capsys, cloned=True)["key"]
    assert "another machine uses this agent's key" in said
    assert "`heliograph-agent join INVITE --new-key`" in said


@pytest.mark.parametrize(
    ("content", "until_us"),
    [
        (b'{"until_us": 1000000}', None),  # it ended in 1970, and no agent has run since
        (b'{"until_us": 0}', 0),
        (b'{"until_us": "soon"}', 0),
        (b"{}", 0),
        (b"", 0),
    ],
)
def test_the_pause_is_the_one_that_the_agent_keeps(
    state: State, capsys: pytest.CaptureFixture[str], content: bytes, until_us: int | None
) -> None:
    state.write(PAUSED, content)
    assert main(["status", "--json", "--state", str(state.root)]) == 0
    paused = json.loads(capsys.readouterr().out)["paused"]
    assert paused == (None if until_us is None else {"until_us": until_us})
    assert main(["status", "--state", str(state.root)]) == 0
    assert is_paused(state, SystemClock().wall_us()) is (until_us is not None)


def test_an_agent_that_starts_in_that_moment_runs(
    state: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that starts while `status` looks is shown as running.

    It was not there at the first check, and is when its spool is to be opened.
    """
    state.path(SPOOL).touch()
    monkeypatch.setattr(State, "running_pid", lambda _: None)
    with state.hold_lock():
        assert main(["status", "--json", "--state", str(state.root)]) == 0
    assert json.loads(capsys.readouterr().out)["running"] is True


def test_a_machine_behind_a_vpn_is_told_that_it_is_elsewhere(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(country: str) -> str | None:
        found = {"at_us": 0, "country": country, "asn": 0, "services": {}}
        return shown(state, capsys, findings=found).get("place")

    assert told("NL") is None, "nothing was declared"
    state.path("config.yml").write_text("vantage:\n  country: KZ\n")
    said = told("NL")
    assert said
    assert "sees this machine in the Netherlands, and you declared Kazakhstan" in said
    assert "VPN" in said
    assert [told(country) for country in ("KZ", "ZZ", "")] == [None] * 3
    state.path("config.yml").write_text("nonsense: [")
    assert told("NL") is None, "and what is wrong there hides no status"


def test_a_low_battery_is_said(
    state: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state.path(CONSENT).write_text("{}")
    assert shown(state, capsys)["agent"] == "running"
    monkeypatch.setattr(
        "heliograph_agent.runtime.battery.is_battery_low", lambda below: below == 20
    )
    assert "only anchors are measured" in shown(state, capsys)["agent"]


@pytest.mark.parametrize(
    ("newest", "insecure_before", "beginning"),
    [
        ("", "", ""),
        (__version__, __version__, ""),
        ("99.0", "", f"Version 99.0 exists; this is {__version__}. How: in a checkout `git pull`"),
        (
            "99.1",
            "99.0",
            f"This version, {__version__}, has a known security hole. Update it now to 99.1.",
        ),
        (
            "",
            "99.0",
            f"This version, {__version__}, has a known security hole. Update it now to 99.0.",
        ),
        ("next", "0.1.0.1;rm", ""),
    ],
)
def test_a_newer_version_that_the_signed_plan_names_is_told_with_how_to_update(
    state: State,
    capsys: pytest.CaptureFixture[str],
    newest: str,
    insecure_before: str,
    beginning: str,
) -> None:
    plan = pb.Plan(version=3, newest_version=newest, insecure_before=insecure_before)
    plan.limits.concurrency = 1
    state.write(PLAN, pb.SignedPlan(plan=plan.SerializeToString()).SerializeToString())
    lines = shown(state, capsys)
    assert lines["plan"] == "version 3", "also before it has run for the first time"
    said = lines.get("update", "")
    assert said.startswith(beginning)
    assert bool(said) is bool(beginning)


@pytest.mark.parametrize(
    ("version", "other", "is_it"),
    [("0.1.0", "0.2", True), ("0.9", "0.10", True), ("0.2", "0.2.0", False), ("1.0", "0.9", False)],
)
def test_versions_are_compared_by_their_numbers(version: str, other: str, is_it: bool) -> None:
    assert is_older(version, other) is is_it
