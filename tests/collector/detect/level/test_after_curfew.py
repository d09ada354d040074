"""A curfew's cuts are told night after night, and people who go to bed after it are not cut off."""

from pathlib import Path
from random import Random

import pytest

from heliograph_collector.model.scope import Scope
from support.foreign_world import create_land, play, seconds_after
from support.presence_model import country, drop, world
from support.reported_events import people_of
from support.small_nights import DAY, HOUR, arrived, back, off, watched

CUT = 19 * HOUR  # midnight in Kazakhstan


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_goes_to_bed_before_the_hour_of_earlier_cuts_is_not_cut_off(seed: int) -> None:
    """Nobody slept before midnight in five nights of cuts; then two thirds do from half past ten.

    Version 155 took the evenings for known, and told a national cut.
    """
    rng = Random(seed)
    people = country(each=3)
    signals = arrived(people + world())
    for day in range(5):
        signals += drop(people, day * DAY + CUT, rng, until_s=day * DAY + CUT + 8 * HOUR)
    evening = 5 * DAY + CUT - 1.5 * HOUR
    sleepers = rng.sample(people, 36)
    signals += off(sleepers, evening, 1.2 * HOUR, rng)
    signals += back(sleepers, evening + 9 * HOUR, HOUR, rng)
    hours = watched(signals, *(evening / HOUR + step / 4 for step in range(12)))
    found = [i for incidents in hours for i in incidents if i.closed_us is None]
    assert found
    assert not [i for i in found if i.confirmed_us is not None]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cut_that_comes_early_in_a_curfew_is_told(seed: int) -> None:
    """On the sixth night it comes an hour earlier, and takes half an hour to reach all."""
    rng = Random(seed)
    people = country(each=3)
    signals = arrived(people + world())
    for day in range(5):
        signals += drop(people, day * DAY + CUT, rng, until_s=day * DAY + CUT + 8 * HOUR)
    evening = 5 * DAY + CUT - HOUR
    signals += off(people, evening, 0.5 * HOUR, rng)
    (incidents,) = watched(signals, evening / HOUR + 0.8)
    assert [i for i in incidents if i.confirmed_us is not None and i.closed_us is None]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_city_that_goes_to_bed_first_is_not_cut_off(seed: int) -> None:
    """A third of a country go within an hour, and eleven of a city's fourteen in 20 minutes."""
    rng = Random(seed)
    people = country(each=3)
    city = [v for v in people if v.place.region == "ALA"][:14]
    others = [v for v in people if v.place.region != "ALA"]
    evening = 2 * DAY + 17 * HOUR
    signals = arrived(city + others + world())
    signals += off(city[:5], evening, 2_000, rng) + off(city[5:11], evening + 2_000, 700, rng)
    signals += off(rng.sample(others, 13), evening, 3_600, rng)
    hours = watched(signals, *(evening / HOUR + step / 12 for step in range(16)))
    assert not [i for found in hours for i in found if i.confirmed_us is not None]


@pytest.mark.parametrize("seed", [10, 18])
def test_cuts_of_each_night_are_told_alike_and_once(seed: int, tmp_path: Path) -> None:
    """Version 155 took the suspicion of a part, which the first cut took up, for a daily break.

    So later cuts, which take 300 s to reach all, waited for twice as long as that had stood.
    """
    land = create_land(seed, 110)
    land.settle()
    starts = [day * DAY + 20 * HOUR for day in range(1, 5)]
    for start in starts:
        land.cut(people_of(land), start, start + 8 * HOUR, 300)
    told = [i for i in play(land, tmp_path) if i.confirmed_us is not None]
    delays = [seconds_after(s, i.confirmed_us) for s, i in zip(starts, told, strict=True)]
    assert all(0 < delay < 480 for delay in delays), delays


@pytest.mark.parametrize("seed", [20, 26])
def test_a_slow_cut_of_each_night_is_one_incident(seed: int, tmp_path: Path) -> None:
    """Parts that were suspected first were told beside the country, or again at its return."""
    land = create_land(seed, 90)
    land.settle()
    starts = [day * DAY + 20 * HOUR for day in range(1, 4)]
    for start in starts:
        land.cut(people_of(land), start, start + 8 * HOUR, 900)
    told = [i.scope for i in play(land, tmp_path) if i.confirmed_us is not None]
    assert told == [Scope("KZ")] * len(starts)


def test_the_second_of_two_slow_cuts_at_midnight_is_told_while_it_lasts(tmp_path: Path) -> None:
    """It takes 15 min to reach all. Version 164 waited for people who went to bed until morning."""
    land = create_land(37, 60)
    land.settle()
    starts = [day * DAY + 19 * HOUR for day in range(2)]
    for start in starts:
        land.cut(people_of(land), start, start + 9 * HOUR, 900)
    told = [i for i in play(land, tmp_path) if i.confirmed_us is not None]
    delays = [seconds_after(s, i.confirmed_us) for s, i in zip(starts, told, strict=True)]
    assert all(0 < delay < 1_800 for delay in delays), delays
