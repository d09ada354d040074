"""A provider failing in several countries is no cut; an order to one network is.

As of the satellites that failed everywhere on 24 July 2025 for 2.5 h, and those that Sudan's people
lost alone.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, HOUR, Land, Person, create_land, play, seconds_after
from support.reported_events import COUNTRY, MINUTE, people_of

SATELLITE = 14593
NEIGHBORS = ("UZ", "GE", "TJ")


def add_satellite(seed: int, countries: Sequence[str]) -> tuple[Land, list[Person]]:
    """Return a simulated world, and users of one provider in Kazakhstan and elsewhere."""
    land = create_land(seed, hours=6)
    for country in countries:
        land.add(country, 16, 40, "fixed")
        land.add(country, 9, 41, "mobile")
    users = [p for country in ("KZ", *countries) for p in land.add(country, 9, SATELLITE, "fixed")]
    land.settle()
    return land, users


@pytest.mark.parametrize("countries", [NEIGHBORS[:1], NEIGHBORS])
@pytest.mark.parametrize("lasts", [40 * MINUTE, 2.5 * HOUR])
def test_provider_that_fails_in_several_countries_is_cut_off_in_none(
    countries: Sequence[str], lasts: float, tmp_path: Path
) -> None:
    land, users = add_satellite(1, countries)
    land.cut(users, AT, AT + lasts, spread=50)

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

    (incident,) = play(land, tmp_path)

    assert [part.scope for part in incident.parts] == [Scope("KZ", asn=SATELLITE)]
    assert seconds_after(AT, incident.confirmed_us) <= 2 * HOUR


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

    (incident,) = play(land, tmp_path)

    assert [part.scope for part in incident.parts] == [COUNTRY]
    assert seconds_after(AT + 30 * MINUTE, incident.confirmed_us) <= 180
