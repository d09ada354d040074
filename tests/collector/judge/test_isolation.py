"""Decide whether a vantage without anything abroad had a session meanwhile."""

from dataclasses import replace

import pytest

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.judge import judge
from support.scenario import catalogue

ISOLATED = next(scenario for scenario in catalogue() if "anchors.isolated" in scenario.rules)


@pytest.mark.parametrize(
    ("late_us", "rule"),
    [
        (10 * SECOND_US, "anchors.isolated"),
        (2 * MINUTE_US, "anchors.reached"),  # it was kept until a session came back
    ],
)
def test_result_counts_as_isolation_only_when_it_arrives_at_once(late_us: int, rule: str) -> None:
    taken = replace(ISOLATED.taken, received_us=ISOLATED.taken.received_us + late_us)

    assert judge(taken, ISOLATED.control)[-1].rule == rule


def test_vantage_without_a_control_is_not_isolated() -> None:
    alone = replace(ISOLATED.control, measurement=None)

    assert judge(ISOLATED.taken, alone)[-1].rule != "anchors.isolated"
