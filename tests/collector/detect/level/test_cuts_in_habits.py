"""Cuts that last for weeks, and those that were withdrawn, do not make the level blind."""

from collections.abc import Iterable, Sequence
from random import Random

import pytest

from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.signals import VantageArrival, VantageRef
from support.presence_model import Signals, at, country, drop, world
from support.silence_steps import follow
from support.small_nights import DAY, EVENING, HOUR, arrived, off

HOME = country(each=4)
PHONES = [vantage for vantage in HOME if vantage.place.access == "mobile"]
FIRST = 6  # whole days in which a few phones sleep; then all do
NIGHTS = range(FIRST, FIRST + 4)


def _switch_off(phones: Sequence[VantageRef], day: int, rng: Random) -> Signals:
    """They are off from the evening to the morning, and their machines run on."""
    return off(phones, day * DAY + EVENING, 2 * HOUR, rng) + [
        VantageArrival(at((day + 1) * DAY + rng.uniform(0, 2 * HOUR)), phone, same_boot=True)
        for phone in phones
    ]


def _list_told(signals: Signals, nights: Iterable[int]) -> list[bool]:
    """Return whether a cut stands in each of these nights, before anybody is back."""
    found = follow(signals, [at(day * DAY + EVENING + 5 * HOUR) for day in nights])
    return [any(i.state is IncidentState.CONFIRMED for i in incidents) for incidents in found]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_phones_that_are_off_each_night_are_told_twice_at_most(seed: int) -> None:
    """Up to version 156 they were told each night, since no night of a cut was learned."""
    rng = Random(seed)
    signals = arrived(HOME + world())
    for day in range(NIGHTS.stop):
        sleepers = PHONES if day in NIGHTS else rng.sample(PHONES, len(PHONES) * 2 // 3)
        signals += _switch_off(sleepers, day, rng)
    assert _list_told(signals, NIGHTS)[2:] == [False, False]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_country_that_fades_beside_an_operator_that_is_dark_for_weeks_is_told(seed: int) -> None:
    """Up to version 157 nothing was usual there by then, and a fade was told near its end."""
    rng = Random(seed)
    operator = max(vantage.place.asn for vantage in HOME)
    gone = [vantage for vantage in HOME if vantage.place.asn == operator]
    fading_s = 17 * DAY + 4 * HOUR  # nine in the morning
    signals = arrived(HOME + world()) + drop(gone, DAY + 4 * HOUR, rng)
    for day in range(16):  # their evenings make losses no rare event
        signals += _switch_off(rng.sample(PHONES, len(PHONES) * 2 // 3), day, rng)
    signals += off([v for v in HOME if v not in gone], fading_s, 3 * HOUR, rng)
    (found,) = follow(signals, [at(fading_s + 2.25 * HOUR)])
    told = [i for i in found if i.state is IncidentState.CONFIRMED and i.scope.country == "KZ"]
    assert [i.label for i in told if i.started.earliest_us >= at(fading_s)] == ["national"]
