"""`heliograph-agent experiments`: list the experiments and their options."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heliograph_agent.cli import Subparsers
    from heliograph_agent.experiments.experiment import Experiment


def add_parser(subparsers: "Subparsers") -> None:
    parser = subparsers.add_parser(
        "experiments",
        help="list the experiments and their options",
        description="Lists the experiments, the kind of target each takes, and its options.",
        epilog="Example: heliograph-agent experiments --json",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per experiment")


def run(args: argparse.Namespace) -> int:
    from heliograph_agent.experiments import REGISTRY

    for experiment in REGISTRY:
        if args.json:
            print(_format_json(experiment))
        else:
            _print_experiment(experiment)
    return 0


def _print_experiment(experiment: "Experiment") -> None:
    from heliograph.experiments.options import options_of

    target = experiment.target_kind.upper() if experiment.target_kind != "none" else ""
    if experiment.default_target:
        target = f"[{target}={experiment.default_target}]"
    print(f"{experiment.name} {target}".rstrip())
    print(f"    {experiment.title}")
    if experiment.requires:
        print(f"    needs pip install '{experiment.requires}' in a checkout of Heliograph")
    options = options_of(experiment.config)
    settings = [f"{option.key}={_format_default(option.default)}" for option in options]
    width = max(map(len, settings), default=0)
    for setting, option in zip(settings, options, strict=True):
        print(f"      {setting:<{width}}  {option.help} ({option.allowed})")


def _format_default(value: bool | int | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _format_json(experiment: "Experiment") -> str:
    import json
    from dataclasses import asdict

    from heliograph.experiments.options import options_of

    return json.dumps(
        {
            "name": experiment.name,
            "version": experiment.version,
            "title": experiment.title,
            "category": experiment.category.value,
            "requires": experiment.requires,
            "wants": experiment.target_kind,
            "default_target": experiment.default_target,
            "options": [asdict(option) for option in options_of(experiment.config)],
        }
    )
