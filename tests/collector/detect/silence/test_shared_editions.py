"""An edition of the agent that fails everywhere is no cut; a cut that takes all editions is one."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from heliograph_collector.model.scope import Scope
from support.foreign_world import (
    AT,
    HOUR,
    WITNESSES,
    Down,
    Land,
    Person,
    create_land,
    play,
    seconds_after,
)
from support.reported_events import COUNTRY, MINUTE

OLD, NEW = "1.3.2", "1.4.0"


def create_editions(seed: int, old_share: float) -> Land:
    """Return a world in which this share of Kazakhstan runs the old edition, elsewhere a fifth."""
    land = create_land(seed, hours=6)
    for country in WITNESSES:
        land.add(country, 20, 103, "fixed")
    land.settle()
    for person in land.people:
        share = old_share if person.country == "KZ" else 0.2
        person.edition = OLD if land.rng.random() < share else NEW
    return land


def select_old(land: Land, countries: Sequence[str]) -> list[Person]:
    return [p for p in land.people if p.edition == OLD and p.country in countries]


def stop(people: Sequence[Person], until: float) -> None:
    """End programs within seconds; nobody measures until they begin again."""
    for person in people:
        person.downs = [down for down in person.downs if down.until < AT]
        person.downs.append(Down(AT + len(person.name), until, closed=True))


@pytest.mark.parametrize("old_share", [0.8, 0.9, 1.0])
def test_edition_that_fails_everywhere_is_no_cut_of_a_country_that_runs_it(
    old_share: float, tmp_path: Path
) -> None:
    land = create_editions(1, old_share)
    stop(select_old(land, ["KZ", *WITNESSES]), AT + 2 * HOUR)

    assert play(land, tmp_path) == []


def test_edition_of_one_country_alone_is_no_cut_where_others_live_beside_it(
    tmp_path: Path,
) -> None:
    land = create_editions(2, 0.6)
    stop(select_old(land, ["KZ"]), AT + 2 * HOUR)

    assert play(land, tmp_path) == []


def test_edition_that_is_back_elsewhere_alone_was_cut_off_here(tmp_path: Path) -> None:
    land = create_editions(3, 1.0)
    stop(select_old(land, WITNESSES), AT + 10 * MINUTE)
    land.cut(land.select(), AT, AT + 4 * HOUR)

    (incident,) = play(land, tmp_path)

    assert [part.scope for part in incident.parts] == [COUNTRY]
    assert seconds_after(AT, incident.confirmed_us) <= HOUR


def test_countries_of_one_cable_are_told_whatever_they_run(tmp_path: Path) -> None:
    """Nearly all have the old edition, and data centers, which have the other, live on."""
    land = create_editions(4, 0.9)
    for person in land.people:
        is_hosting = person.access == "hosting"
        person.edition = NEW if is_hosting else OLD
    for country in WITNESSES[:2]:
        for person in land.add(country, 4, 105, "hosting"):
            person.edition = NEW
    lit = [p for p in land.people if p.access != "hosting"]
    land.cut([p for p in lit if p.country in ("KZ", *WITNESSES[:2])], AT, AT + 2 * HOUR)

    scopes = {part.scope.country for incident in play(land, tmp_path) for part in incident.parts}

    assert scopes == {"KZ", *WITNESSES[:2]}


def test_cut_that_takes_all_editions_is_told_within_two_minutes(tmp_path: Path) -> None:
    land = create_editions(5, 0.9)
    land.cut(land.select(), AT, AT + 2 * HOUR)

    (incident,) = play(land, tmp_path)

    assert [part.scope for part in incident.parts] == [Scope("KZ")]
    assert seconds_after(AT, incident.confirmed_us) <= 2 * MINUTE
