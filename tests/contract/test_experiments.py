"""The registry of experiments is consistent with what is derived from it."""

import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from heliograph import voice_code
from heliograph.experiments import REGISTRY, Category, ExperimentEntry, category_of, ooni_name
from heliograph.services import load_shipped_services
from heliograph_collector.sources import ooni

ROOT = Path(__file__).parents[2]
ENTRIES = pytest.mark.parametrize("entry", REGISTRY.values(), ids=lambda entry: entry.name)


def test_the_numbers_of_the_code_for_the_telephone_never_change() -> None:
    """The numbers of the telephone code never change.

    Agents in the field use these positions, and seven digits have no space for a fifteenth.
    """
    assert voice_code.CLASSES == (
        "domestic", "foreign", "dns", "telegram", "whatsapp", "signal", "facebook_messenger",
        "viber", "threema", "matrix", "discord", "wechat", "line", "tor",
    )  # fmt: skip
    assert set(voice_code.CLASSES[3:]) <= REGISTRY.keys()
    assert 3 ** len(voice_code.CLASSES) <= 10**7 < 3 ** (len(voice_code.CLASSES) + 1)


@pytest.mark.parametrize("field", ["replies", "protocols"])
def test_a_word_has_one_label_whichever_experiment_says_it(field: str) -> None:
    labels = defaultdict(set)
    for entry in REGISTRY.values():
        for word, label in getattr(entry, field).items():
            labels[word].add(label)
    assert {word: said for word, said in labels.items() if len(said) > 1} == {}


def test_ooni_s_tests_are_each_one_experiment_s_and_can_be_imported() -> None:
    tests = [entry.ooni_test for entry in REGISTRY.values() if entry.ooni_test]
    assert len(set(tests)) == len(tests)
    assert set(tests) <= ooni.TEST_READERS.keys()
    assert (ooni_name("web"), ooni_name("sni")) == ("web_connectivity", "sni")


@ENTRIES
def test_required_distribution_is_a_path_in_this_repository(entry: ExperimentEntry) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [f".[{extra}]" for extra in project["optional-dependencies"]]
    assert entry.requires in ("", "./agent/raw", *extras)
    assert (ROOT / entry.requires.partition("[")[0] / "pyproject.toml").exists()


def test_shipped_services_and_default_targets_belong_together() -> None:
    experiment_by_service = {s.name: s.experiment for s in load_shipped_services().services}
    assert set(experiment_by_service.values()) <= REGISTRY.keys()
    for entry in REGISTRY.values():
        if entry.default_target:
            assert experiment_by_service[entry.default_target] == entry.name


def test_the_manual_names_every_category_that_can_be_opted_out_of() -> None:
    manual = (ROOT / "agent/README.md").read_text()
    (row,) = [line for line in manual.splitlines() if line.startswith("| `opt_out.tests`")]
    assert [category for category in Category if f"`{category}`" not in row] == []


def test_what_this_edition_does_not_know_is_left_out_with_the_network() -> None:
    assert category_of("viber") is Category.MESSENGERS
    assert category_of("not_yet_known") is Category.NETWORK
