"""Command `heliograph-collector serve`: run the collector in the foreground."""

import argparse
import os
from typing import Any

from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    load_cli_config,
    parse_endpoint,
)


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "serve",
        "run the collector",
        "serve --data /var/lib/heliograph --grpc 0.0.0.0:7443",
        description="Runs the collector: entrances for agents, store, pages and API.",
    )
    add_common_options(command)
    command.add_argument(
        "--grpc", type=parse_endpoint, metavar="HOST:PORT", help="gRPC for agents (127.0.0.1:7443)"
    )
    command.add_argument(
        "--http", type=parse_endpoint, metavar="HOST:PORT", help="pages and API (127.0.0.1:8080)"
    )
    command.add_argument(
        "--echo",
        type=parse_endpoint,
        metavar="HOST:PORT",
        help="echo service for `middlebox` (none)",
    )
    command.add_argument(
        "--post",
        type=parse_endpoint,
        metavar="HOST:PORT",
        help="HTTPS for agents, one envelope per connection (none)",
    )


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.app import serve
    from heliograph_collector.config.errors import CannotServeError

    os.umask(0o077)  # journal and store show who sent what, whatever the directory's mode
    config = load_cli_config(args, grpc=args.grpc, http=args.http, echo=args.echo, post=args.post)
    try:
        return serve(config)
    except CannotServeError as error:
        raise CommandError(str(error)) from error
