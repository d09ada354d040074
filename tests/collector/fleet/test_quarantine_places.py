"""Slots in quarantine: one network cannot fill them, and unused ones are freed."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from heliograph.network_shares import NetworkKey
from heliograph_collector.fleet import EnrolmentRefusedError, Fleet, quarantine
from heliograph_collector.fleet.forgetting import forget_agent

NOW_S = 1_700_000_000
SITE, ELSEWHERE = "203.0.113", "198.51.100"
Names = list[tuple[NetworkKey, ...]]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    registry = Fleet(tmp_path)
    registry._db.execute("PRAGMA synchronous = OFF")  # no test here ends with the machine
    yield registry
    registry.close()


@pytest.fixture
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_IN_QUARANTINE", 100)  # so a /24 has 5


def names(site: str, day: int = 0, asn: int = 0) -> Names:
    """The names of a network on this day and the one before."""
    wide = (NetworkKey("asn", str(asn)),) if asn else ()
    return [(NetworkKey("24", f"{site} on {d}"), *wide) for d in (day, day - 1)]


def enrol(fleet: Fleet, number: int, networks: Names, now_s: int = NOW_S) -> bytes:
    key = hashlib.sha256(b"%d" % number).digest()
    return quarantine.enrol_without_invite(fleet, key, "", now_s, networks).id


def refused(fleet: Fleet, number: int, networks: Names, now_s: int = NOW_S) -> str:
    with pytest.raises(EnrolmentRefusedError) as error:
        enrol(fleet, number, networks, now_s)
    return error.value.reason


def list_placed(fleet: Fleet) -> set[bytes]:
    return {agent.id for agent in fleet.list_agents() if agent.has_place}


@pytest.mark.usefixtures("few_places")
def test_a_network_takes_its_share_and_a_newcomer_elsewhere_gets_in(fleet: Fleet) -> None:
    for number in range(5):
        enrol(fleet, number, names(SITE))
    assert refused(fleet, 5, names(SITE)) == "network_full"
    assert refused(fleet, 5, names(SITE, day=1)) == "network_full", "its new name is no new network"
    forget_agent(fleet, enrol(fleet, 4, names(SITE)), NOW_S)
    assert refused(fleet, 5, names(SITE)) == "network_full", "who erases itself makes no room"
    enrol(fleet, 3, names(SITE))  # who has a place keeps it
    enrol(fleet, 6, names(ELSEWHERE))
    quarantine.free_places(fleet, NOW_S + quarantine.PLACE_S + 1)
    places = fleet.read_rows("SELECT network FROM quarantine_networks")
    assert places == [], "nor is its network named for longer than others'"


@pytest.mark.usefixtures("few_places")
def test_an_operator_of_many_networks_has_a_share_too(fleet: Fleet) -> None:
    for number in range(20):
        enrol(fleet, number, names(f"10.0.{number}", asn=64_500))
    assert refused(fleet, 20, names("10.0.20", asn=64_500)) == "network_full"
    enrol(fleet, 20, names("10.0.20", asn=64_501))


@pytest.mark.usefixtures("few_places")
def test_places_without_results_expire_and_those_with_results_do_not(fleet: Fleet) -> None:
    agents = [enrol(fleet, n, names(f"10.0.{n}")) for n in range(100)]
    assert refused(fleet, 100, names(ELSEWHERE)) == "no_room"
    kept = agents[:99]
    quarantine.record_results(fleet, dict.fromkeys(kept, NOW_S + 3_600))
    late_s = NOW_S + quarantine.PLACE_S + 1
    enrol(fleet, 100, names(ELSEWHERE), late_s)
    assert list_placed(fleet) >= set(kept)
    assert agents[99] not in list_placed(fleet)
    assert refused(fleet, 101, names(ELSEWHERE), late_s) == "no_room"
    assert quarantine.clear_quarantine(fleet, kept[0]), "who leaves makes room"
    enrol(fleet, 101, names(ELSEWHERE), late_s)


def test_a_place_without_a_result_for_48_h_is_free_though_nobody_asks_for_it(fleet: Fleet) -> None:
    """A slot without a result for 48 h is free even if no new agent needs it.

    The operator sees the true number, and a volunteer who was offline for a week can continue.
    """
    silent = enrol(fleet, 1, names(SITE))
    heard = enrol(fleet, 2, names(SITE))
    quarantine.record_results(fleet, {heard: NOW_S + 3_600})
    assert quarantine.free_places(fleet, NOW_S + quarantine.PLACE_S) == (0, [])
    assert list_placed(fleet) == {silent, heard}
    assert quarantine.free_places(fleet, NOW_S + quarantine.PLACE_S + 1) == (1, [])
    assert list_placed(fleet) == {heard}
    counts = dict(fleet.read_rows("SELECT network, agents FROM quarantine_counts"))
    assert set(counts.values()) == {1}
    assert {agent.id for agent in fleet.list_agents()} == {silent, heard}
    quarantine.add_agreements(fleet, {silent: 10}, NOW_S + quarantine.TRIAL_S)
    agent = fleet.get_agent(silent)
    assert agent is not None
    assert agent.trial_s is None


def test_agents_without_a_place_do_not_pile_up(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MAX_WITHOUT_PLACE", 2)
    agents = [enrol(fleet, n, names(f"10.0.{n}"), NOW_S + n) for n in range(4)]
    revoked = enrol(fleet, 9, names(SITE), NOW_S - 9)
    fleet.revoke_agent(revoked, NOW_S)
    freed, deleted = quarantine.free_places(fleet, NOW_S + quarantine.PLACE_S + 9)
    assert (freed, set(deleted)) == (4, set(agents[:2]))
    assert {agent.id for agent in fleet.list_agents()} == {*agents[2:], revoked}


@pytest.mark.parametrize(
    ("sites", "operators", "has_results"),
    [
        pytest.param(1, 1, True, id="one site"),
        pytest.param(100, 1, True, id="one hoster"),
        pytest.param(100, 1, False, id="one hoster that sends nothing"),
        pytest.param(100, 100, True, id="a botnet that sends a result each"),
        pytest.param(100, 0, True, id="the volunteers' own provider"),
    ],
)
def test_a_flood_of_keys_pushes_out_itself(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, sites: int, operators: int, *, has_results: bool
) -> None:
    """A flood of keys displaces itself.

    On the worst day the honest keys are those that were silent for days.
    """
    monkeypatch.setattr(quarantine, "MAX_WITHOUT_PLACE", 40)
    dark = [enrol(fleet, n, names(f"10.0.{n}", asn=64_500)) for n in range(8)]
    sent = dark[:6]
    agreed = dark[-1]
    quarantine.record_results(fleet, dict.fromkeys(sent, NOW_S + 60))
    quarantine.add_agreements(fleet, {agreed: 1}, NOW_S)
    flood_s = NOW_S + 5 * 86_400
    flood = [
        enrol(
            fleet,
            100 + n,
            names(f"198.18.{n % sites}", asn=64_501 + n % operators if operators else 64_500),
            flood_s,
        )
        for n in range(100)
    ]
    if has_results:
        quarantine.record_results(fleet, dict.fromkeys(flood, flood_s + 60))
    quarantine.free_places(fleet, flood_s + 3 * 86_400)
    left = {agent.id for agent in fleet.list_agents()}
    assert len(left) == 40
    assert left >= {*sent, agreed}
    if operators == 1:
        assert left >= set(dark), "a share is left for who never came through"


def test_work_of_an_enrollment_does_not_grow_with_the_fleet(fleet: Fleet) -> None:
    def count_steps(number: int) -> int:
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        fleet._db.set_progress_handler(count, 1)  # one instruction of SQLite's machine
        enrol(fleet, number, names(ELSEWHERE))
        fleet._db.set_progress_handler(None, 0)
        return steps

    before = count_steps(1_000_000)
    with fleet.transaction() as db:
        db.executemany(
            "INSERT INTO agents (id, public_key, role, version, created_s, trial_s, result_s)"
            " VALUES (?, x'', 'volunteer', '', 1, 1, ?)",
            [(n.to_bytes(16, "big"), NOW_S) for n in range(5_000)],
        )
        db.execute("INSERT INTO quarantine_networks SELECT '', id FROM agents WHERE created_s = 1")
    assert count_steps(1_000_001) < before + 200


def test_agents_of_an_earlier_version_keep_their_places(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "fleet.db")) as db, db:
        db.execute(
            "CREATE TABLE agents (id BLOB PRIMARY KEY, public_key BLOB NOT NULL,"
            " role TEXT NOT NULL, version TEXT NOT NULL, created_s INTEGER NOT NULL,"
            " revoked_s INTEGER, last_seen_s INTEGER, country TEXT NOT NULL DEFAULT 'ZZ',"
            " asn INTEGER NOT NULL DEFAULT 0, access TEXT NOT NULL DEFAULT 'unknown',"
            " trial_s INTEGER) WITHOUT ROWID"
        )
        db.execute(
            "INSERT INTO agents (id, public_key, role, version, created_s, asn, trial_s)"
            " VALUES (x'01', x'02', 'volunteer', '', 5, 64500, 5)"
        )
    for _ in range(2):
        fleet = Fleet(tmp_path)
        counts = dict(fleet.read_rows("SELECT network, agents FROM quarantine_counts"))
        fleet.close()
        assert counts == {"": 1, "asn 64500": 1}
