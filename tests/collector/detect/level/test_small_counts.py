"""Counts of few things, of which an hour sees none by chance."""

import math
import random
from collections.abc import Sequence

import pytest

from heliograph.units import HOUR_US
from heliograph_collector.detect.level.detector import detect_levels
from heliograph_collector.detect.level.small_counts import find_log_chance, find_unit
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.scope import Scope


def find(values: Sequence[float]) -> list[Incident]:
    readings = [
        LevelReading(hour * HOUR_US, HOUR_US, Scope("UG"), "mozilla", value)
        for hour, value in enumerate(values)
    ]
    return list(detect_levels(readings, readings[-1].until_us))


def count_cities(most: int, days: int, draw: random.Random) -> list[int]:
    """Count the cities of each hour; a fifth of them by night, and one more or less by chance."""
    usual = [
        most * (0.6 - 0.4 * math.cos(math.tau * (hour % 24) / 24)) for hour in range(24 * days)
    ]
    return [max(0, min(most, round(draw.gauss(mean, 0.9)))) for mean in usual]


@pytest.mark.parametrize("most", [4, 7, 12])
@pytest.mark.parametrize("is_share", [False, True], ids=["counts", "shares of the highest"])
def test_few_cities_that_are_missed_by_chance_are_no_drop(most: int, *, is_share: bool) -> None:
    for seed in range(4):
        counts = count_cities(most, 28, random.Random(seed))
        values = [100 * count / max(counts) for count in counts] if is_share else counts
        assert [i for i in find(values) if i.confirmed_us is not None] == []


@pytest.mark.parametrize(("most", "latest_h"), [(5, 5), (40, 2)])
def test_a_cut_is_told_once_it_is_no_chance_that_all_are_missed(most: int, latest_h: int) -> None:
    counts = count_cities(most, 28, random.Random(1))
    cut_h = 24 * 25 + 10
    counts[cut_h : cut_h + 8] = [0] * 8
    (incident,) = [i for i in find(counts) if i.confirmed_us is not None]
    assert incident.confirmed_us is not None
    assert incident.confirmed_us <= (cut_h + latest_h) * HOUR_US


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([3, 0, 5, None], 1.0),
        ([100 * n / 7 for n in range(8)], 100 / 7),
        ([40.0, 20.0, 100.0, 60.0], 20.0),
        ([9000, 9031, 8990], None),  # many
        ([97.0, 96.0, 98.0, 55.0], None),  # percent
        ([0.71, 0.734, 0.9021], None),
        ([None, 0], None),
    ],
)
def test_the_unit_of_what_is_counted(values: Sequence[float | None], unit: float | None) -> None:
    found = find_unit(values)
    assert found == (None if unit is None else pytest.approx(unit))


def test_the_chance_of_a_low_count_is_poissons() -> None:
    assert math.exp(find_log_chance(0, 4)) == pytest.approx(math.exp(-4))
    assert math.exp(find_log_chance(2, 4)) == pytest.approx(13 * math.exp(-4))
