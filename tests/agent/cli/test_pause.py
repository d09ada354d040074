"""`pause`, `resume` and `leave` with a broken network, disk or directory."""

import argparse
import re
from pathlib import Path

import pytest

from heliograph_agent import cli
from heliograph_agent.cli import pause
from heliograph_agent.runtime.pause import is_paused
from heliograph_agent.state import COLLECTOR, PAUSED, State, StateError
from support.hand_clock import HandClock


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "agent")


def test_pause_works_offline(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    state.prepare()
    state.write(COLLECTOR, b"{")
    assert cli.main(["pause", "--until", "2h", "--state", str(state.root)]) == 0
    assert "Paused until 2" in capsys.readouterr().out
    assert cli.main(["resume", "--state", str(state.root)]) == 0
    assert cli.main(["resume", "--state", str(state.root)]) == 0


def test_a_full_disk_pauses_until_resume_or_stops_the_agent(
    state: State,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk pauses until `resume`, or stops the agent.

    A user who must stop at once cannot make room first.
    """
    state.prepare()
    state.write(COLLECTOR, b"{")
    assert cli.main(["pause", "--until", "1m", "--state", str(state.root)]) == 0  # ends too early

    def refuse(*_: object, **__: object) -> None:
        raise StateError("Cannot write it (No space left on device): make room.")

    monkeypatch.setattr(State, "write", refuse)
    assert cli.main(["pause", "--until", "2h", "--state", str(state.root)]) == 0
    assert "Paused until `heliograph-agent resume`." in capsys.readouterr().out
    assert is_paused(state, 2**62)
    assert cli.main(["resume", "--state", str(state.root)]) == 0
    assert not is_paused(state, 0)
    state.path(PAUSED).symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(State, "stop_running", lambda _: 7)
    assert cli.main(["pause", "--state", str(state.root)]) == 1
    message = capsys.readouterr().err
    assert "The running agent is stopped instead" in message
    assert "make room" in message
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("command", ["pause", "resume", "leave", "leave --erase"])
def test_no_agent_in_a_directory_seems_paused_or_left(
    state: State, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """The one that the volunteer means may run with other files."""
    code = cli.main([*command.split(), "--state", str(state.root)])
    output = capsys.readouterr()
    message = output.out + output.err
    assert f"No agent has joined in {state.root}" in message
    assert "--state" in message
    assert not re.search("Paused|Going on|Left", message)
    assert code == (0 if "leave" in command else 1)
    assert not state.root.exists()


def test_until_takes_spans_and_moments() -> None:
    clock = HandClock()
    hour_us = 3_600_000_000
    assert pause.parse_until("90m", clock) == clock.wall + hour_us * 3 // 2
    assert pause.parse_until("1d", clock) == clock.wall + 24 * hour_us
    assert pause.parse_until("2022-01-05T12:00", clock) == clock.wall + hour_us
    assert pause.parse_until("2022-01-05T18:00+06:00", clock) == clock.wall + hour_us
    for bad in ("", "1w", "2021-01-01", "99999d9", "9" * 40 + "d"):
        with pytest.raises(argparse.ArgumentTypeError):
            pause.parse_until(bad, clock)
