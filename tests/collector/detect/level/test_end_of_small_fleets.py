"""The end of a fade by night in a country of a dozen people, most of whom slept before it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import pytest

from heliograph_collector.incidents.incident import Incident
from support.foreign_world import DAY, HOUR, WITNESSES, Down, Land, Person, play, seconds_after

EVENING = 7 * DAY + 17 * HOUR  # of the eighth day: 22:00 in Kazakhstan
CUT = EVENING + 4 * HOUR
END = CUT + 48 * HOUR


def settle(land: Land) -> list[Person]:
    """Add twelve people of three networks, in no order, and four countries beside them."""
    people = [*land.add("KZ", 5, 10, "fixed"), *land.add("KZ", 4, 20, "mobile")]
    people += land.add("KZ", 3, 30, "fixed")
    for country in WITNESSES:
        land.add(country, 12, 101, "fixed")
    land.rng.shuffle(people)
    return people


def add_nights(land: Land, people: Sequence[Person], days: Iterable[int]) -> None:
    """Let people switch off on these evenings, for nine hours."""
    for person in people:
        for day in days:
            night = day * DAY + 17 * HOUR + land.rng.uniform(0, HOUR)
            person.downs.append(Down(night, night + 9 * HOUR, rebooted=True))


def play_land(land: Land, tmp_path: Path) -> list[Incident]:
    return [i for i in play(land, tmp_path) if i.scope.country == "KZ"]


@pytest.mark.parametrize("seed", range(2))
def test_small_country_is_not_back_while_nine_of_twelve_are_dark(seed: int, tmp_path: Path) -> None:
    """Five sleep each night, and are not back from the eighth; three are spared by the cut."""
    land = Land(Random(seed), 8 * HOUR, 10.5 * 24)
    people = settle(land)
    add_nights(land, people[:5], range(7))
    land.cut(people[:5], EVENING, END, spread=HOUR)
    land.cut(people[5:9], CUT, END, spread=HOUR)
    for number, person in enumerate(people[9:]):
        for at in range(int(CUT + 9 * HOUR + number * 900), int(END), 4 * 3_600):
            person.downs.append(Down(at, at + 90))

    (cut,) = play_land(land, tmp_path)

    assert 0 < seconds_after(END, cut.closed_us) <= 1_800
    assert cut.turns == ()


@pytest.mark.parametrize("seed", range(2))
def test_cut_that_ends_by_night_is_over_though_most_are_in_bed(seed: int, tmp_path: Path) -> None:
    land = Land(Random(seed), 8 * HOUR, 10.5 * 24)
    people = settle(land)
    add_nights(land, people[:9], range(10))
    end = EVENING + 24 * HOUR + 4 * HOUR
    land.cut(people[9:], EVENING + 3 * HOUR, end)
    for person in people[:9]:
        person.downs = [d for d in person.downs if not EVENING - HOUR < d.until < end]
        person.downs.append(Down(EVENING + land.rng.uniform(0, HOUR), end + 5 * HOUR))

    cuts = play_land(land, tmp_path)

    assert all(cut.ended is not None for cut in cuts)


def test_small_country_that_sleeps_is_no_cut(tmp_path: Path) -> None:
    land = Land(Random(3), 8 * HOUR, 10.5 * 24)
    add_nights(land, settle(land)[:5], range(10))

    assert play_land(land, tmp_path) == []
