"""A newer edition of browsers' hellos comes with the plan; a bad one is dropped."""

import logging
from importlib import resources
from pathlib import Path

import pytest

from heliograph.hello_profiles import MAX_FILE, load_shipped_profiles
from heliograph_agent.runtime.hello_edition import choose_edition
from heliograph_agent.state import State

SHIPPED = load_shipped_profiles().version
TEXT = resources.files("heliograph").joinpath("hello_profiles.yml").read_text()
JA4 = load_shipped_profiles().get("chrome").ja4


def edition(version: str, *changes: tuple[str, str]) -> bytes:
    text = TEXT.replace(SHIPPED, version)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


NEWER = edition("2027-01-31.2")


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path)
    state.prepare()
    return state


@pytest.mark.parametrize(
    ("planned", "version"),
    [
        (b"", SHIPPED),
        (NEWER, "2027-01-31.2"),
        (edition("2027-01-31.10"), "2027-01-31.10"),
        (edition("2026-01-31.1"), SHIPPED),
    ],
)
def test_newest_edition_is_said(planned: bytes, version: str, state: State) -> None:
    assert choose_edition(planned, state).version == version


@pytest.mark.parametrize(
    ("planned", "reason"),
    [
        (b"{", "hello_profiles"),
        (edition("tomorrow"), "'tomorrow' must be like 2026-11-27.1"),
        (edition("2027-02-01.1", ("  firefox:", "  opera:")), "firefox is missing"),
        (edition("2027-02-01.1", (JA4, "t13d1517h2_8daaf6152771_000000000000")), "fingerprint"),
        (edition("2027-02-01.1", ("bytes: [1850, 2100]", "bytes: [100, 200]")), "bytes, not 100"),
        (edition("2027-02-01.1", ("shares: [11ec, 001d]", "shares: [0100]")), "no hello can be"),
        (NEWER + b"#" * MAX_FILE, f"has more than {MAX_FILE} bytes"),
    ],
)
def test_bad_edition_is_refused_with_its_reason_and_the_one_before_kept(
    planned: bytes, reason: str, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    assert choose_edition(NEWER, state).version == "2027-01-31.2"
    with caplog.at_level(logging.WARNING, "heliograph"):
        assert choose_edition(planned, state).version == "2027-01-31.2"
    (message,) = (record.message for record in caplog.records)
    assert reason in message
    assert "2027-01-31.2 stays" in message


def test_damaged_file_of_the_kept_edition_costs_that_edition_alone(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    choose_edition(NEWER, state)
    state.write("hello_profiles.yml", b"version: [")
    with caplog.at_level(logging.WARNING, "heliograph"):
        assert choose_edition(b"", state).version == SHIPPED
    assert "left out" in caplog.text
    assert choose_edition(NEWER, state).version == "2027-01-31.2"
