"""The catalogue of conditions as pure input: observations → judge → verdict."""

from collections import Counter
from typing import Any

import pytest

from heliograph_collector.judge import judge
from heliograph_collector.model.records import VerdictState
from support.condition import Condition, conditions
from support.condition_table import README, table

ROWS = conditions()
ENOUGH = 80


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_condition(row: Condition) -> None:
    """Each condition leads to its verdict, whatever of it the row names."""
    found = {v.endpoint: v for v in judge(row.scenario.taken, row.scenario.control)}
    for endpoint, expected in row.scenario.verdicts.items():
        verdict = found[endpoint]
        seen = {key: _plain(getattr(verdict, key)) for key in expected}
        assert seen == dict(expected), f"{endpoint or 'the whole'}: {verdict}"


def test_there_are_enough_and_each_stands_for_something() -> None:
    assert len(ROWS) >= ENOUGH
    assert [row.name for row in ROWS if len(row.stands_for) < 12 or len(row.says) < 10] == []


def test_names_are_unique() -> None:
    names = Counter(row.name for row in ROWS)
    assert [name for name, times in names.items() if times > 1] == []


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, VerdictState) else value


def test_the_table_for_people_is_fresh() -> None:
    assert README.read_text() == table(ROWS), "cd tests && python -m support.condition_table"
