"""A grid that fails in a fleet in which no operator has three lines to tell its order by."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.model.signals import VantageLocation, VantageRef
from support.presence_model import at, confirmed, list_people, people, world
from support.small_nights import HOUR, NOON, arrived, off

DAY_TWO = 24 * HOUR + NOON
REGIONS = ("ALA", "AST", "SHY", "VOS")


def small_fleet() -> tuple[list[VantageRef], list[VantageRef]]:
    """Return ten lines of three operators (six, two and two), and eleven phones."""
    places = [("AST", 203), ("AST", 201), ("ALA", 203), ("ALA", 202), ("SHY", 203), ("SHY", 203)]
    places += [("VOS", 203), ("VOS", 202), ("VOS", 203), ("AST", 201)]
    lines = [
        vantage
        for region, asn in sorted(set(places))
        for vantage in people(
            VantageLocation("KZ", region, asn, "fixed"), places.count((region, asn))
        )
    ]
    return lines, list_people(REGIONS, (101, 102, 103), "mobile", 1)[:11]


@pytest.mark.parametrize("seed", range(4))
def test_lines_that_go_one_by_one_while_phones_live_are_held(seed: int) -> None:
    rng = Random(seed)
    lines, phones = small_fleet()
    signals = arrived([*lines, *phones, *world()]) + off(lines, DAY_TWO, HOUR, rng)
    for hours in (0.8, 1.2, 2, 5):
        assert not confirmed(detect_silence(signals, at(DAY_TWO + hours * HOUR)).incidents)


@pytest.mark.parametrize("seed", range(4))
def test_phones_that_follow_by_turns_confirm_nothing(seed: int) -> None:
    """Most operators have fewer than three phones, so none shows by itself how they went."""
    rng = Random(seed)
    lines, phones = small_fleet()
    signals = arrived([*lines, *phones, *world()]) + off(lines, DAY_TWO, HOUR, rng)
    signals += off(phones[:5], DAY_TWO + 0.9 * HOUR, 2 * HOUR, rng)
    for hours in (1.2, 2, 3, 5):
        assert not confirmed(detect_silence(signals, at(DAY_TWO + hours * HOUR)).incidents)


@pytest.mark.parametrize("seed", range(4))
def test_phones_of_the_only_network_that_fade_hours_after_its_lines_are_held(seed: int) -> None:
    """Its three lines were too few to be told; its phones follow from two hours later, by turns."""
    rng = Random(seed)
    lines, phones = (
        [
            vantage
            for region in REGIONS[:3]
            for vantage in people(VantageLocation("KZ", region, 201, access), count)
        ]
        for access, count in (("fixed", 1), ("mobile", 6))
    )
    signals = arrived([*lines, *phones, *world()]) + off(lines, DAY_TWO, 0.9 * HOUR, rng)
    signals += off(phones[1:], DAY_TWO + 2.3 * HOUR, 4 * HOUR, rng)
    for hours in (3, 5, 6, 7, 8):
        assert not confirmed(detect_silence(signals, at(DAY_TWO + hours * HOUR)).incidents)
