"""`heliograph-agent experiments`: what can be run, and with which options."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from heliograph_agent.experiment import Experiment, options_of

if TYPE_CHECKING:
    from heliograph_agent.cli.probe import Subparsers


def add_parser(subparsers: "Subparsers") -> None:
    parser = subparsers.add_parser(
        "experiments",
        help="list the experiments and their options",
        description="Lists the experiments, what each wants as its target, and its options.",
        epilog="example: heliograph-agent experiments --json",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per experiment")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from heliograph_agent.experiments import REGISTRY

    if args.json:
        for experiment in REGISTRY:
            print(json.dumps(described(experiment)))
        return 0
    for experiment in REGISTRY:
        target = experiment.wants.upper() if experiment.wants != "none" else ""
        if experiment.default_target:
            target = f"[{target}={experiment.default_target}]"
        print(f"{experiment.name:<13}{target:<22}{experiment.title}")
        for option in options_of(experiment.config):
            print(f"{'':<15}{option.key}={option.default!s:<18} {option.help}; {option.allowed}")
    return 0


def described(experiment: Experiment) -> dict[str, Any]:
    """An experiment as a JSON object."""
    return {
        "name": experiment.name,
        "version": experiment.version,
        "title": experiment.title,
        "wants": experiment.wants,
        "default_target": experiment.default_target,
        "options": [asdict(option) for option in options_of(experiment.config)],
    }
