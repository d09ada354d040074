"""Phones that are put away for a prayer are no cut; an order at that hour is one."""

from pathlib import Path
from random import Random

import pytest

from heliograph_collector.model.scope import Scope
from support.foreign_world import DAY, HOUR, Down, Land, Person, play, seconds_after
from support.reported_events import MINUTE

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


FEAST = 2.5 * HOUR  # half past seven of Thursday in Kazakhstan


@pytest.fixture
def feast_land() -> Land:
    made = Land(Random(3), FEAST - 2 * HOUR, 5)
    made.settle(phones=(14, 12))
    return made


def _fade_phones(land: Land, share: float, lasts: float) -> list[Person]:
    """Let this share of phones fall silent one by one, within half an hour."""
    gone = [p for p in land.select(access="mobile") if land.rng.random() < share]
    for phone in gone:
        since = FEAST + land.rng.gauss(0, 400)
        phone.downs.append(Down(since, since + lasts + land.rng.gauss(0, 500)))
    return gone


def test_phones_put_away_for_a_feast_are_no_cut(feast_land: Land, tmp_path: Path) -> None:
    _fade_phones(feast_land, 0.75, 50 * MINUTE)
    assert play(feast_land, tmp_path) == []


@pytest.mark.parametrize(("tell", "within"), [(0, 90 * MINUTE), (4, 45 * MINUTE)])
def test_phones_that_fade_for_hours_are_told(
    feast_land: Land, tmp_path: Path, tell: int, within: float
) -> None:
    """Phones that fade for hours are found.

    After a while, or as soon as some find a Wi-Fi and report that no anchor had answered.
    """
    gone = _fade_phones(feast_land, 0.75, 2.5 * HOUR)
    for phone in gone[:tell]:
        away = phone.downs[-1]
        away.until = FEAST + 30 * MINUTE
        away.told, away.asn, away.access, away.prefix = False, 10, "fixed", phone.name
    (incident,) = play(feast_land, tmp_path)
    assert incident.scope == Scope("KZ", access="mobile")
    assert seconds_after(FEAST, incident.confirmed_us) <= within


def test_operators_cut_in_turn_are_told(feast_land: Land, tmp_path: Path) -> None:
    """Each at once, a quarter of its phones eludes: no phones that people put away."""
    for number, asn in enumerate((20, 21)):
        phones = feast_land.select(asn=asn)
        at = FEAST + number * 10 * MINUTE
        feast_land.cut(phones[len(phones) // 4 :], at, FEAST + 3 * HOUR, 60)
    incident, *_ = play(feast_land, tmp_path)
    assert seconds_after(FEAST, incident.confirmed_us) <= 240
