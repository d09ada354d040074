"""Events of public reports: cuts are found in time, and nothing else is a cut."""

from pathlib import Path

import pytest

from heliograph_collector.incidents.incident import IncidentKind, IncidentState
from support.event_faults import check_event, find_faults
from support.examples import IS_SOAK
from support.foreign_world import (
    AT,
    HOUR,
    SEEDS,
    Down,
    Land,
    create_land,
    play,
    seconds_after,
)
from support.reported_events import SCENES


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", SCENES)
def test_event_is_told_as_what_it_is(name: str, seed: int, tmp_path: Path) -> None:
    scene = SCENES[name]
    land = create_land(seed, scene.hours)
    scene.build(land)
    check_event(name, seed, list(find_faults(land, play(land, tmp_path), scene)))


def block_for_hours(land: Land, until: float, longest: float = 5_400) -> None:
    """Block our entrance until then; agents at another try it again within hours."""
    land.settle()
    for person in land.select():
        since = AT + land.rng.uniform(0, 30)
        found = since + 15 + min(land.rng.expovariate(1 / 90), longest / 4)
        person.downs.append(Down(since, found, entrance="second"))
        back = until + land.rng.uniform(60, longest)
        person.downs.append(Down(back - 50, back, entrance="main"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_block_of_our_entrance_lasts_until_agents_are_back_by_it(seed: int, tmp_path: Path) -> None:
    """A block of our entrance lasts until agents are back by it, not by another way."""
    until = AT + 5 * HOUR
    land = create_land(seed, 5)
    block_for_hours(land, until)
    (lasting,) = play(land, tmp_path)
    assert lasting.kind is IncidentKind.COLLECTOR_BLOCKED
    assert lasting.state is IncidentState.CONFIRMED
    land = create_land(seed, 10)
    block_for_hours(land, until)
    (ended,) = play(land, tmp_path)
    assert ended.state is IncidentState.CLOSED
    assert ended.ended is not None
    assert seconds_after(until, ended.ended.earliest_us) <= 0
    assert 0 <= seconds_after(until, ended.closed_us) <= 5_400
    assert not [turn for turn in ended.turns if turn.way == "opening"]


@pytest.mark.parametrize("seed", [0, 2, 3, 5])
def test_end_of_a_short_block_is_no_return_by_another_way(seed: int, tmp_path: Path) -> None:
    """Four minutes: all are here by another entrance a few minutes before it is over.

    That they leave this one for the first again is no block of it.
    """
    until = AT + 240
    land = create_land(seed, 2)
    block_for_hours(land, until, longest=400)
    (told,) = play(land, tmp_path)
    assert told.kind is IncidentKind.COLLECTOR_BLOCKED
    assert told.state is IncidentState.CLOSED
    assert told.ended is not None
    assert told.started.latest_us <= told.ended.earliest_us
    assert seconds_after(until, told.ended.earliest_us) <= 0
    assert seconds_after(until, told.ended.latest_us) >= 0


@pytest.mark.parametrize("seed", range(SEEDS))
def test_cut_in_a_lasting_block_of_our_entrance_is_told(seed: int, tmp_path: Path) -> None:
    """A cut in a lasting block of our entrance is found.

    All that came by the other entrance fall silent; later some are dark one by one, in vain.
    """
    land = create_land(seed, 10)
    block_for_hours(land, AT + 9 * HOUR)
    for person in land.select():
        person.downs.append(Down(AT + 3 * HOUR + land.rng.uniform(0, 10), AT + 5 * HOUR))
    block, cut = play(land, tmp_path)
    assert block.kind is IncidentKind.COLLECTOR_BLOCKED
    assert cut.kind is IncidentKind.SILENCE
    assert seconds_after(AT + 3 * HOUR, cut.confirmed_us) <= 90


def lose_packets_for_long(land: Land) -> None:
    """All sessions break in a minute; each is back after minutes, and breaks again."""
    land.settle()
    for person in land.select():
        second = AT + land.rng.uniform(0, 60)
        while second < AT + 2 * HOUR:
            lasts = 40 + land.rng.expovariate(1 / 600)
            person.downs.append(Down(second, second + lasts))
            second += lasts + 30 + land.rng.expovariate(1 / 600)


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 4] if IS_SOAK else [4])
def test_long_packet_loss_that_begins_at_once_is_no_cut(seed: int, tmp_path: Path) -> None:
    """Long packet loss that begins at once is no cut.

    Returns pause for over a minute by chance; in a cut none comes back before.
    """
    land = create_land(seed, 5)
    lose_packets_for_long(land)
    assert not play(land, tmp_path)
