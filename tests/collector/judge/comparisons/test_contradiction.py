"""Controls that disagree: one passed a step that another one failed."""

import pytest

from heliograph_collector.judge.comparisons.table import ComparisonRule, Facts
from heliograph_collector.model.records import VerdictState


@pytest.mark.parametrize(
    ("state", "needs", "facts", "holds"),
    [
        ("blocked", "name_reset control_name_passed", "", True),
        ("blocked", "name_reset control_name_passed", "control_name_failed", False),
        ("blocked", "name_reset control_name_passed", "control_other_failed", True),
        ("blocked", "name_reset control_name_passed", "name_failed", True),
        ("blocked", "name_reset", "control_name_failed", True),
        ("reachable", "name_passed control_name_passed", "control_name_failed", True),
        ("unknown", "name_reset control_name_passed", "control_name_failed", True),
    ],
)
def test_nothing_is_blamed_where_one_control_passed_and_another_failed(
    state: str, needs: str, facts: str, holds: bool
) -> None:
    """No state is blamed where one control passed and another failed.

    A failed control may show that the server failed for all; such a rule needs no pass.
    """
    rule = ComparisonRule("x.y", VerdictState(state), "", needs=needs)
    seen: Facts = dict.fromkeys((needs + " " + facts).split(), (0,))
    assert rule.matches(seen) is holds
