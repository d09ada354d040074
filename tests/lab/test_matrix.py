"""Measure every experiment under every interference, and check the verdicts.

`matrix.yml` is the table; all of it is measured, in one country with a network for each row.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.experiments import REGISTRY
from heliograph.services import load_shipped_services
from heliograph_collector.fleet.plans import build_default_plan
from heliograph_collector.judge.comparisons import COMPARISONS, SERVICE_COMPARISONS
from lab.country import matrix_page
from lab.country.interference import KINDS
from lab.country.matrix import Cells, Row, built, judged, looked, matrix
from lab.country.world import require_for_test

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("drill")]
WANTED = matrix()
README = Path(__file__).with_name("README.md")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cells]:
    require_for_test()
    with built(tmp_path_factory.mktemp("matrix") / "country", WANTED) as (made, filled):
        yield judged(made, WANTED, looked(made, WANTED, filled))


def test_no_experiment_and_no_interference_is_forgotten() -> None:
    """The matrix has every experiment and every interference.

    Experiments that share a function count as one.
    """
    functions = {entry.name: entry.function_name for entry in REGISTRY.values()}
    planned = {
        functions[task.experiment] for task in build_default_plan(load_shipped_services()).tasks
    }
    with_rules = {functions[name] for name in (*COMPARISONS, *SERVICE_COMPARISONS)}
    assert {functions[name] for name in WANTED.experiments} >= (planned | with_rules)
    assert {what["kind"] for row in WANTED.rows for what in row.applied} == set(KINDS)


def test_every_experiment_recognises_something() -> None:
    recognised = {
        column
        for row in WANTED.rows
        for column, cell in row.cells.items()
        if cell not in WANTED.reasons and row.applied
    }
    assert recognised == set(WANTED.columns)


def test_the_readme_shows_the_matrix() -> None:
    shown = matrix_page.shown(WANTED)
    text = README.read_text()
    assert shown in text, "python -m lab.country.matrix_page writes it anew"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("row", WANTED.rows, ids=lambda row: str(row.id))
def test_the_judge_says_of_each_cell_what_the_matrix_says(row: Row, cells: Cells) -> None:
    seen = {column: cells[row.id, column] for column in row.cells}
    wrong = {
        column: f"{seen[column]} and not {cell}"
        for column, cell in row.cells.items()
        if not WANTED.holds(cell, seen[column])
    }
    assert wrong == {}
