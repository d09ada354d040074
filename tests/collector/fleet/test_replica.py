"""The fleet as keys and values: a follower has what the leader has."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph import services
from heliograph_collector.fleet import Fleet, agent_keys, open_keyring
from heliograph_collector.fleet.plans import build_default_plan, issue_plan
from heliograph_collector.fleet.registry import AgentSighting, EnrolledAgent
from heliograph_collector.fleet.replica import ReplicaError, apply_rows, read_rows, replace_rows

NOW_S = 1_641_380_400


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[Fleet]:
    with closing(Fleet(tmp_path / "leader")) as fleet:
        keyring = open_keyring(tmp_path / "leader", ["127.0.0.1"])
        issue_plan(
            fleet, keyring.signing, build_default_plan(services.load_shipped_services()), NOW_S
        )
        yield fleet


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Fleet]:
    with closing(Fleet(tmp_path / "follower")) as fleet:
        yield fleet


def enrol(fleet: Fleet, number: int) -> EnrolledAgent:
    token = fleet.create_invite(role="volunteer", uses=1, now_s=NOW_S, expires_s=NOW_S + 60)
    return fleet.enrol_agent(token, bytes([number]) * 32, "test", NOW_S)


def test_follower_becomes_equal(leader: Fleet, follower: Fleet) -> None:
    anna = enrol(leader, 1)
    enrol(follower, 9)  # of an earlier life
    agent_keys.offer_key(leader, anna.id, b"n" * 32, NOW_S)
    replace_rows(follower, dict(read_rows(leader)))
    assert read_rows(follower) == read_rows(leader)
    assert follower.list_agents() == leader.list_agents()
    assert follower.read_plan() == leader.read_plan()
    assert agent_keys.list_other_keys(follower) == {anna.id: (b"n" * 32,)}


def test_changes_and_deletions_follow(leader: Fleet, follower: Fleet) -> None:
    anna = enrol(leader, 1)
    before = read_rows(leader)
    replace_rows(follower, dict(before))
    version = follower.data_version()
    leader.revoke_agent(anna.id, NOW_S + 5)
    leader.change_row("DELETE FROM invites WHERE created_s = ?", NOW_S)
    after = read_rows(leader)
    changes: dict[str, bytes | None] = {k: v for k, v in after.items() if before.get(k) != v}
    apply_rows(follower, changes | dict.fromkeys(before.keys() - after.keys()))
    assert read_rows(follower) == after
    assert follower.list_invites() == frozenset()
    assert follower.data_version() != version, "whoever reads it looks again"


def test_a_heartbeat_changes_nothing_that_is_shared(leader: Fleet) -> None:
    anna = enrol(leader, 1)
    seen = AgentSighting(
        agent=anna.id, at_s=NOW_S, version="test", country="KZ", asn=1, access="mobile"
    )
    leader.record_sightings([seen])
    before = read_rows(leader)
    leader.record_sightings([replace(seen, at_s=NOW_S + 15)])
    assert read_rows(leader) == before


@pytest.mark.parametrize(
    ("key", "content", "says"),
    [
        ("operators.00", b"\x80", "has a table 'operators': update"),
        ("agents.zz", None, "bad key"),
        ("agents.00", b"\xc1", "bad row"),
    ],
)
def test_what_is_of_no_fleet_is_refused(
    follower: Fleet, key: str, content: bytes | None, says: str
) -> None:
    with pytest.raises(ReplicaError, match=says):
        apply_rows(follower, {key: content})
