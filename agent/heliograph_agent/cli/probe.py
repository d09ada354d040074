"""`heliograph-agent probe`: one experiment, now, from here; needs no collector, stores nothing."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # argparse gives no public name to what add_subparsers() returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001


def add_parser(subparsers: "Subparsers") -> None:
    parser = subparsers.add_parser(
        "probe",
        help="run one experiment now and show every step",
        description="Runs one experiment from this machine and shows each step. Needs no "
        "collector; stores and sends nothing. See `heliograph-agent experiments` for the list.",
        epilog="Example: heliograph-agent probe web https://www.example.org/ --option redirects=0",
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


def run(args: argparse.Namespace) -> int:
    """0 when it ran, whatever the network did; 1 when it could not; 2 on wrong usage."""
    from heliograph_agent.cli import observe

    return observe.run(args)
