"""The agent's files: private, whole, bounded, held by one process."""

import json
import os
from pathlib import Path

import pytest

from heliograph.v1 import intake_pb2
from heliograph_agent.runtime import signing
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


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "deep" / "state")
    state.prepare()
    return state


def test_only_this_user_can_read_anything(state: State) -> None:
    state.private_key(make=True)
    state.save_collector(WHERE)
    assert state.root.stat().st_mode & 0o777 == 0o700
    for name in (KEY, COLLECTOR):
        assert state.path(name).stat().st_mode & 0o777 == 0o600


def test_the_key_is_drawn_once(state: State) -> None:
    assert state.private_key() is None
    first = state.private_key(make=True)
    assert first == state.private_key(make=True) == state.private_key()
    assert len(first or b"") == 32


def test_a_renewed_key_stays_renewed_when_the_power_fails(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector knows the key before by then as a copy that somebody kept, and nothing else."""
    state.private_key(make=True)
    agent, present = b"a" * 16, state.signer().public
    offered = signing.answer(state, agent, intake_pb2.Renewed(public_key=present))
    assert offered is not None
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    assert signing.answer(state, agent, intake_pb2.Renewed(public_key=offered.public_key)) is None
    assert state.signer().public == offered.public_key
    assert state.root.stat().st_ino in synced, "a name is on disk once its directory is"


def test_the_collector_survives_the_file(state: State) -> None:
    assert state.collector() is None
    state.save_collector(WHERE)
    assert state.collector() == WHERE


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"endpoint": "x"}', b"\xff\xfe"])
def test_a_damaged_collector_file_is_named(state: State, damage: bytes) -> None:
    state.write(COLLECTOR, damage)
    with pytest.raises(StateError, match=r"collector\.json is damaged.*join again"):
        state.collector()


def test_a_wrong_key_length_in_it_is_damage(state: State) -> None:
    state.save_collector(WHERE)
    stored = json.loads(state.read(COLLECTOR) or b"")
    state.write_json(COLLECTOR, {**stored, "pin": "AAAA"})
    with pytest.raises(StateError, match="damaged"):
        state.collector()


def test_a_cut_key_is_never_used(state: State) -> None:
    state.write(KEY, b"short")
    with pytest.raises(StateError, match=r"agent\.key is damaged"):
        state.signer()


def test_without_a_key_the_cure_is_to_join(state: State) -> None:
    with pytest.raises(StateError, match="heliograph-agent join INVITE"):
        state.signer()


def test_a_swollen_file_is_not_read(state: State) -> None:
    state.path(PLAN).write_bytes(bytes(MAX_FILE + 1))
    with pytest.raises(StateError, match="larger than"):
        state.read(PLAN)


def test_a_write_that_fails_leaves_the_old_file(state: State) -> None:
    state.write_json(CONSENT, {"version": 1})
    state.path(".consent.json.fresh").mkdir()
    broken = State(state.root / "missing")
    with pytest.raises(StateError, match="Cannot write"):
        broken.write(CONSENT, b"x")
    assert state.read_json(CONSENT) == {"version": 1}


def test_one_process_holds_the_directory(state: State) -> None:
    assert state.running() is None
    with state.locked():
        assert state.running()
        with pytest.raises(StateError, match="Another heliograph-agent is running"), state.locked():
            pass
    assert state.running() is None


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"choose another with --state"):
        State(tmp_path / "file" / "state").prepare()
