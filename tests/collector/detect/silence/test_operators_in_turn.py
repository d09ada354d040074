"""An order takes one operator of a small fleet after another, within half an hour."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.model.signals import VantageLocation, VantageRef
from support.presence_model import Signals, at, confirmed, people, world
from support.small_nights import DAY, HOUR, NOON, arrived, back, off

ONSET = DAY + NOON + 5 * HOUR  # five in the afternoon


def _list_members(asn: int, access: str, *regions: str) -> list[VantageRef]:
    places = {region: VantageLocation("KZ", region, asn, access) for region in regions}
    return [v for region, p in places.items() for v in people(p, regions.count(region))]


@pytest.mark.parametrize("seed", range(4))
def test_lines_that_go_in_turn_before_phones_have_power(seed: int) -> None:
    """Two lines go, six of another operator four minutes later, and phones in half an hour.

    In the same two regions: a grid takes both operators' lines at once. A phone that is back for an
    hour makes no battery of it.
    """
    rng = Random(seed)
    first = _list_members(201, "fixed", "ALA", "AST")
    second = _list_members(203, "fixed", "ALA", "ALA", "ALA", "AST", "AST", "AST")
    phones = _list_members(101, "mobile", "ALA", "ALA", "AST")
    signals = arrived([*first, *second, *phones, *world()])
    signals += off(first, ONSET, 5, rng) + off(second, ONSET + 260, 9, rng)
    signals += off(phones, ONSET + 1_800, 5, rng)
    signals += back(phones[:1], ONSET + 4 * HOUR, 5, rng)
    signals += off(phones[:1], ONSET + 5 * HOUR, 5, rng)
    told = confirmed(detect_silence(signals, at(ONSET + 20 * HOUR)).incidents)
    assert [i.scope.is_national for i in told] == [True]


@pytest.mark.parametrize("seed", range(4))
def test_suspicion_of_a_few_lines_hides_no_cut_of_the_country(seed: int) -> None:
    """Of fourteen, three operators lose eleven in forty minutes, and too few each for a burst.

    Six lines that were suspected counted as explained, and the country was never told.
    """
    rng = Random(seed)
    lines = _list_members(201, "fixed", "ALA", "ALA", "AST", "SHY", "AST", "AST", "SHY")
    others = _list_members(202, "fixed", "ALA", "AST") + _list_members(202, "mobile", "ALA")
    phones = _list_members(101, "mobile", "ALA", "AST", "SHY", "VOS")
    everybody = [*lines, *others, *phones]
    onset_s = 9 * DAY + NOON + 5 * HOUR
    signals: Signals = arrived([*everybody, *world()])
    for day in range(9):
        asleep = rng.sample(everybody, 4)
        bedtime_s = day * DAY + NOON + 10 * HOUR
        signals += off(asleep, bedtime_s, HOUR, rng) + back(asleep, bedtime_s + 8 * HOUR, HOUR, rng)
    signals += off(lines[:4], onset_s, 40, rng) + off(others, onset_s + 270, 20, rng)
    signals += off(phones, onset_s + 1_800, 600, rng)
    told = confirmed(detect_silence(signals, at(onset_s + HOUR)).incidents)
    assert [i.scope.is_national for i in told] == [True]
