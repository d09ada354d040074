"""`heliograph-agent probe`: run one experiment now, without a collector.

The work is in `probe_run`, which is loaded by this command alone: every other one starts faster.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heliograph_agent.cli import Subparsers


def add_parser(subparsers: "Subparsers") -> None:
    parser = subparsers.add_parser(
        "probe",
        help="run one experiment now and show every step",
        description="Runs one experiment from this machine and shows each step. Needs no "
        "collector; stores and sends nothing. See `heliograph-agent experiments` for the list.",
        epilog="Example: heliograph-agent probe web https://www.example.org/ --json",
        allow_abbrev=False,
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help="web, dns, tls, telegram …")
    parser.add_argument("target", metavar="TARGET", nargs="?", default="", help="URL, host, …")
    parser.add_argument(
        "--option",
        metavar="K=V",
        action="append",
        default=[],
        help="an option of the experiment, or a key of the configuration (net.resolver=…)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="JSON lines: what was tested and what it means, then the steps",
    )
    _allow_target_anywhere(parser)


def run(args: argparse.Namespace) -> int:
    """Return 0 when it ran, whatever the network did; 1 on failure; 2 on wrong usage."""
    from heliograph_agent.cli.probe_run import run_probe

    return run_probe(args)


def _allow_target_anywhere(parser: argparse.ArgumentParser) -> None:
    """Accept TARGET after options.

    Before Python 3.13 argparse finds an optional TARGET only directly after EXPERIMENT.
    """
    parse = parser.parse_known_args

    def parse_known_args(args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        parsed, rest = parse(args, namespace)
        if not parsed.target and rest and not rest[0].startswith("-"):
            parsed.target = rest.pop(0)
        return parsed, rest

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign, assignment]
