"""The catalogue of scenarios, and what must hold of every rule."""

from collections import Counter

import pytest

from heliograph.failure import Failure
from heliograph_collector.judge import GLOBAL_CONTEXT_RULES, RULES, SERVICE_RULES, judge
from heliograph_collector.judge.comparisons import (
    COMPARISONS,
    SERVICE_COMPARISON_RULES,
    ComparisonRule,
)
from heliograph_collector.judge.failure_semantics import (
    INCONCLUSIVE_FAILURES,
    LOCAL_FAILURES,
    METHOD_BY_FAILURE,
)
from heliograph_collector.judge.rules import Rule
from heliograph_collector.judge.service_rules import ServiceRule
from heliograph_collector.model.records import VerdictState
from support.condition import check_verdicts
from support.scenario import Scenario, catalogue

SCENARIOS = catalogue()
ROWS: tuple[ComparisonRule, ...] = (
    *(row for r in COMPARISONS.values() for row in r.rules),
    *SERVICE_COMPARISON_RULES,
    *GLOBAL_CONTEXT_RULES,
)
JUDGING_RULES: tuple[Rule | ComparisonRule, ...] = (*RULES, *ROWS)
ALL_RULES: tuple[Rule | ComparisonRule | ServiceRule, ...] = (*JUDGING_RULES, *SERVICE_RULES)
ANCHOR_RULES = {"anchors.isolated", "anchors.reached", "anchors.silent"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_scenario(scenario: Scenario) -> None:
    """Each condition leads to its verdict, by the rule that the catalogue names.

    It names its evidence, unless nothing of it was visited here.
    """
    verdicts = judge(scenario.taken, scenario.control)
    check_verdicts(verdicts, scenario.verdicts)
    for verdict in verdicts:
        assert verdict.evidence or verdict.state is VerdictState.UNKNOWN, verdict


def test_every_rule_has_a_scenario() -> None:
    shown = {rule for s in SCENARIOS for rule in s.rules}
    known = {rule.id for rule in ALL_RULES} | ANCHOR_RULES
    assert known - shown == set()
    assert shown - known == set()


def test_rule_ids_and_scenario_names_are_unique() -> None:
    for names in ([rule.id for rule in ALL_RULES], [s.name for s in SCENARIOS]):
        assert [name for name, times in Counter(names).items() if times > 1] == []


def test_every_failure_has_one_meaning() -> None:
    methods = {word for words in METHOD_BY_FAILURE.values() for word in words}
    assert methods | LOCAL_FAILURES | INCONCLUSIVE_FAILURES == set(Failure)
    assert methods & LOCAL_FAILURES == set()
    assert (methods | LOCAL_FAILURES) & INCONCLUSIVE_FAILURES == set()


def test_every_interference_has_a_rule() -> None:
    """A word that can be interference is taken up by a rule that names its step."""
    for operation, words in METHOD_BY_FAILURE.items():
        for word in words:
            rows = [r for r in RULES if r.step is operation and r.failure in (word, None)]
            assert rows, f"{operation} {word}"


def test_blocking_rules_need_a_control() -> None:
    """Blocking rules need a control, except fingerprints, and all have a strength."""
    for rule in JUDGING_RULES:
        is_alone = rule.needs_no_control and rule.state is VerdictState.BLOCKED
        assert is_alone == rule.id.endswith(".fingerprint"), rule.id
        assert (rule.strength > 0) == (rule.state is not VerdictState.UNKNOWN), rule.id
