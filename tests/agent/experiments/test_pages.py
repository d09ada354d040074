"""The shared registry, the agent's functions, their pages and tests match."""

import re
from pathlib import Path

import pytest

from heliograph import experiments as shared
from heliograph.experiments.options import options_of
from heliograph_agent import experiments
from heliograph_agent.experiments.experiment import Experiment

FOLDER = Path(experiments.__file__).parent
TESTS = Path(__file__).parent
# Messengers with a separate function share a test file with those that have none.
SHARED_TESTS = {"telegram", "whatsapp", "signal"}
VISITS = {"signal", "telegram", "whatsapp"}  # they only visit a service
SHARED_MODULES = {"experiment", "endpoints", "page_url"}  # what experiments are made of


def test_every_entry_of_the_registry_has_its_function_and_every_function_an_entry() -> None:
    wanted = {entry.function_name for entry in shared.REGISTRY.values()}
    assert wanted == experiments.FUNCTIONS.keys(), "a line in agent/…/experiments/__init__.py"
    assert [experiment.name for experiment in experiments.REGISTRY] == list(shared.REGISTRY)


@pytest.mark.parametrize("experiment", experiments.REGISTRY, ids=lambda e: e.name)
def test_an_experiment_has_its_page(experiment: Experiment) -> None:
    page = (FOLDER / f"{experiment.function_name}.md").read_text()
    assert page.startswith(f"# {experiment.function_name}\n")
    for part in ("Question.", "Target.", "Packets.", "Fields.", "Blind spots."):
        assert f"**{part}**" in page
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert named == {option.key for option in options_of(experiment.config)}


def test_there_is_no_page_and_no_module_of_nothing() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == experiments.FUNCTIONS.keys()
    modules = {path.stem for path in FOLDER.glob("[!_]*.py")} - SHARED_MODULES
    assert modules == experiments.FUNCTIONS.keys() - VISITS


def test_every_function_has_its_test_file() -> None:
    tested = {path.stem.removeprefix("test_") for path in TESTS.glob("test_*.py")}
    assert experiments.FUNCTIONS.keys() - SHARED_TESTS <= tested


@pytest.mark.parametrize("name", sorted(experiments.FUNCTIONS.keys() - VISITS))
def test_a_function_is_named_after_its_module(name: str) -> None:
    function = experiments.FUNCTIONS[name]
    assert (function.__name__, function.__module__.rpartition(".")[2]) == (name, name)
