"""Intake's copy of the fleet while fleet.db is busy."""

import sqlite3
from pathlib import Path

import pytest

from heliograph.keys import SigningKey
from heliograph_collector.fleet import EnrolledAgent, Fleet, quarantine
from heliograph_collector.ingest.agent_directory import AgentDirectory


class BusyFleet(Fleet):
    busy = False

    def list_agents(self) -> list[EnrolledAgent]:
        if self.busy:
            raise sqlite3.OperationalError("database is locked")
        return super().list_agents()


def test_a_revocation_that_could_not_be_read_is_read_at_the_next_look(tmp_path: Path) -> None:
    fleet, command = BusyFleet(tmp_path), Fleet(tmp_path)
    token = command.create_invite(role="volunteer", uses=1, now_s=0, expires_s=9)
    agent = command.enrol_agent(token, SigningKey(b"k" * 32).public, "", 1)
    roll = AgentDirectory(fleet)
    command.revoke_agent(agent.id, 5)
    fleet.busy = True
    with pytest.raises(sqlite3.OperationalError):
        roll.reload_fleet()
    fleet.busy = False
    assert roll.reload_fleet()
    known = roll.get(agent.id)
    assert known is not None
    assert known.revoked_s == 5
    assert not roll.reload_fleet()
    fleet.close()
    command.close()


def test_a_forgotten_agent_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten agent is refused at once.

    It was accepted until the next restart once, and its results were refused after that.
    """
    monkeypatch.setattr(quarantine, "MAX_WITHOUT_PLACE", 1)
    fleet = Fleet(tmp_path)
    roll = AgentDirectory(fleet)
    forgotten, kept = (
        roll.enrol_stranger(SigningKey(seed * 32).public, "", now_s, ())
        for now_s, seed in enumerate((b"a", b"b"))
    )
    roll.add_agent(forgotten)
    roll.add_agent(kept)
    assert quarantine.free_places(fleet, quarantine.PLACE_S + 9) == (2, [forgotten.id])
    assert roll.reload_fleet(), "this process itself has changed fleet.db"
    assert [agent.id for agent in roll.list_agents()] == [kept.id]
    assert not roll.reload_fleet()
    fleet.close()
