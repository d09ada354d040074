"""`results` shows public results of the agent's network and stores none of them."""

import json
from collections.abc import Iterator

import pytest

from heliograph.translation import use_language
from heliograph.v1 import intake_pb2 as pb
from heliograph_agent.cli import LOCALE, main
from heliograph_agent.cli.results import describe_service, format_results, summarize_findings
from heliograph_agent.runtime.findings import MAX_FINDINGS, describe_findings
from heliograph_agent.runtime.status_file import AgentStatus, describe_for_disk
from heliograph_agent.state import State
from support.findings import AT_S, told


def test_what_is_blocked_comes_first_with_its_beginning_and_the_own_test() -> None:
    status = told(whatsapp="reachable", telegram="blocked", signal="unknown")
    place, first, second, third, _ = format_results(status)
    assert place == "AS9198, Kazakhstan, as of 2022-01-05 22:00 UTC:"
    assert first.split(maxsplit=1) == [
        "Telegram",
        (
            "blocked here since about 2022-01-05 21:35 UTC; 20-49 agents; "
            "the same in 2 of 3 networks of Kazakhstan; "
            "this machine: it failed 2022-01-05 21:50 UTC"
        ),
    ]
    assert [line.split()[0] for line in (second, third)] == ["Signal", "Whatsapp"]
    assert "this machine" not in third
    assert "Telegram" in summarize_findings(status)
    assert "Whatsapp" not in summarize_findings(status)


def test_an_old_answer_of_the_own_machine_is_not_said() -> None:
    status = told(telegram="reachable")
    status["written_us"] = (AT_S + 3_600) * 1_000_000
    assert "this machine" not in "".join(format_results(status))


def test_a_country_of_which_no_other_network_is_shown_is_not_spoken_of() -> None:
    for networks in (0, 1):
        status = told(networks=networks, telegram="blocked")
        assert "networks" not in "".join(format_results(status))


def test_after_a_probe_the_published_state_of_its_target_is_said_alone() -> None:
    status = told(telegram="blocked", signal="reachable")
    title, place, row = describe_service(status, "telegram")
    assert title.startswith("What the collector publishes")
    assert "2022-01-05 22:00 UTC" in place
    assert "blocked here since" in row
    assert list(describe_service(status, "https://other.example/")) == []
    assert list(describe_service(AgentStatus(), "telegram")) == []


def test_no_finding_is_no_good_news() -> None:
    for status in (AgentStatus(), told()):
        (line,) = format_results(status)
        assert line.startswith("The collector has told nothing yet.")
        assert summarize_findings(status) == ""
    assert summarize_findings(told(telegram="unknown")).startswith("no block is known, and some")
    assert summarize_findings(told(telegram="reachable")).startswith("nothing is blocked, as far")


def test_none_of_it_reaches_the_disk() -> None:
    assert "findings" in told(telegram="blocked")
    assert describe_for_disk(told(telegram="blocked")).keys() == {"written_us"}


def test_a_flood_is_cut_and_control_characters_are_not_printed() -> None:
    message = pb.Findings(at_s=-(2**62), country="KZ", asn=1)
    for number in range(2 * MAX_FINDINGS):
        message.findings.add(
            service=str(number), title="\x1b[2J", state="new\x07", vantages="5-9", since_s=2**62
        )  # a time that no calendar has
    findings = describe_findings(message)
    assert len(findings["services"]) == MAX_FINDINGS
    lines = list(format_results({"findings": findings}))
    assert all(line.isprintable() for line in lines)


def test_the_command_prints_json(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "--json", "--state", str(state.root)]) == 0
    assert json.loads(capsys.readouterr().out) == {"findings": None, "own": {}}


@pytest.fixture(params=["ru", "kk", "fa"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    use_language(request.param, LOCALE)
    yield request.param
    use_language("en", LOCALE)


def test_each_language_says_all_of_it(language: str) -> None:
    lines = list(format_results(told(telegram="blocked", signal="down", whatsapp="partial")))
    english = {"blocked", "here", "since", "agents", "this", "machine:", "as", "of", "everywhere,"}
    assert not english & {word for line in lines for word in line.split()}
    for line in lines:
        assert line.startswith("\u200f") == (
            language == "fa" and line.lstrip("\u200f ")[0].isascii()
        )
