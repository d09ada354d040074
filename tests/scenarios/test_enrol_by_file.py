"""A machine that no network leads from: its request and the answer go by hand."""

from pathlib import Path

import pytest

from heliograph_agent import cli as agent_cli
from heliograph_agent.state import COLLECTOR, CONSENT, JOINING, KEY, State
from heliograph_collector import cli
from support import local_targets
from support.loopback_plan import prepare
from support.ports import free_port


class Two:
    """The directories of a collector and an agent, and files carried between them."""

    def __init__(self, folder: Path) -> None:
        prepare(folder, free_port())
        self.at = ("--data", str(folder / "data"))
        self.state = State(local_targets.allow(folder / "agent"))
        self.request, self.answer = folder / "request", folder / "request.response"

    def collector(self, *words: str) -> int:
        return cli.main([*words, *self.at])

    def agent(self, *words: str) -> int:
        return agent_cli.main([*words, "--state", str(self.state.root)])

    def invite(self, capsys: pytest.CaptureFixture[str]) -> str:
        assert self.collector("invite", "--endpoint", "collector.example:7443") == 0
        return capsys.readouterr().out.strip()


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path)


def test_a_join_by_file_needs_no_network_and_uses_its_invite_up(
    two: Two, capsys: pytest.CaptureFixture[str]
) -> None:
    invite = two.invite(capsys)
    assert two.agent("join", invite, "--request", str(two.request)) == 0
    secret = (two.state.path(KEY)).read_bytes()
    assert secret not in two.request.read_bytes(), "the key never leaves"
    assert two.collector("enrol", str(two.request)) == 0
    assert two.agent("join", "--response", str(two.answer), "--yes") == 0
    known = two.state.collector()
    assert known is not None
    assert known.charter
    assert two.state.read_json(CONSENT)
    assert two.state.read(JOINING) is None
    assert two.collector("enrol", str(two.request)) == 0, "the same again is the same agent"
    second = State(two.state.root.with_name("second"))
    request = two.request.with_name("second-request")
    words = ["join", invite, "--request", str(request), "--state", str(second.root)]
    assert agent_cli.main(words) == 0
    capsys.readouterr()
    assert two.collector("enrol", str(request)) == 1
    assert "invite_used_up" in capsys.readouterr().err
    request.write_bytes(request.read_bytes()[:-9])
    assert two.collector("enrol", str(request)) == 1


def test_an_answer_that_was_changed_or_is_another_s_is_refused(
    two: Two, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invite = two.invite(capsys)
    assert two.agent("join", invite, "--request", str(two.request)) == 0
    assert two.collector("enrol", str(two.request)) == 0
    answer = bytearray(two.answer.read_bytes())
    answer[-1] ^= 1
    two.answer.write_bytes(answer)
    assert two.agent("join", "--response", str(two.answer), "--yes") == 1
    assert "cannot be believed" in (said := capsys.readouterr().err) or "was changed" in said
    assert two.agent("join", "--response", str(two.request), "--yes") == 1
    assert "is a request" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    stranger = Two(tmp_path / "other")  # an impostor of the collector
    assert stranger.collector("enrol", str(two.request)) == 1, "it does not know the token"
    assert two.state.read(COLLECTOR) is None
