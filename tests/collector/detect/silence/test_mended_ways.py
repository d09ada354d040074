"""A block of an entrance ends when those who had no other one are back by it.

Who found another entrance tries the lost one hours later.
"""

from collections.abc import Callable
from pathlib import Path

from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from support.examples import draw_seeds
from support.foreign_world import AT, HOUR, Down, Land, Person, create_land, play, seconds_after
from support.reported_events import MINUTE

LIFTED = AT + 20 * MINUTE


def create_block(seed: int) -> tuple[Land, list[Person]]:
    """Return a simulated world, and the people of Kazakhstan whose entrance is blocked."""
    land = create_land(seed, hours=6)
    land.add("KZ", 12, 12, "fixed")
    land.settle()
    for person in land.people:
        person.entrance = land.rng.choice(["main", "main", "second"])
    return land, [p for p in land.select() if p.entrance == "main" and p.access != "hosting"]


def find_way(land: Land, person: Person) -> None:
    since = AT + land.rng.uniform(0, 10)
    until = since + land.rng.uniform(50, 110)
    person.downs.append(Down(since, until, told=True, entrance="second"))


def wait(land: Land, person: Person, until: float = LIFTED) -> None:
    since = AT + land.rng.uniform(0, 10)
    person.downs.append(Down(since, until + land.rng.uniform(0, 60), told=True))


def play_block(
    seed: int, tmp_path: Path, has_other: Callable[[Land, Person], bool], until: float = LIFTED
) -> Incident:
    land, people = create_block(seed)
    for person in people:
        if has_other(land, person):
            find_way(land, person)
        else:
            wait(land, person, until)
    (block,) = [i for i in play(land, tmp_path) if i.kind is IncidentKind.COLLECTOR_BLOCKED]
    return block


def is_lucky(land: Land, _: Person) -> bool:
    return land.rng.random() < 0.65


def test_block_ends_when_those_without_another_way_are_back(tmp_path: Path) -> None:
    for seed in draw_seeds(4):
        block = play_block(seed, tmp_path, is_lucky)

        assert block.state is IncidentState.CLOSED, seed
        assert -60 <= seconds_after(LIFTED, block.closed_us) <= 8 * MINUTE, seed
        assert block.ended is not None
        assert abs(seconds_after(LIFTED, block.ended.latest_us)) <= 90, seed


def test_block_that_all_evade_stays(tmp_path: Path) -> None:
    block = play_block(1, tmp_path, lambda land, person: True)

    assert block.state is IncidentState.CONFIRMED


def test_block_stays_where_the_people_of_half_its_operators_all_evade(tmp_path: Path) -> None:
    block = play_block(2, tmp_path, lambda land, p: p.asn in (10, 12, 20) or is_lucky(land, p))

    assert block.state is IncidentState.CONFIRMED


def test_block_that_lasts_for_most_of_those_who_try_stays(tmp_path: Path) -> None:
    land, people = create_block(3)
    for person in people:
        if is_lucky(land, person):
            find_way(land, person)
        else:
            wait(land, person, LIFTED if person.asn in (10, 11) else AT + 20 * HOUR)

    (block,) = [i for i in play(land, tmp_path) if i.kind is IncidentKind.COLLECTOR_BLOCKED]

    assert block.state is IncidentState.CONFIRMED


def test_way_that_lets_a_few_through_for_minutes_stays_blocked(tmp_path: Path) -> None:
    land, people = create_block(4)
    for person in people:
        if is_lucky(land, person):
            find_way(land, person)
            continue
        since = AT + land.rng.uniform(0, 10)
        while since < AT + 4 * HOUR:
            until = since + land.rng.uniform(600, 1_800)
            person.downs.append(Down(since, until, told=True))
            since = until + land.rng.uniform(60, 200)
        wait(land, person, AT + 20 * HOUR)

    incidents = [i for i in play(land, tmp_path) if i.kind is IncidentKind.COLLECTOR_BLOCKED]

    assert [i.state for i in incidents] == [IncidentState.CONFIRMED]
