"""fleet.db through two connections at once, as `serve` and a command use it."""

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from heliograph.keys import SigningKey, agent_id
from heliograph_collector.fleet import EnrolmentRefusedError, Fleet
from heliograph_collector.fleet.registry import AgentSighting


def key(number: int) -> bytes:
    return SigningKey(number.to_bytes(32, "big")).public


def invite(fleet: Fleet, uses: int = 1) -> bytes:
    return fleet.create_invite(role="volunteer", uses=uses, now_s=0, expires_s=100)


def test_token_is_kept_as_hash(fleet: Fleet, tmp_path: Path) -> None:
    token = invite(fleet)
    assert token not in b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert stat.S_IMODE((tmp_path / "fleet.db").stat().st_mode) == 0o600


def test_write_of_another_connection_is_noticed(fleet: Fleet, tmp_path: Path) -> None:
    other = Fleet(tmp_path)
    before = fleet.data_version()
    assert fleet.data_version() == before
    other.enrol_agent(invite(other), key(1), "1", 5)
    assert fleet.data_version() != before
    assert [a.id for a in fleet.list_agents()] == [agent_id(key(1))]
    other.close()


def test_concurrent_enrolments_stop_at_the_limit(fleet: Fleet, tmp_path: Path) -> None:
    other, token, refused = Fleet(tmp_path), invite(fleet, uses=5), list[str]()

    def work(door: Fleet, first: int) -> None:
        for number in range(first, first + 10):
            try:
                door.enrol_agent(token, key(number), "1", 5)
            except EnrolmentRefusedError as error:
                refused.append(error.reason)

    threads = [threading.Thread(target=work, args=(d, n)) for d, n in ((fleet, 1), (other, 11))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fleet.list_agents()) == 5
    assert refused == ["invite_used_up"] * 15
    other.close()


def test_invite_ends_on_the_second(fleet: Fleet) -> None:
    token = invite(fleet, uses=2)
    fleet.enrol_agent(token, key(1), "1", 99)
    with pytest.raises(EnrolmentRefusedError, match="invite_expired"):
        fleet.enrol_agent(token, key(2), "1", 100)


def test_sighting_is_kept_as_place_and_revocation_happens_once(fleet: Fleet) -> None:
    agent = fleet.enrol_agent(invite(fleet), key(1), "1", 5)
    seen = AgentSighting(
        agent=agent.id, at_s=9, version="2", country="KZ", asn=9198, access="mobile"
    )
    fleet.record_sightings([seen])
    assert fleet.revoke_agent(agent.id, 7)
    assert not fleet.revoke_agent(agent.id, 8)
    (found,) = fleet.list_agents()
    assert (found.last_seen_s, found.country, found.asn, found.version) == (9, "KZ", 9198, "2")
    assert found.revoked_s == 7


def test_first_plan_of_a_version_stands(fleet: Fleet) -> None:
    assert fleet.read_plan() is None
    assert fleet.add_plan(1, b"a", b"s")
    assert not fleet.add_plan(1, b"b", b"s")
    assert fleet.read_plan() == (b"a", b"s")


def test_damaged_file_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "fleet.db"
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        Fleet(tmp_path)
    held = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert file not in held, f"{caught.value} is remembered, the file is not"
