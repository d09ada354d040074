"""The manual's tables are the rules themselves."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
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
from heliograph_collector.judge.service_rules import ServiceRule
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


def test_readme_tells_evidence_and_blind_spot_of_each_rule() -> None:
    part = README.read_text(encoding="utf-8").partition("## Evidence and blind spots")[2]
    rows = [
        line.split(" | ")
        for line in part.partition("\n## ")[0].splitlines()
        if line.startswith("| `")
    ]
    patterns = [word for row in rows for word in re.findall(r"`([^`]+)`", row[0])]
    known = {rule.id for rule in _list_rules()} | {"time.bad", "writer.not_judged"}
    assert [id_ for id_ in known if not any(fnmatchcase(id_, p) for p in patterns)] == []
    assert [p for p in patterns if not any(fnmatchcase(id_, p) for id_ in known)] == []
    assert [row for row in rows if len([cell for cell in row if len(cell) > 3]) != 4] == []


def test_each_rule_that_the_judge_names_has_its_entry_and_each_entry_its_rule() -> None:
    """Each rule of the judge has an entry, and each entry has a rule.

    Rules outside the tables, which sources name in quotes, too.
    """
    text = README.read_text(encoding="utf-8")
    entries = set(re.findall(r"^\| `([a-z_]+\.[a-z_0-9]+)` \|", text, re.MULTILINE))
    assert entries == {rule.id for rule in _list_rules()}
    families = {id_.partition(".")[0] for id_ in entries} - {"http"}
    folder = Path(judge_package.__file__).parent
    files = [path for path in folder.rglob("*.py") if path.parent.name != "fingerprints"]
    sources = "".join(path.read_text("utf-8") for path in files)
    named = {
        id_
        for id_ in re.findall(r'"([a-z_]+\.[a-z_]+)"', sources)
        if id_.partition(".")[0] in families | {"time", "writer", "uplink", "summary", "digest"}
    }
    assert len(named) > 100
    assert [id_ for id_ in sorted(named) if f"`{id_}`" not in text] == []


def _list_rules() -> list[Rule | ServiceRule | ComparisonRule]:
    comparisons = [rule for comparison in COMPARISONS.values() for rule in comparison.rules]
    return [
        *RULES, *SERVICE_RULES, *comparisons, *SERVICE_COMPARISON_RULES, *GLOBAL_CONTEXT_RULES
    ]  # fmt: skip


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
