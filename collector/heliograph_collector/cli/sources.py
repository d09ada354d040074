"""Command `heliograph-collector sources`: other projects' reports beside our data."""

import argparse
import asyncio
import json
import random
from typing import Any

from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    load_cli_config,
    make_integer_parser,
    parse_country,
    parse_day,
    parse_last_day,
)


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "sources",
        "what other projects report",
        "sources fetch ioda --country KZ --since 2022-01-01 --until 2022-01-31",
        description="Fetches the outages that other projects report and keeps them apart, with "
        "credit: pages of chosen days show them beside our rows. They never vote.",
    )
    kinds = command.add_subparsers(dest="kind", metavar="ACTION", required=True)
    listing = add_command(kinds, "list", "sources, and which are on", "sources list")
    listing.add_argument("--json", action="store_true", help="print a JSON object")
    add_common_options(listing)
    fetch = add_command(
        kinds,
        "fetch",
        "past outages of a country or network",
        "sources fetch radar --country KZ --asn 9198 --since 2022-01-01",
        description="A query tells the source what we watch, so it must be named in "
        "corroborate.sources of the configuration.",
    )
    fetch.add_argument("source", choices=("ioda", "radar"), help="whom to ask")
    fetch.add_argument(
        "--country", type=parse_country, required=True, metavar="CC", help="such as KZ"
    )
    fetch.add_argument(
        "--asn",
        type=make_integer_parser(2**32 - 1),
        default=0,
        metavar="N",
        help="a network of it alone",
    )
    fetch.add_argument(
        "--since", type=parse_day, required=True, metavar="DAY", help="first day, UTC"
    )
    fetch.add_argument("--until", type=parse_last_day, metavar="DAY", help="last day, UTC (today)")
    add_common_options(fetch)


def run(args: argparse.Namespace) -> int:
    return _list_sources(args) if args.kind == "list" else asyncio.run(_fetch(args))


def _list_sources(args: argparse.Namespace) -> int:
    from heliograph_collector.app.outside import REPORTERS

    config = load_cli_config(args)
    if args.json:
        print(json.dumps({name: name in config.corroborate for name in REPORTERS}))
        return 0
    for name in REPORTERS:
        state = "on" if name in config.corroborate else "off (corroborate.sources)"
        print(f"{name:8} {state}")
    return 0


async def _fetch(args: argparse.Namespace) -> int:
    from heliograph.clock import SystemClock
    from heliograph_collector.app.outside import (
        NotConfiguredError,
        SourceError,
        fetch_outages,
        store_outages,
    )
    from heliograph_collector.config.errors import CannotServeError
    from heliograph_collector.store.imported_results import (
        ImportedResultsError,
    )

    config = load_cli_config(args)
    clock = SystemClock()
    now_us = clock.wall_us()
    until_us = now_us if args.until is None else min(args.until, now_us)
    if args.since >= until_us:
        raise CommandError("--since must not lie after --until, nor in days to come.")
    place = (args.country, args.asn)
    window = (args.since, until_us)
    try:
        outages = await fetch_outages(
            config,
            args.source,
            place,
            window,
            clock=clock,
            rng=random.Random(),  # noqa: S311 no secret: when to ask
            pause=asyncio.sleep,
        )
        store_outages(config, args.source, place, window, outages)
    except (NotConfiguredError, SourceError, CannotServeError, ImportedResultsError) as error:
        raise CommandError(str(error)) from error
    print(f"{len(outages)} outages reported by {args.source}.")
    return 0
