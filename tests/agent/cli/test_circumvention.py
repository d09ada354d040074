"""A way around a block is named only where the tests show that it works."""

from collections.abc import Callable

import pytest

from heliograph.translation import use_language
from heliograph_agent.cli import LOCALE
from heliograph_agent.cli.circumvention import OLD_US, RISKS, describe_tools
from heliograph_agent.cli.page import format_page
from heliograph_agent.consent.risk import RiskTier
from heliograph_agent.runtime.status_file import AgentStatus
from support.findings import AT_S, told
from support.values import present

NOW_US = AT_S * 1_000_000 + 1


def connected(**states: str) -> AgentStatus:
    return {**told(3, **states), "connected": True}


def of_small_networks(status: AgentStatus) -> None:
    present(status["findings"])["asn"] = 0


def test_tool_that_answered_is_named_with_its_risk_and_its_limits() -> None:
    what, limit, risk = describe_tools(connected(telegram="blocked", tor="reachable"), NOW_US)
    assert what.endswith("answered the tests in this network: Tor (20-49 agents).")
    assert "only a try shows" in limit
    assert risk.startswith("In Kazakhstan the network is watched")
    status = connected(telegram="blocked", tor="reachable")
    assert what in format_page(status, "en", NOW_US)
    assert what not in format_page(status, "en", NOW_US + OLD_US)


@pytest.mark.parametrize(
    "change",
    [
        lambda status: status.update(connected=False),
        lambda status: status.update(written_us=NOW_US - OLD_US),
        lambda status: status.update(lives={"tor": ("fails", NOW_US)}),
        lambda status: status.update(findings=None),
        of_small_networks,
    ],
    ids=["cut off", "old", "fails on this machine", "nothing told", "other networks"],
)
def test_doubt_is_silence(change: Callable[[AgentStatus], None]) -> None:
    status = connected(telegram="blocked", tor="reachable")
    change(status)
    assert list(describe_tools(status, NOW_US)) == []


@pytest.mark.parametrize("state", ["blocked", "partial", "down", "unknown", "of a later version"])
def test_tool_that_does_not_surely_answer_is_not_named(state: str) -> None:
    assert list(describe_tools(connected(telegram="blocked", tor=state), NOW_US)) == []


def test_only_a_block_asks_for_a_tool() -> None:
    status = connected(telegram="blocked", signal="down", whatsapp="unknown", tor="reachable")
    assert list(describe_tools(status, NOW_US, "telegram"))
    for service in ("signal", "whatsapp", "tor", "https://other.example/"):
        assert list(describe_tools(status, NOW_US, service)) == []
    assert list(describe_tools(connected(signal="down", tor="reachable"), NOW_US)) == []


def test_every_risk_is_said_in_each_language() -> None:
    assert RISKS.keys() == set(RiskTier)
    status = connected(telegram="blocked", tor="reachable")
    for language in ("ru", "kk", "fa"):
        use_language(language, LOCALE)
        try:
            assert not {"tools", "test", "legal"} & set(
                " ".join(describe_tools(status, NOW_US)).split()
            )
        finally:
            use_language("en", LOCALE)
