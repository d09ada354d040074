"""Phones that an order takes minutes before the lines keep these from being a power failure."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.signals import VantageLocation, VantageRef
from support.presence_model import Signals, at, drop, live, people, world

HOUR = 3_600.0
MINUTE = 60.0
ONSET = 2 * HOUR
REGIONS = ("ALA", "AST", "VOS", "KAR")


def place(asn: int, access: str, each: int) -> list[VantageRef]:
    return [
        vantage
        for region in REGIONS
        for vantage in people(VantageLocation("KZ", region, asn, access), each)
    ]


LINES = [*place(201, "fixed", 8), *place(202, "fixed", 8), *place(203, "fixed", 8)]
PHONES = [*place(101, "mobile", 4), *place(102, "mobile", 2)]


def fade(vantages: list[VantageRef], since_s: float, over_s: float, rng: Random) -> Signals:
    """Lose them one by one."""
    return [
        signal
        for vantage in vantages
        for signal in drop([vantage], since_s + rng.uniform(0, over_s), rng)
    ]


def play(phones: list[VantageRef], since_s: float) -> list[tuple[str, ...]]:
    """Lose two thirds of the lines in half an hour, and phones; list why open falls are held."""
    rng = Random(3)
    order = rng.sample(LINES, len(LINES))
    signals = live(LINES + PHONES + world(), rng, 5, churn=0.1)
    signals += fade(order[: 2 * len(LINES) // 3], ONSET, 30 * MINUTE, rng)
    signals += fade(phones, since_s, 4 * MINUTE, rng)
    told = detect_silence(signals, at(ONSET + 80 * MINUTE)).incidents
    return [i.held for i in told if i.state in (IncidentState.SUSPECTED, IncidentState.CONFIRMED)]


def test_lines_that_fade_after_half_of_the_phones_are_cut() -> None:
    """The phones that an order had left stood for all: of 90 made fades two were held as power."""
    gone = [phone for phone in PHONES if phone.place.asn == 101][:14]
    assert set(play(gone, ONSET - 6 * MINUTE)) == {()}


@pytest.mark.parametrize("gone", [0, 3])
def test_lines_that_fade_while_phones_live_are_held_as_power(gone: int) -> None:
    assert ("power",) in play(PHONES[:gone], ONSET - 6 * MINUTE)


def test_phones_that_fell_hours_before_say_nothing_of_lines() -> None:
    gone = [phone for phone in PHONES if phone.place.asn == 101][:14]
    assert ("power",) in play(gone, ONSET - 70 * MINUTE)
