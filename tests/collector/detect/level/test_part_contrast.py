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
from support.presence_model import at, country, world
from support.small_nights import DAY, HOUR, NOON, arrived, off, watched

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


@pytest.mark.parametrize(
    ("gone", "is_alike"),
    [((12, 9, 9), True), ((12, 16, 1), False), ((17, 14, 8), True)],
    ids=["people left", "an order for two of three", "most sleep"],
)
def test_a_part_is_not_measured_by_others_that_are_as_dark(
    gone: tuple[int, int, int], *, is_alike: bool
) -> None:
    """A part is not measured by other parts that are as dark, unless chance makes all alike.

    An order may take two regions of three; where each lost about a half, people left, and where
    seven tenths sleep most regions are dark. Version 155 compared with the third region alone.
    """
    presence = PresenceTracker()
    lost = dict(zip(("ALA", "AST", "VOS"), gone, strict=True))
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


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_region_that_is_gone_is_told_while_its_country_fades(seed: int) -> None:
    """Two fifths of the others leave over four hours; one region goes in 40 minutes.

    Up to version 133 the region was taken for a part of that fade, and never told.
    """
    rng = Random(seed)
    people = country("KZ", ("ALA", "AST", "VOS", "KAR", "AKT"), each=2)
    gone_s = DAY + 15 * HOUR  # 20 o'clock in Kazakhstan, of the second day
    others = [v for v in people if v.place.region != "KAR"]
    signals = arrived(people + world())
    signals += off(rng.sample(others, 18), gone_s - 4 * HOUR, 4 * HOUR, rng)
    signals += off([v for v in people if v not in others], gone_s, 2_400, rng)
    before, after = watched(signals, gone_s / HOUR, gone_s / HOUR + 1.75)
    assert not [i for i in before if i.confirmed_us is not None]
    (cut,) = [i for i in after if i.confirmed_us is not None]
    assert cut.scope == Scope("KZ", "KAR")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_region_that_fades_with_its_country_is_not_told(seed: int) -> None:
    """Half of a country leave over two hours, and chance takes more of some region."""
    rng = Random(seed)
    people = country("KZ", ("ALA", "AST", "VOS", "KAR", "AKT"), each=2)
    gone_s = DAY + 15 * HOUR
    home = [v for v in people if v.place.region == "KAR"]
    leaving = rng.sample(home, 9) + rng.sample([v for v in people if v not in home], 22)
    signals = arrived(people + world()) + off(leaving, gone_s, 2 * HOUR, rng)
    hours = watched(signals, *(gone_s / HOUR + step / 2 for step in range(1, 9)))
    assert not [i for found in hours for i in found if i.confirmed_us is not None]
