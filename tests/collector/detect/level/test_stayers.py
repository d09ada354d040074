"""Vantages that are here day and night tell what a fall is: a night leaves them, a cut does not."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageRef
from support.presence_model import Signals, at, confirmed, country, list_people, world
from support.small_nights import DAY, EVENING, HOUR, arrived, back, off, watched

OFFICES = 201
OTHERS = (202, 203)


def close_each_evening(offices: list[VantageRef], days: int, rng: Random) -> Signals:
    """Let offices close at half past six in the evening, and open at eight."""
    signals: Signals = []
    for day in range(days):
        signals += off(offices, day * DAY + 13.5 * HOUR, 0.5 * HOUR, rng)
        signals += back(offices, day * DAY + DAY + 3 * HOUR, 0.5 * HOUR, rng)
    return signals


def sleep_four_nights(sleepers: list[VantageRef], rng: Random) -> Signals:
    signals: Signals = []
    for night in range(4):
        signals += off(sleepers, night * DAY + EVENING, 2 * HOUR, rng)
        signals += back(sleepers, night * DAY + EVENING + 9 * HOUR, HOUR, rng)
    return signals


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_offices_that_close_early_on_a_saturday_leave_those_who_stay(seed: int) -> None:
    """Five days after its beginning 28 of an operator's 44 lines close at three."""
    rng = Random(seed)
    own = list_people(("ALA", "AST"), (OFFICES,), "fixed", 22)
    offices = rng.sample(own, 28)
    rest = list_people(("ALA", "AST"), OTHERS, "fixed", 12)
    signals = arrived([*own, *rest, *world()]) + close_each_evening(offices, 5, rng)
    signals += off(offices, 5 * DAY + 9 * HOUR, 1.5 * HOUR, rng)
    found = confirmed(detect_silence(signals, at(5 * DAY + 20 * HOUR)).incidents)
    assert not [incident for incident in found if incident.started.latest_us > at(5 * DAY)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cut_of_the_same_operator_takes_those_who_stay_too(seed: int) -> None:
    rng = Random(seed)
    own = list_people(("ALA", "AST"), (OFFICES,), "fixed", 22)
    offices = rng.sample(own, 28)
    rest = list_people(("ALA", "AST"), OTHERS, "fixed", 12)
    signals = arrived([*own, *rest, *world()]) + close_each_evening(offices, 5, rng)
    signals += off(rng.sample(own, 36), 5 * DAY + 9 * HOUR, 1.5 * HOUR, rng)
    found = confirmed(detect_silence(signals, at(5 * DAY + 14 * HOUR)).incidents)
    (told,) = [incident for incident in found if incident.started.latest_us > at(5 * DAY)]
    assert told.scope == Scope("KZ", asn=OFFICES)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sixteen_people_of_whom_few_sleep_are_cut_on_a_fifth_evening(seed: int) -> None:
    """Of 16, ten slept in each of four nights: by shares alone all 16 do in a night of ninety."""
    rng = Random(seed)
    everyone = rng.sample(country(each=2), 16)
    sleepers = everyone[:10]
    signals = arrived(everyone) + sleep_four_nights(sleepers, rng)
    signals += off(everyone, 4 * DAY + EVENING - 0.5 * HOUR, HOUR, rng)
    (now,) = watched(signals, 4 * 24 + EVENING / HOUR + 1)
    assert [incident.state for incident in now] == [IncidentState.CONFIRMED]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_ten_who_sleep_are_no_cut_without_the_six_who_stay(seed: int) -> None:
    rng = Random(seed)
    everyone = rng.sample(country(each=2), 16)
    sleepers = everyone[:10]
    signals = arrived(everyone) + sleep_four_nights(sleepers, rng)
    signals += off([*sleepers, everyone[10]], 4 * DAY + EVENING - 2 * HOUR, HOUR, rng)
    for hours in (0, 1, 4):
        (night_now,) = watched(signals, 4 * 24 + EVENING / HOUR + hours)
        assert IncidentState.CONFIRMED not in {incident.state for incident in night_now}
