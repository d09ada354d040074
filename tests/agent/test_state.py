"""The agent's files: private, whole, bounded, held by one process."""

import base64
from pathlib import Path

import pytest

from heliograph_agent.state import (
    COLLECTOR,
    CONSENT,
    KEY,
    MAX_FILE,
    PLAN,
    Collector,
    State,
    StateError,
)

WHERE = Collector(
    endpoint="198.51.100.7:7443",
    pin=b"p" * 32,
    certificate="-----BEGIN CERTIFICATE-----\n",
    signing_key=b"s" * 32,
    sealing_key=b"x" * 32,
    agent=b"a" * 16,
)
PIN, SHORT_PIN = base64.b64encode(b"p" * 32), b"AAAA"


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "deep" / "state")
    state.prepare()
    return state


def test_files_are_private(state: State) -> None:
    state.private_key(create=True)
    state.save_collector(WHERE)
    assert state.root.stat().st_mode & 0o777 == 0o700
    for name in (KEY, COLLECTOR):
        assert state.path(name).stat().st_mode & 0o777 == 0o600


def test_private_key_is_drawn_once(state: State) -> None:
    assert state.private_key() is None
    first = state.private_key(create=True)
    assert first == state.private_key(create=True) == state.private_key()
    assert len(first or b"") == 32


def test_collector_round_trips_through_file(state: State) -> None:
    assert state.collector() is None
    state.save_collector(WHERE)
    assert state.collector() == WHERE


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"endpoint": "x"}', b"\xff\xfe", SHORT_PIN])
def test_damaged_collector_file_is_refused(state: State, damage: bytes) -> None:
    state.save_collector(WHERE)
    whole = state.read(COLLECTOR) or b""
    state.write(COLLECTOR, whole.replace(PIN, SHORT_PIN) if damage == SHORT_PIN else damage)
    with pytest.raises(StateError, match=r"collector\.json is damaged.*join again"):
        state.collector()


def test_short_key_is_refused(state: State) -> None:
    state.write(KEY, b"short")
    with pytest.raises(StateError, match=r"agent\.key is damaged"):
        state.signer()


def test_missing_key_asks_to_join(state: State) -> None:
    with pytest.raises(StateError, match="heliograph-agent join INVITE"):
        state.signer()


def test_too_large_file_is_refused(state: State) -> None:
    state.path(PLAN).write_bytes(bytes(MAX_FILE + 1))
    with pytest.raises(StateError, match="larger than"):
        state.read(PLAN)


def test_failed_write_keeps_old_file(state: State) -> None:
    state.write_json(CONSENT, {"version": 1})
    state.path(".consent.json.fresh").mkdir()
    broken = State(state.root / "missing")
    with pytest.raises(StateError, match="Cannot write"):
        broken.write(CONSENT, b"x")
    assert state.read_json(CONSENT) == {"version": 1}


def test_lock_excludes_second_process(state: State) -> None:
    assert state.running_pid() is None
    with state.hold_lock():
        assert state.running_pid()
        with (
            pytest.raises(StateError, match="Another heliograph-agent is running"),
            state.hold_lock(),
        ):
            pass
    assert state.running_pid() is None


def test_unusable_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"choose another with --state"):
        State(tmp_path / "file" / "state").prepare()
