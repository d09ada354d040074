"""`heliograph-agent probe`: one experiment, now, from here; needs no collector, stores nothing."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # argparse gives no public name to what add_subparsers() returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001


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
    parser.add_argument("--json", action="store_true", help="observations as JSON lines")
    _take_target_anywhere(parser)


def run(args: argparse.Namespace) -> int:
    """0 when it ran, whatever the network did; 1 when it could not; 2 on wrong usage."""
    from heliograph_agent.cli import observe

    return observe.run(args)


def _take_target_anywhere(parser: argparse.ArgumentParser) -> None:
    """Before Python 3.13 argparse finds an optional TARGET only right behind EXPERIMENT."""
    parse = parser.parse_known_args

    def parse_known_args(args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        known, rest = parse(args, namespace)
        if not known.target and rest and not rest[0].startswith("-"):
            known.target = rest.pop(0)
        return known, rest

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign, assignment]
