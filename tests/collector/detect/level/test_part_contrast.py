"""A part of a country is told where it falls further than the rest, not where all fall alike."""

from random import Random

import pytest

from heliograph_collector.incidents.incident import IncidentState
from support.presence_model import country
from support.small_nights import HOUR, NOON, arrived, off, watched

SIZE = 18  # of each of the three regions


@pytest.mark.parametrize(
    ("gone", "over_s", "told"),
    [(13, 3 * HOUR, []), (SIZE, HOUR, ["ALA"])],
    ids=["as the others by chance", "all of it"],
)
def test_a_region_is_told_where_it_falls_further_than_its_country(
    gone: int, over_s: float, told: list[str]
) -> None:
    """On the morning of a feast two fifths of each other region go too, over three hours.

    Version 121 told one region as cut, of which chance took 13 of 18.
    """
    rng = Random(7)
    people = country(each=3)
    signals = arrived(people)
    for region in ("ALA", "AST", "VOS"):
        inside = [v for v in people if v.place.region == region]
        is_first = region == "ALA"
        leaving = rng.sample(inside, gone if is_first else 7)
        signals += off(leaving, NOON, over_s if is_first else 3 * HOUR, rng)
    hours = watched(signals, *(NOON / HOUR + step / 4 for step in range(1, 17)))
    confirmed = {i.scope.region for found in hours for i in found if i.confirmed_us is not None}
    assert sorted(confirmed) == told
    assert any(i.state is IncidentState.SUSPECTED for i in hours[-1]) or told
