"""A country that stays dark for days is not usual again because a day has forgotten it."""

from types import SimpleNamespace
from typing import cast

import pytest

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.detect.level.cell_counts import CellTest, Sample
from heliograph_collector.detect.level.fall import LevelFall
from heliograph_collector.detect.level.fall_end import is_usual_again
from heliograph_collector.detect.silence.cell_members import build_part
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.incidents.incident import Bracket, HoldReason
from heliograph_collector.model.scope import Scope
from support.presence_model import T0, country

FELL_US = T0 + 5 * DAY_US


def _is_over(lasts_us: int, back: int, *held: HoldReason) -> bool:
    """Ask of 20 that fell over an hour, of whom so many are back; two others never fell."""
    people = [VantagePresence(witness) for witness in country(each=3)[:22]]
    for number, vantage in enumerate(people[2:]):
        vantage.lost_us = FELL_US + number * HOUR_US // 20
        is_back = number < back
        vantage.status = PresenceStatus.LIVE if is_back else PresenceStatus.SILENT
        vantage.back_us = FELL_US + lasts_us if is_back else 0
    scope = Scope("KZ")
    fall = LevelFall(
        scope=scope,
        started=Bracket(FELL_US, FELL_US + HOUR_US),
        suspected_us=FELL_US + HOUR_US,
        part=build_part(scope, people),
        id="fall",
        held=held,
    )
    test = SimpleNamespace(is_usual=True, is_whole=True, usual=SimpleNamespace(days=5))
    presence = SimpleNamespace(list_inside=lambda _: people)
    sample = SimpleNamespace(now_us=FELL_US + lasts_us, presence=presence)
    return is_usual_again(fall, cast("CellTest", test), cast("Sample", sample))


@pytest.mark.parametrize("held", [(), (HoldReason.POWER,), (HoldReason.COMMON,)])
@pytest.mark.parametrize(("back", "is_over"), [(0, False), (9, False), (10, True), (20, True)])
def test_a_country_dark_for_a_day_is_over_when_half_are_back(
    held: tuple[HoldReason, ...], back: int, is_over: bool
) -> None:
    assert _is_over(DAY_US + HOUR_US, back, *held) is is_over


def test_people_who_may_have_switched_off_have_left_after_a_day_and_all_after_a_week() -> None:
    assert _is_over(DAY_US + HOUR_US, 0, HoldReason.HABIT)
    assert _is_over(7 * DAY_US + HOUR_US, 0, HoldReason.POWER)


def test_a_level_that_is_usual_within_a_day_is_over() -> None:
    assert _is_over(10 * HOUR_US, 0, HoldReason.POWER)
