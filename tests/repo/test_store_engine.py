"""The embedded store's engine is one of two distributions, by explicit choice."""

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ENGINES = {"chdb-core-lite", "chdb-core"}
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_either_engine_can_be_chosen_and_everything_else_is_the_same() -> None:
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    choices = [extras["collector"], extras["collector-whole-engine"]]
    engines = {rest.partition(">")[0] for shared, rest in choices}
    assert engines == ENGINES
    assert {shared for shared, rest in choices} == {"heliograph[collector-without-engine]"}
    assert not any(line.startswith("chdb") for line in extras["collector-without-engine"])


def test_one_engine_is_installed() -> None:
    (engine,) = set(packages_distributions()["chdb"])
    assert engine in ENGINES
