"""Phones that are switched off for a Friday's prayer are no cut; an order at that hour is one."""

from pathlib import Path
from random import Random

import pytest

from heliograph_collector.model.scope import Scope
from support.foreign_world import DAY, HOUR, Down, Land, play, seconds_after

NOON = DAY + 7 * HOUR  # of Friday, 14 November 2025, in Kazakhstan
LASTS = 2_400.0


@pytest.fixture
def land() -> Land:
    """Lines and phones of two operators each, from two hours before noon on."""
    made = Land(Random(2), NOON - 2 * HOUR, 4)
    made.settle(phones=(12, 10))
    return made


def test_phones_that_are_off_for_the_prayer_are_no_cut(land: Land, tmp_path: Path) -> None:
    for phone in land.select(access="mobile"):
        if land.rng.random() < 0.7:
            since = NOON - land.rng.uniform(0, 300)
            phone.downs.append(Down(since, NOON + LASTS + land.rng.uniform(0, 300)))
    assert play(land, tmp_path) == []


@pytest.mark.parametrize("spread", [10.0, 120.0])
def test_phones_that_are_all_cut_at_noon_are_told(
    land: Land, tmp_path: Path, spread: float
) -> None:
    land.cut(land.select(access="mobile"), NOON, NOON + 2 * LASTS, spread)
    (incident,) = play(land, tmp_path)
    assert incident.scope == Scope("KZ", access="mobile")
    assert seconds_after(NOON, incident.confirmed_us) <= spread + 120


def test_one_operator_that_is_cut_at_noon_is_told(land: Land, tmp_path: Path) -> None:
    land.cut(land.select(asn=20), NOON, NOON + 2 * LASTS, 60)
    (incident,) = play(land, tmp_path)
    assert incident.scope == Scope("KZ", asn=20)
    assert seconds_after(NOON, incident.confirmed_us) <= 240
