"""A part of a country is found where it falls further than the rest."""

from random import Random

import pytest

from heliograph_collector.detect.level.cell_counts import Sample
from heliograph_collector.detect.level.part_contrast import falls_with_others
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageArrival, VantageLoss
from heliograph_collector.model.thresholds import THRESHOLDS
from support.presence_model import at, country
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
    """A region is found where it falls further than its country.

    On a feast's morning two fifths of each other region go too, over three hours. Version 121
    reported one region as cut, of which chance took 13 of 18.
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


@pytest.mark.parametrize(("gone", "is_alike"), [(9, True), (16, False)])
def test_a_part_is_not_measured_by_others_that_are_as_dark(gone: int, *, is_alike: bool) -> None:
    """A part is not measured by other parts that are as dark.

    An order may take two regions of three; where each lost about a half, people left. Two thirds of
    one region, ALA, are silent, and almost none of the third.
    """
    presence = PresenceTracker()
    lost = {"ALA": 12, "AST": gone, "VOS": gone if is_alike else 1}
    for vantage in country(each=3):
        presence.on_arrival(VantageArrival(at(0), vantage))
        lost[vantage.place.region] -= 1
        if lost[vantage.place.region] >= 0:
            presence.on_lost(VantageLoss(at(NOON + 40), vantage.nym, at(NOON)))
    places = {p: list(inside.values()) for p, inside in presence.places["KZ"].items()}
    sample = Sample(
        presence=presence, places=places, outages=(), limits=THRESHOLDS, now_us=at(NOON + HOUR),
        cells=1, whole_cells=(), have_ways_fallen=False, kept=1.0, is_world_falling=False,
    )  # fmt: skip
    scope = Scope("KZ", "ALA")
    fallen = sample.select_fallen(scope, at(NOON))
    assert falls_with_others(scope, fallen, sample, at(NOON)) is is_alike
