"""The catalogue of scenarios, and what must hold of every rule."""

from collections import Counter
from typing import Any

import pytest

from heliograph.failure import Failure
from heliograph_collector.judge import RULES, WHOLE, judge
from heliograph_collector.judge.comparisons import READINGS, SERVICE_ROWS
from heliograph_collector.judge.failure_semantics import LOCAL, METHODS, MUTE
from heliograph_collector.judge.global_context import WORLD_ROWS
from heliograph_collector.model.records import State
from support.scenario import Scenario, catalogue

SCENARIOS = catalogue()
ROWS = (*(row for r in READINGS.values() for row in r.rows), *SERVICE_ROWS, *WORLD_ROWS)
ANCHOR_RULES = {"anchors.reached", "anchors.silent"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_scenario(scenario: Scenario) -> None:
    """Each condition leads to its verdict, by the rule that the catalogue names."""
    found = {v.endpoint: v for v in judge(scenario.taken, scenario.control)}
    for endpoint, expected in scenario.verdicts.items():
        verdict = found[endpoint]
        seen = {key: _plain(getattr(verdict, key)) for key in expected}
        assert seen == dict(expected), f"{endpoint or 'the whole'}: {verdict}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_what_is_known_names_its_evidence(scenario: Scenario) -> None:
    """Indices of observations, unless nothing of it was visited here."""
    for verdict in judge(scenario.taken, scenario.control):
        assert verdict.evidence or verdict.state is State.UNKNOWN, verdict


def test_every_rule_has_a_scenario() -> None:
    shown = {rule for s in SCENARIOS for rule in s.rules}
    known = {rule.id for rule in (*RULES, *WHOLE, *ROWS)} | ANCHOR_RULES
    assert known - shown == set()
    assert shown - known == set()


def test_rule_ids_and_scenario_names_are_unique() -> None:
    for names in (
        [rule.id for rule in (*RULES, *WHOLE, *ROWS)],
        [s.name for s in SCENARIOS],
    ):
        assert [name for name, times in Counter(names).items() if times > 1] == []


def test_every_failure_word_has_a_meaning_and_only_one() -> None:
    methods = {word for words in METHODS.values() for word in words}
    assert methods | LOCAL | MUTE == set(Failure)
    assert methods & LOCAL == set()
    assert (methods | LOCAL) & MUTE == set()


def test_every_method_of_interference_has_a_rule() -> None:
    """A word that can be interference is taken up by a rule that names its step."""
    for operation, words in METHODS.items():
        for word in words:
            rows = [r for r in RULES if r.step is operation and r.word in (word, None)]
            assert rows, f"{operation} {word}"


def test_only_blocking_needs_more_than_the_vantage() -> None:
    """No row that blocks stands alone, and none is without strength."""
    for rule in (*RULES, *ROWS):
        assert not (rule.alone and rule.state is State.BLOCKED), rule.id
        assert (rule.strength > 0) == (rule.state is not State.UNKNOWN), rule.id


def _plain(value: Any) -> Any:
    if isinstance(value, State):
        return value.value
    return list(value) if isinstance(value, tuple) else value
