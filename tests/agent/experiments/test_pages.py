"""Every experiment has its page beside it, which asks its question and names each option."""

import re
from pathlib import Path

import pytest

from heliograph_agent import experiments
from heliograph_agent.experiment import Experiment, options_of

FOLDER = Path(experiments.__file__).parent


@pytest.mark.parametrize("experiment", experiments.REGISTRY, ids=lambda e: e.name)
def test_an_experiment_has_its_page(experiment: Experiment) -> None:
    page = (FOLDER / f"{_module(experiment)}.md").read_text()
    assert experiment.name in page
    for part in ("Question.", "Target.", "Packets.", "Fields.", "Blind spots."):
        assert f"**{part}**" in page
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert named == {option.key for option in options_of(experiment.config)}


def test_there_is_no_page_and_no_module_of_nothing() -> None:
    names = {_module(experiment) for experiment in experiments.REGISTRY}
    assert {path.stem for path in FOLDER.glob("*.md")} == names
    assert {path.stem for path in FOLDER.glob("[!_]*.py")} == names


@pytest.mark.parametrize("experiment", experiments.REGISTRY, ids=lambda e: e.name)
def test_an_experiment_is_named_after_its_function(experiment: Experiment) -> None:
    """Messengers share one: all that tells them apart is their service."""
    assert experiment.run.__name__ == _module(experiment)
    assert experiment.name in (_module(experiment), experiment.default_target)


def _module(experiment: Experiment) -> str:
    return experiment.run.__module__.rpartition(".")[2]
