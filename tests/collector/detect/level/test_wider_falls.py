"""A cut of operators grows to the country only if half of the rest falls too."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from heliograph.units import MINUTE_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation, VantageRef
from support.dated_events import SCENES as DATED
from support.event_faults import find_faults
from support.foreign_world import create_land, play
from support.presence_model import KZ, at, confirmed, country, drop, live, people, world
from support.small_nights import DAY, HOUR, NOON, arrived, back, off

ONSET = 5 * 3_600.0  # 10:00 in Kazakhstan


@pytest.mark.parametrize(("share", "is_national"), [(0.15, False), (1.0, True)])
def test_a_fall_that_is_older_than_the_cut_needs_half_of_the_others(
    share: float, *, is_national: bool
) -> None:
    """A fall that is older than the cut needs half of the others.

    A cable takes operators of two countries: the fall is seen while the cut waits. Version 82
    reported the country as cut where three of 18 others were away by chance.
    """
    rng = Random(4)
    people = country(each=4) + world(each=4)
    home = [v for v in people if KZ(v)]
    networks = sorted({v.place.asn for v in home})
    taken = [v for v in home if v.place.asn in networks[:4]]
    rerouted = [v for v in taken if v.place.asn == networks[0]]
    others = [v for v in home if v not in taken]
    signals = live(people, rng, ONSET / 3_600, churn=0.2)
    signals += drop([v for v in taken if v not in rerouted], ONSET, rng)
    signals += drop([v for v in people if v.place.country == "XA"], ONSET, rng)
    signals += drop(rerouted, ONSET, rng, ONSET + 900)
    away = [*rerouted[:5], *others[: round(share * len(others))]]
    for number, vantage in enumerate(away):
        signals += drop([vantage], ONSET + 3_600 + 120 * number, rng)
    told = confirmed(detect_silence(signals, at(ONSET + 3 * 3_600)).incidents)
    cells = {part.scope for cut in told if cut.scope.country == "KZ" for part in cut.parts}
    assert any(scope.is_national for scope in cells) is is_national
    assert cells


def test_a_suspicion_of_the_country_ends_once_a_region_explains_it() -> None:
    """A region of 30 fades in 90 minutes; nine of the 60 others are away by chance.

    Version 133 suspected the country for as long as the region was cut.
    """
    rng = Random(1)
    people = country(each=5) + world()
    onset_s = 29 * 3_600.0
    back_s = onset_s + 8 * 3_600
    signals = live(people, rng, 38, churn=1.0)
    taken = [v for v in people if KZ(v) and v.place.region == "ALA"]
    away = [v for v in people if KZ(v) and v.place.region != "ALA"]
    rng.shuffle(taken)
    rng.shuffle(away)
    for number, vantage in enumerate(taken):
        signals += drop([vantage], onset_s + 180 * number, rng, back_s)
    for number, vantage in enumerate(away[:9]):
        signals += drop([vantage], onset_s + 600 * number, rng, back_s)
    incidents = [
        incident
        for incident in detect_silence(signals, at(onset_s + 9 * 3_600)).incidents
        if incident.scope.country == "KZ"
    ]
    (region,) = confirmed(incidents)
    (wider,) = [incident for incident in incidents if incident.scope.is_national]
    assert region.scope.region == "ALA"
    assert region.confirmed_us is not None
    assert wider.state is IncidentState.WITHDRAWN
    assert wider.closed_us is not None
    assert wider.closed_us <= region.confirmed_us + 70 * MINUTE_US


@pytest.mark.parametrize("days", [1, 6])
def test_lines_that_sleep_beside_a_cut_of_phones_are_not_cut_off(days: int) -> None:
    """Phones are cut at noon; on each of the following nights 17 of 27 lines are silent.

    Version 161 told the country on the first one, whether or not nights were known.
    """
    rng = Random(1)
    lines, phones = _split(country(each=3))
    signals = arrived([*lines, *phones, *world()])
    for day in range(days + 3):
        sleepers = rng.sample(lines, 17) + (rng.sample(phones, 8) if day < days else [])
        signals += off(sleepers, day * DAY + 16 * HOUR, 3 * HOUR, rng)
        signals += back(sleepers, day * DAY + 25 * HOUR, 2 * HOUR, rng)
    signals += drop(phones, days * DAY + NOON, rng)
    (cut,) = confirmed(detect_silence(signals, at((days + 3) * DAY)).incidents)
    assert [part.scope for part in cut.parts] == [Scope("KZ", access="mobile")]


@pytest.mark.parametrize("days", [1, 6])
def test_lines_that_are_cut_at_night_beside_phones_are_told(days: int) -> None:
    """At one in the morning those that are up are cut within an hour."""
    rng = Random(1)
    lines, phones = _split(country(each=3))
    signals = arrived([*lines, *phones, *world()])
    onset_s = days * DAY + 20 * HOUR
    for day in range(days + 1):
        sleepers = rng.sample(lines, 13)
        signals += off(sleepers, day * DAY + 16 * HOUR, 3 * HOUR, rng)
        if day < days:
            signals += back(sleepers, day * DAY + 25 * HOUR, 2 * HOUR, rng)
    signals += drop(phones, days * DAY + NOON, rng)
    signals += off([v for v in lines if v not in sleepers], onset_s, HOUR, rng)
    cuts = confirmed(detect_silence(signals, at(onset_s + 1.2 * HOUR)).incidents)
    told = [part.scope for cut in cuts for part in cut.parts]
    assert all(any(scope.includes(v.place) for scope in told) for v in lines)


@pytest.mark.parametrize("seed", [2, 5])
def test_lines_that_are_cut_within_ten_minutes_a_day_after_the_phones_are_told(
    seed: int, tmp_path: Path
) -> None:
    """Version 161 took them for people who leave: regions were suspected, held for the power."""
    scene = DATED["phones, then lines"]
    land = create_land(seed, scene.hours)
    scene.build(land)
    assert list(find_faults(land, play(land, tmp_path), scene)) == []


def _split(vantages: Sequence[VantageRef]) -> tuple[list[VantageRef], list[VantageRef]]:
    """Return the lines and the phones."""
    by_access = {a: [v for v in vantages if v.place.access == a] for a in ("fixed", "mobile")}
    return by_access["fixed"], by_access["mobile"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_last_few_lines_that_sleep_beside_a_cut_of_phones_are_not_cut_off(seed: int) -> None:
    """Fifteen phones are cut, and of six lines two are off: four more say nothing by night.

    Version 190 told the country until the end, as fewer than five were outside the cut.
    """
    rng = Random(seed)
    lines = people(VantageLocation("KZ", "", 201, "fixed"), 6)
    phones = [
        v for asn in (101, 102, 103) for v in people(VantageLocation("KZ", "", asn, "mobile"), 5)
    ]
    signals = arrived([*lines, *phones, *world()])
    for day in range(4):
        bedtime_s = day * DAY + NOON + 10 * HOUR
        asleep = [*lines[: 4 + day % 2], *rng.sample(phones, 5)] if day < 3 else lines
        signals += off(asleep, bedtime_s, 2 * HOUR, rng)
        signals += back(asleep if day < 3 else lines, bedtime_s + 10 * HOUR, HOUR, rng)
    signals += off(lines[:2], 3 * DAY + NOON + 4 * HOUR, HOUR, rng)
    signals += drop(phones, 3 * DAY + NOON + 7 * HOUR, rng)
    told = confirmed(detect_silence(signals, at(3 * DAY + NOON + 18 * HOUR)).incidents)
    assert [i.scope for i in told] == [Scope("KZ", access="mobile")]
