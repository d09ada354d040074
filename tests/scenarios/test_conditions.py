"""The catalogue of conditions as pure input: observations → judge → verdict."""

import pytest

from heliograph_collector.judge import judge
from support.condition import README, Condition, check_verdicts, conditions, table

ROWS = conditions()
ENOUGH = 80


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_condition(row: Condition) -> None:
    """Each condition leads to its verdict, whatever of it the row names."""
    check_verdicts(judge(row.scenario.taken, row.scenario.control), row.scenario.verdicts)


def test_there_are_enough_of_unique_names_and_each_stands_for_something() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= ENOUGH
    assert [row.name for row in ROWS if len(row.stands_for) < 12 or len(row.says) < 10] == []


def test_the_table_for_people_is_fresh() -> None:
    assert README.read_text() == table(ROWS), "cd tests && python -m support.condition"
