"""Lines that are held as a power failure are told as a cut once phones fell with them."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import HoldReason
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageRef
from support.presence_model import at, confirmed, country, world
from support.small_nights import HOUR, NOON, arrived, off

DAY_TWO = 24 * HOUR + NOON


def split(people: list[VantageRef]) -> tuple[list[VantageRef], list[VantageRef]]:
    lines = [v for v in people if v.place.access == "fixed"]
    return lines, [v for v in people if v.place.access == "mobile"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_phones_that_fall_minutes_after_the_lines_were_cut_too(seed: int) -> None:
    """Lines fall within five minutes, and phones from six minutes on."""
    rng = Random(seed)
    lines, phones = split(country(each=3))
    signals = arrived([*lines, *phones, *world()]) + off(lines, DAY_TWO, 300, rng)
    before = detect_silence(signals, at(DAY_TWO + 350)).incidents
    assert [i.held for i in before if i.scope.country == "KZ"] == [(HoldReason.POWER,)]
    signals += off(phones, DAY_TWO + 360, 300, rng)
    found = confirmed(detect_silence(signals, at(DAY_TWO + 900)).incidents)
    assert Scope("KZ") in {i.scope for i in found}


@pytest.mark.parametrize("seed", [2, 3, 5])  # of five; two are told by the level of all
def test_phones_that_fall_an_hour_after_the_lines_lost_their_batteries(seed: int) -> None:
    rng = Random(seed)
    lines, phones = split(country(each=3))
    signals = arrived([*lines, *phones, *world()]) + off(lines, DAY_TWO, 0.5 * HOUR, rng)
    signals += off(phones, DAY_TWO + HOUR, 2 * HOUR, rng)
    found = detect_silence(signals, at(DAY_TWO + 4 * HOUR)).incidents
    assert not confirmed(found)
