"""The naive rule and Chocolatine's find a step as early as possible, and no quiet."""

import pytest

from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    Goodbye,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_collector.sources.replay import Detector, Replay, Signal
from heliograph_lab.evaluate.baselines.chocolatine import chocolatine
from heliograph_lab.evaluate.baselines.naive import naive

T0 = 1_641_168_000 * SECOND_US
CUT = T0 + 3 * HOUR_US
BACK = CUT + HOUR_US
PEOPLE = [VantageRef(f"p{i}", f"p{i}", VantageLocation("KZ", "", 0, "")) for i in range(20)]
HEARD: list[Signal] = [VantageArrival(T0 + i, v) for i, v in enumerate(PEOPLE)]
LOST: list[Signal] = [VantageLoss(CUT + 30 * SECOND_US + i, f"p{i}", CUT) for i in range(14)]
RETURNED: list[Signal] = [VantageArrival(BACK + i, PEOPLE[i]) for i in range(14)]
FAREWELLS: list[Signal] = [Goodbye(CUT + i, f"p{i}") for i in range(14)]


def play(*signals: Signal) -> Replay:
    return Replay("r", 0, T0, CUT + 3 * HOUR_US, [*HEARD, *signals], [], [], PEOPLE)


@pytest.mark.parametrize(
    ("rule", "latest_us", "end_us"),
    [(naive, 62 * SECOND_US, MINUTE_US), (chocolatine, 6 * MINUTE_US, 6 * MINUTE_US)],
)
def test_a_step_is_seen_and_ends(rule: Detector, latest_us: int, end_us: int) -> None:
    (alarm,) = rule(play(*LOST, *RETURNED))
    assert alarm.scope == Scope("KZ")
    assert CUT < alarm.at_us <= CUT + latest_us
    assert alarm.ended_at_us is not None
    assert BACK <= alarm.ended_at_us <= BACK + end_us
    (standing,) = rule(play(*LOST))
    assert standing.ended_at_us is None
    assert rule(play()) == []


def test_a_third_is_not_most_and_a_goodbye_is_no_silence() -> None:
    assert naive(play(*LOST[:7])) == []
    assert naive(play(*FAREWELLS)) == []
