"""`heliograph-collector geo install`: open tables that tell country and network of an address."""

import argparse
from pathlib import Path
from typing import Any

from heliograph_collector.cli import CommandError, add_places, config_of


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "geo",
        help="install country and network tables",
        description="Installs open tables from the archives that `npm pack` fetches.",
        epilog="Example: heliograph-collector geo install ip-location-db-*.tgz",
        allow_abbrev=False,
    )
    actions = command.add_subparsers(dest="action", metavar="install", required=True)
    installing = actions.add_parser(
        "install",
        help="install from archives",
        epilog="Example: heliograph-collector geo install ip-location-db-*.tgz",
        allow_abbrev=False,
    )
    installing.add_argument("packages", nargs="+", metavar="PACKAGE.tgz", type=Path)
    add_places(installing)


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.ingest.geo.install import CREDIT, GeoDataError, install

    folder = config_of(args).data / "geo"
    for package in args.packages:
        try:
            print(install(package, folder))
        except GeoDataError as error:
            raise CommandError(str(error)) from error
    print(f"A running collector reads them at its next start. Credit to show: {CREDIT}")
    return 0
