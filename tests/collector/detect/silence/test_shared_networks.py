"""A network that fails in several countries is told, unless the fault may be ours.

As of the satellites that failed everywhere on 24 July 2025 for 2.5 h, and those that Sudan's people
lost alone.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, HOUR, Down, Land, Person, create_land, play, seconds_after
from support.reported_events import COUNTRY, MINUTE, people_of

SATELLITE = 14593
NEIGHBORS = ("UZ", "GE", "TJ")


def add_satellite(
    seed: int, countries: Sequence[str], *, entrances: int = 2, lines: int = 9, nat: int = 0
) -> tuple[Land, list[Person]]:
    """Return a simulated world, and users of one provider in Kazakhstan and elsewhere."""
    land = create_land(seed, hours=6)
    for country in countries:
        land.add(country, 16, 40, "fixed")
        land.add(country, 9, 41, "mobile")
    users = [
        p
        for country in ("KZ", *countries)
        for p in land.add(country, lines, SATELLITE, "fixed", nat=nat, regions="A")
    ]
    land.settle()
    if entrances == 2:
        for person in land.people:
            person.entrance = land.rng.choice(["main", "second"])
    return land, users


def list_networks(incidents: Sequence[Incident]) -> list[Scope]:
    return sorted(part.scope for incident in incidents for part in incident.parts)


def lose(people: Sequence[Person], land: Land, lasts: float, *, told: bool | None) -> None:
    """Let people lose their sessions for as long, and tell later whether anchors answered."""
    for person in people:
        since = AT + land.rng.uniform(0, 50)
        person.downs.append(Down(since, AT + lasts + land.rng.uniform(0, 60), told=told))


@pytest.mark.parametrize("countries", [NEIGHBORS[:1], NEIGHBORS])
@pytest.mark.parametrize("lasts", [40 * MINUTE, 2.5 * HOUR])
def test_provider_that_fails_in_several_countries_is_told_in_each(
    countries: Sequence[str], lasts: float, tmp_path: Path
) -> None:
    land, users = add_satellite(1, countries)
    land.cut(users, AT, AT + lasts, spread=50)

    incidents = play(land, tmp_path)

    assert list_networks(incidents) == sorted(Scope(c, asn=SATELLITE) for c in ("KZ", *countries))
    assert {i.kind for i in incidents} == {IncidentKind.SILENCE}
    assert {i.state for i in incidents} == {IncidentState.CLOSED}
    assert max(seconds_after(AT, i.confirmed_us) for i in incidents) <= 300


def test_provider_with_two_or_three_lines_a_country_is_told_in_each(tmp_path: Path) -> None:
    land, users = add_satellite(6, NEIGHBORS, lines=12, nat=3)
    in_two = [p for p in users if p.country == "TJ" and p.prefix.endswith("-2")]
    land.people = [p for p in land.people if p not in in_two]
    land.cut([p for p in users if p not in in_two], AT, AT + 2.5 * HOUR, spread=50)

    incidents = play(land, tmp_path)

    assert list_networks(incidents) == sorted(Scope(c, asn=SATELLITE) for c in ("KZ", *NEIGHBORS))
    assert max(seconds_after(AT, i.confirmed_us) for i in incidents) <= 300
    assert min(seconds_after(AT, i.closed_us) for i in incidents) >= 2.5 * HOUR
    assert max(i.confidence for i in incidents) <= 0.5


def test_two_lines_that_fall_in_one_country_alone_are_not_told(tmp_path: Path) -> None:
    land, users = add_satellite(7, NEIGHBORS, lines=12, nat=2)
    land.cut([p for p in users if p.country == "KZ"], AT, AT + HOUR, spread=50)

    assert play(land, tmp_path) == []


def test_provider_on_one_entrance_is_told_once_its_people_tell(tmp_path: Path) -> None:
    land, users = add_satellite(1, NEIGHBORS, entrances=1)
    land.cut(users, AT, AT + HOUR, spread=50)

    incidents = play(land, tmp_path)

    assert list_networks(incidents) == sorted(Scope(c, asn=SATELLITE) for c in ("KZ", *NEIGHBORS))
    assert min(seconds_after(AT, i.confirmed_us) for i in incidents) >= HOUR


@pytest.mark.parametrize("lasts", [12 * MINUTE, HOUR])
def test_entrance_that_fails_for_one_network_is_no_cut(lasts: float, tmp_path: Path) -> None:
    land, users = add_satellite(8, NEIGHBORS, entrances=1)
    lose(users, land, lasts, told=True)

    assert play(land, tmp_path) == []


@pytest.mark.parametrize("lasts", [12 * MINUTE, HOUR])
def test_cable_that_two_networks_share_is_no_failure_of_one(lasts: float, tmp_path: Path) -> None:
    land, users = add_satellite(9, NEIGHBORS)
    others = land.add("TR", 12, 77, "fixed")
    for person in others:
        person.entrance = land.rng.choice(["main", "second"])
    lose([*users, *others], land, lasts, told=None)

    told = {i.parts[0].scope.country for i in play(land, tmp_path)}

    assert told <= {"TR"}, "as before: that one network fell in one country alone"


def test_release_that_fails_on_the_agents_of_one_network_is_no_cut(tmp_path: Path) -> None:
    land, users = add_satellite(10, NEIGHBORS)
    for person in land.people:
        person.edition = "2.0" if person.asn == SATELLITE else "1.0"
    lose(users, land, HOUR, told=None)

    assert play(land, tmp_path) == []


def test_route_of_ours_to_one_network_leaves_no_cut_that_stands(tmp_path: Path) -> None:
    land, users = add_satellite(11, NEIGHBORS)
    lose(users, land, 20 * MINUTE, told=True)

    standing = [i for i in play(land, tmp_path) if i.state is not IncidentState.WITHDRAWN]

    assert {i.kind for i in standing} <= {IncidentKind.COLLECTOR_BLOCKED}


def test_host_that_fails_in_several_countries_is_told_in_none(tmp_path: Path) -> None:
    land, users = add_satellite(12, NEIGHBORS)
    for person in users:
        person.access = "hosting"
    lose(users, land, HOUR, told=None)

    assert play(land, tmp_path) == []


def test_provider_that_is_cut_off_in_one_country_is_told_there(tmp_path: Path) -> None:
    land, users = add_satellite(2, NEIGHBORS)
    land.cut([p for p in users if p.country == "KZ"], AT, AT + HOUR, spread=50)

    (incident,) = play(land, tmp_path)

    assert [part.scope for part in incident.parts] == [Scope("KZ", asn=SATELLITE)]
    assert seconds_after(AT, incident.confirmed_us) <= 300


def test_provider_that_is_back_elsewhere_alone_is_told_where_it_is_not(tmp_path: Path) -> None:
    land, users = add_satellite(3, NEIGHBORS)
    land.cut([p for p in users if p.country != "KZ"], AT, AT + 20 * MINUTE, spread=50)
    land.cut([p for p in users if p.country == "KZ"], AT, AT + 4 * HOUR, spread=50)

    incidents = play(land, tmp_path)

    (open_one,) = [i for i in incidents if seconds_after(AT, i.closed_us) > HOUR]
    assert [part.scope for part in open_one.parts] == [Scope("KZ", asn=SATELLITE)]
    assert seconds_after(AT, open_one.confirmed_us) <= 300


def test_countries_that_are_cut_off_in_one_minute_are_told_whatever_they_share(
    tmp_path: Path,
) -> None:
    land, _ = add_satellite(4, NEIGHBORS[:1])
    land.cut([*people_of(land), *land.select("UZ")], AT, AT + HOUR)

    incidents = play(land, tmp_path)

    scopes = {part.scope for incident in incidents for part in incident.parts}
    assert {i.kind for i in incidents} == {IncidentKind.SILENCE}
    assert scopes == {COUNTRY, Scope("UZ")}


def test_country_that_is_cut_off_while_its_satellites_fail_is_told(tmp_path: Path) -> None:
    land, users = add_satellite(5, NEIGHBORS)
    land.cut(users, AT, AT + 3 * HOUR, spread=50)
    others = [p for p in people_of(land) if p.asn != SATELLITE]
    land.cut(others, AT + 30 * MINUTE, AT + 3 * HOUR)

    (incident,) = [i for i in play(land, tmp_path) if i.scope.country == "KZ"]

    assert [part.scope for part in incident.parts] == [COUNTRY]
    assert seconds_after(AT, incident.confirmed_us) <= 300
    assert seconds_after(AT + 30 * MINUTE, incident.turns[1].seen_us) <= 180
