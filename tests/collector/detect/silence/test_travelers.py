"""People who fall silent, and are back elsewhere, were not cut off."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.signals import VantageArrival, VantageRef
from support.presence_model import Signals, at, country, drop, world
from support.small_nights import DAY, HOUR, arrived, watched

REGIONS = ("ALA", "AST", "VOS", "KAR", "AKT")
HOME = country("KZ", REGIONS, each=2)
LEFT = [vantage for vantage in HOME if vantage.place.region == "KAR"]
LEAVING = DAY + 4 * HOUR  # nine in the morning


def _travel(vantages: Iterable[VantageRef], lost_s: dict[str, float], rng: Random) -> Signals:
    """They are here again from another region, by phone, within an hour and a half."""
    return [
        VantageArrival(
            at(lost_s[v.nym] + rng.uniform(2_000, 5_000)),
            replace(v, place=v.place._replace(region="ALA", access="mobile", asn=101)),
        )
        for v in vantages
    ]


def _watch(over_s: float, travelers: int, seed: int, *hours: float) -> list[list[Incident]]:
    """All leave the region, or are cut, in so long; some come back elsewhere."""
    rng = Random(seed)
    lost_s = {v.nym: LEAVING + rng.uniform(0, over_s) for v in LEFT}
    signals = arrived(HOME + world())
    for vantage in LEFT:
        signals += drop([vantage], lost_s[vantage.nym], rng)
    signals += _travel(rng.sample(LEFT, travelers), lost_s, rng)
    found = watched(signals, *(LEAVING / HOUR + hour for hour in hours))
    return [[i for i in incidents if i.scope.country == "KZ"] for incidents in found]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("over_s", [0.5 * HOUR, HOUR, 2 * HOUR])
def test_a_region_whose_people_are_back_elsewhere_is_no_cut(over_s: float, seed: int) -> None:
    """Up to version 133 this was a confirmed cut until the last of them was back."""
    for incidents in _watch(over_s, 9, seed, 3.5, 6):
        assert all(i.state is IncidentState.SUSPECTED for i in incidents)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("over_s", "fled"), [(60, 0), (60, 4), (HOUR, 0), (HOUR, 2)])
def test_a_cut_that_some_flee_stays_one(over_s: float, fled: int, seed: int) -> None:
    (incidents,) = _watch(over_s, fled, seed, 3.5)
    assert [i.state for i in incidents] == [IncidentState.CONFIRMED]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("abroad", "state"), [(50, None), (5, IncidentState.CONFIRMED)])
def test_a_country_that_is_back_under_another_one_is_no_cut(
    abroad: int, state: IncidentState | None, seed: int
) -> None:
    """A neighbor takes its routes within minutes; in a cut hardly anybody is back so."""
    rng = Random(seed)
    signals = arrived(HOME + world())
    lost_s = {vantage.nym: LEAVING + rng.uniform(0, 60) for vantage in HOME[4:]}
    for vantage in HOME[4:]:
        signals += drop([vantage], lost_s[vantage.nym], rng)
    signals += [
        VantageArrival(
            at(lost_s[v.nym] + rng.uniform(40, 240)),
            replace(v, place=v.place._replace(country="XA", region="")),
        )
        for v in rng.sample(HOME[4:], abroad)
    ]
    (found,) = watched(signals, LEAVING / HOUR + 0.5)
    assert [i.state for i in found if i.scope.country == "KZ"] == ([state] if state else [])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cut_stays_one_when_its_people_are_back_before_those_who_fled_abroad(seed: int) -> None:
    """Up to version 156 it was withdrawn at its end, when only those abroad were still away."""
    rng = Random(seed)
    signals = arrived(HOME + world())
    for vantage in HOME:
        signals += drop([vantage], LEAVING + rng.uniform(0, 20), rng)
    fled = rng.sample(HOME, 9)
    signals += [
        VantageArrival(
            at(LEAVING + rng.uniform(300, 2_400)),
            replace(v, place=v.place._replace(country="XA", region="")),
        )
        for v in fled
    ]
    signals += [
        VantageArrival(at(LEAVING + 9 * HOUR + rng.uniform(5, 300)), v)
        for v in HOME
        if v not in fled
    ]
    during, after = watched(signals, LEAVING / HOUR + 8, LEAVING / HOUR + 9.5)
    states = [[i.state for i in found if i.scope.country == "KZ"] for found in (during, after)]
    assert states == [[IncidentState.CONFIRMED], [IncidentState.CLOSED]]
