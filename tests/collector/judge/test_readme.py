"""The manual's tables are the rules themselves."""

from collections.abc import Sequence
from pathlib import Path

import heliograph_collector.judge as judge_package
from heliograph_collector.judge import RULES, RULES_VERSION, WHOLE
from heliograph_collector.judge.comparisons import READINGS, SERVICE_ROWS, Row
from heliograph_collector.judge.failure_semantics import LAYERS, method_of
from heliograph_collector.judge.global_context import WORLD_ROWS
from heliograph_collector.judge.rules import Rule
from heliograph_collector.model.records import State

README = Path(judge_package.__file__).with_name("README.md")


def test_readme_lists_the_rules_as_they_are() -> None:
    text = README.read_text(encoding="utf-8")
    readings = (reading_table(r.rows) for r in READINGS.values())
    rest = (reading_table(SERVICE_ROWS), reading_table(WORLD_ROWS))
    for table in (rule_table(), whole_table(), *readings, *rest):
        assert table in text, f"{README.name} is behind; this belongs in it:\n\n{table}"
    assert f"Rules version: **{RULES_VERSION}**" in text


def rule_table() -> str:
    rows = [
        f"| `{r.id}` | {r.state} | {_layer(r)} | {_method(r)} | {_strength(r)} | {r.says} |"
        for r in RULES
    ]
    head = ["| rule | state | layer | method | strength | says |", "| --- " * 6 + "|"]
    return "\n".join([*head, *rows])


def whole_table() -> str:
    rows = [f"| `{r.id}` | {r.state} | {r.says} |" for r in WHOLE]
    return "\n".join(["| rule | state | says |", "| --- " * 3 + "|", *rows])


def reading_table(rows: Sequence[Row]) -> str:
    lines = [
        f"| `{r.id}` | {r.state} | {r.layer} | {r.method} | {r.strength:g} | {r.says} |"
        if r.strength
        else f"| `{r.id}` | {r.state} | {r.layer} | {r.method} |  | {r.says} |"
        for r in rows
    ]
    head = ["| rule | state | layer | method | strength | says |", "| --- " * 6 + "|"]
    return "\n".join([*head, *lines])


def _layer(rule: Rule) -> str:
    firm = rule.state in (State.BLOCKED, State.DOWN) and rule.step is not None
    return rule.layer or (LAYERS[rule.step] if firm and rule.step else "")


def _method(rule: Rule) -> str:
    firm = rule.state is State.BLOCKED and rule.step is not None
    return rule.method or (method_of(rule.step, rule.word) if firm and rule.step else "")


def _strength(rule: Rule) -> str:
    if not rule.strength:
        return ""
    return f"{rule.strength:g}" + (f", {rule.backed[1]:g} backed" if rule.backed else "")
