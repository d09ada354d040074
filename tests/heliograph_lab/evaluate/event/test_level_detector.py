"""Our detector of levels: drops against a robust past, in three states, and no vantages claimed."""

import math
from collections.abc import Sequence

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.replay import Replay, Series
from heliograph_lab.evaluate.event.detectors import (
    Drop,
    LevelState,
    classify_steps,
    detect_level_drops,
    find_drops,
)

HOUR_US = 3_600 * SECOND_US
W, L, V, U = LevelState.WELL, LevelState.LOW, LevelState.VERY_LOW, LevelState.UNKNOWN


def series(values: Sequence[float | None], step_us: int = HOUR_US) -> Series:
    return Series(Scope("KZ"), "merit-nt", 0, step_us, values)


def days(n: int, low: float = 20.0, high: float = 60.0) -> list[float]:
    """Hours of a country that sleeps."""
    middle, half = (low + high) / 2, (high - low) / 2
    return [middle - half * math.cos(2 * math.pi * (h % 24) / 24) for h in range(24 * n)]


def test_without_a_past_nothing_is_known_and_a_night_is_no_drop() -> None:
    assert list(classify_steps(series([5.0] * 11 + [0.0]))) == [U] * 12
    assert list(classify_steps(series([5.0] * 12 + [0.0])))[-1] is V
    assert {L, V}.isdisjoint(classify_steps(series(days(10))))


@pytest.mark.parametrize(("share", "standing"), [(0.9, W), (0.7, L), (0.4, V)])
def test_how_low_is_low(share: float, standing: LevelState) -> None:
    usual = days(10)
    now = days(11)[24 * 10]
    assert list(classify_steps(series([*usual, share * now])))[-1] is standing


def test_a_restless_level_must_fall_further() -> None:
    """Every other hour half of the one before: 70 % of the middle is nothing to speak of."""
    noisy = [100.0 if h % 2 else 50.0 for h in range(24 * 10)]
    assert list(classify_steps(series([*noisy, 40.0])))[-1] is W
    assert list(classify_steps(series([*noisy, 24.0])))[-1] is V  # below half of all that ever was


def test_what_sees_a_country_dimly_still_sees_it_go() -> None:
    """A telescope's level wanders by a third from day to day; then there is nothing at all."""
    usual = [value * (1.3 if h // 24 % 2 else 0.8) for h, value in enumerate(days(15))]
    found = list(classify_steps(series([*usual, 0.0, 0.0])))
    assert set(found[24 * 5 : -2]) == {W}
    assert found[-2:] == [V, V]


def test_one_low_step_is_suspected_two_are_confirmed_two_good_ones_end_it() -> None:
    well = [100.0] * 48
    assert find_drops(series([*well, 70.0, 100.0])) == [Drop(47, 48, None, 49)]
    assert find_drops(series([*well, 70.0, 70.0, 100.0, 100.0])) == [Drop(47, 48, 49, 50)]
    assert find_drops(series([*well, 70.0, 70.0, 100.0, 70.0])) == [Drop(47, 48, 49, None)]
    assert find_drops(series([*well, 10.0])) == [Drop(47, 48, 48, None)]
    # What is not known ends nothing and begins nothing.
    assert find_drops(series([*well, None, None, 100.0])) == []
    assert find_drops(series([*well, None, 10.0, None, 10.0])) == [Drop(47, 49, 49, None)]


def test_an_alarm_brackets_the_fall_and_names_its_source() -> None:
    values = [*[100.0] * 48, None, 10.0, 10.0, 100.0, 100.0, 100.0]
    made = Replay("made", 0, 0, len(values) * HOUR_US, (), (), (), (), series=[series(values)])
    (alarm,) = detect_level_drops(made)
    assert (alarm.scope, alarm.layer) == (Scope("KZ"), "merit-nt")
    assert (alarm.kind, alarm.label) == ("cut", "")
    assert alarm.started == (47 * HOUR_US, 50 * HOUR_US)  # good until 47 or so, bad by 49's end
    assert alarm.at_us == 50 * HOUR_US  # when the step is over
    assert alarm.ended == (50 * HOUR_US, 52 * HOUR_US)
    assert alarm.ended_at_us == 53 * HOUR_US
    assert alarm.confirmed


def test_a_lasting_fall_becomes_the_past_after_a_week_and_not_before() -> None:
    values = [*[100.0] * 24 * 20, *[10.0] * 24 * 30]
    (found,) = find_drops(series(values))
    assert (found.first, found.confirmed) == (480, 480)
    assert found.back is not None
    assert found.back > 480 + 24 * 7


def test_a_replay_of_vantages_alone_has_no_levels() -> None:
    assert detect_level_drops(Replay("none", 0, 0, HOUR_US, (), (), (), ())) == []


def test_steps_of_a_minute_take_no_longer_to_look_at_than_is_bearable() -> None:
    """A day of them, after a fortnight: what is looked at per step does not grow with the steps."""
    values = [100.0] * (15 * 1_440)
    assert find_drops(series([*values, 10.0], 60 * SECOND_US)) == [
        Drop(len(values) - 1, len(values), len(values), None)
    ]
