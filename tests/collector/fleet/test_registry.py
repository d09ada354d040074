"""fleet.db through two connections at once, as `serve` and a command use it."""

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.keys import SigningKey, agent_id
from heliograph_collector.fleet import Fleet, RefusedError
from heliograph_collector.fleet.registry import Sighting


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    opened = Fleet(tmp_path)
    yield opened
    opened.close()


def key(number: int) -> bytes:
    return SigningKey(number.to_bytes(32, "big")).public


def invite(fleet: Fleet, uses: int = 1) -> bytes:
    return fleet.invite(role="volunteer", uses=uses, now_s=0, expires_s=100)


def test_a_token_is_kept_only_as_its_hash(fleet: Fleet, tmp_path: Path) -> None:
    token = invite(fleet)
    assert token not in b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert stat.S_IMODE((tmp_path / "fleet.db").stat().st_mode) == 0o600


def test_what_one_connection_writes_the_other_notices(fleet: Fleet, tmp_path: Path) -> None:
    other = Fleet(tmp_path)
    before = fleet.changes()
    assert fleet.changes() == before
    other.enrol(invite(other), key(1), "1", 5)
    assert fleet.changes() != before
    assert [a.id for a in fleet.agents()] == [agent_id(key(1))]
    other.close()


def test_threads_on_two_connections_never_let_one_too_many_in(fleet: Fleet, tmp_path: Path) -> None:
    other, token, refused = Fleet(tmp_path), invite(fleet, uses=5), list[str]()

    def work(door: Fleet, first: int) -> None:
        for number in range(first, first + 10):
            try:
                door.enrol(token, key(number), "1", 5)
            except RefusedError as error:
                refused.append(error.reason)

    threads = [threading.Thread(target=work, args=(d, n)) for d, n in ((fleet, 1), (other, 11))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fleet.agents()) == 5
    assert refused == ["invite_used_up"] * 15
    other.close()


def test_an_invite_ends_on_the_second(fleet: Fleet) -> None:
    token = invite(fleet, uses=2)
    fleet.enrol(token, key(1), "1", 99)
    with pytest.raises(RefusedError, match="invite_expired"):
        fleet.enrol(token, key(2), "1", 100)


def test_revoking_is_said_once(fleet: Fleet) -> None:
    agent = fleet.enrol(invite(fleet), key(1), "1", 5)
    assert fleet.revoke(agent.id, 7)
    assert not fleet.revoke(agent.id, 8)
    assert fleet.agents()[0].revoked_s == 7


def test_a_sighting_is_kept_as_place_and_never_as_address(fleet: Fleet) -> None:
    agent = fleet.enrol(invite(fleet), key(1), "1", 5)
    seen = Sighting(agent=agent.id, at_s=9, version="2", country="KZ", asn=9198, access="mobile")
    fleet.saw([seen])
    (found,) = fleet.agents()
    assert (found.last_seen_s, found.country, found.asn, found.version) == (9, "KZ", 9198, "2")


def test_of_two_plans_with_one_version_the_first_stands(fleet: Fleet) -> None:
    assert fleet.plan() is None
    assert fleet.add_plan(1, b"a", b"s")
    assert not fleet.add_plan(1, b"b", b"s")
    assert fleet.plan() == (b"a", b"s")


def test_a_damaged_file_is_let_go_at_once(tmp_path: Path) -> None:
    file = tmp_path / "fleet.db"
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        Fleet(tmp_path)
    held = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert file not in held, f"{caught.value} is remembered, the file is not"
