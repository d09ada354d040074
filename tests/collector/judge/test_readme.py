"""The manual's tables are the rules themselves."""

from collections.abc import Sequence
from pathlib import Path

import heliograph_collector.judge as judge_package
from heliograph_collector.judge import GLOBAL_CONTEXT_RULES, RULES, RULES_VERSION, SERVICE_RULES
from heliograph_collector.judge.comparisons import (
    COMPARISONS,
    SERVICE_COMPARISON_RULES,
    ComparisonRule,
)
from heliograph_collector.judge.failure_semantics import LAYER_BY_OPERATION, find_method
from heliograph_collector.judge.rules import Rule
from heliograph_collector.model.records import VerdictState

HEAD = ["| rule | state | layer | method | strength | says |", "| --- " * 6 + "|"]
README = Path(judge_package.__file__).with_name("README.md")


def test_readme_lists_the_rules_as_they_are() -> None:
    text = README.read_text(encoding="utf-8")
    comparisons = (comparison_table(r.rules) for r in COMPARISONS.values())
    rest = (comparison_table(SERVICE_COMPARISON_RULES), comparison_table(GLOBAL_CONTEXT_RULES))
    for table in (rule_table(), service_table(), *comparisons, *rest):
        assert table in text, f"{README.name} is behind; this belongs in it:\n\n{table}"
    assert f"Rules version: **{RULES_VERSION}**" in text


def rule_table() -> str:
    rows = [
        f"| `{r.id}` | {r.state} | {_layer(r)} | {_method(r)} | {_strength(r)} | {r.says} |"
        for r in RULES
    ]
    return "\n".join([*HEAD, *rows])


def service_table() -> str:
    rows = [f"| `{r.id}` | {r.state} | {r.says} |" for r in SERVICE_RULES]
    return "\n".join(["| rule | state | says |", "| --- " * 3 + "|", *rows])


def comparison_table(rows: Sequence[ComparisonRule]) -> str:
    lines = [
        f"| `{r.id}` | {r.state} | {r.layer} | {r.method} | {_number(r.strength)} | {r.says} |"
        for r in rows
    ]
    return "\n".join([*HEAD, *lines])


def _layer(rule: Rule) -> str:
    firm = rule.state in (VerdictState.BLOCKED, VerdictState.DOWN) and rule.step is not None
    return rule.layer or (LAYER_BY_OPERATION[rule.step] if firm and rule.step else "")


def _method(rule: Rule) -> str:
    firm = rule.state is VerdictState.BLOCKED and rule.step is not None
    return rule.method or (find_method(rule.step, rule.failure) if firm and rule.step else "")


def _strength(rule: Rule) -> str:
    return _number(rule.strength) + (f", {rule.support[1]:g} backed" if rule.support else "")


def _number(strength: float) -> str:
    return f"{strength:g}" if strength else ""
