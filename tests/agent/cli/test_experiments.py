"""`experiments`: what can be run is listed, for people and for programs."""

import argparse
import json

import pytest

from heliograph_agent.cli import experiments
from heliograph_agent.experiments import REGISTRY


def test_people_see_every_experiment_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert experiments.run(argparse.Namespace(json=False)) == 0
    out = capsys.readouterr().out
    for experiment in REGISTRY:
        assert f"\n{experiment.name} " in f"\n{out}"
        assert experiment.title in out
    assert "sni=true" in out
    assert "[SERVICE=telegram]" in out


def test_programs_see_an_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert experiments.run(argparse.Namespace(json=True)) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [item["name"] for item in listed] == [experiment.name for experiment in REGISTRY]
    web = next(item for item in listed if item["name"] == "web")
    assert (web["wants"], web["version"]) == ("url", 2)
    assert {
        "key": "redirects",
        "type": "int",
        "default": 10,
        "help": "redirects followed",
        "allowed": "0 to 10",
    } in web["options"]
