"""Command `heliograph-collector serve`: run the collector in the foreground."""

import argparse
import asyncio
import logging
import os
import signal
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.clock import SystemClock
from heliograph_collector.app.log_lines import configure_logging
from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    load_cli_config,
    parse_endpoint,
)

if TYPE_CHECKING:
    from heliograph_collector.config.settings import Config

_SIGNALS_APART_S = 0.5  # assumed; systemd signals the processes of a unit within milliseconds


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
    command.add_argument(
        "--roles",
        type=_parse_roles,
        metavar="ROLE[,ROLE]",
        help="ingest, judge or publish alone, or all without ingest, console or control (all)",
    )


def _parse_roles(text: str) -> frozenset[str]:
    from heliograph_collector.config.roles import check_roles

    try:
        return check_roles([role.strip() for role in text.split(",")])
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}.") from None


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.app.garbage_search import search_rarely

    search_rarely()
    os.umask(0o077)  # journal and store show who sent what, whatever the directory's mode
    given = {name: getattr(args, name) for name in ("grpc", "http", "echo", "post", "roles")}
    config = load_cli_config(args, **given)
    for key, file in (
        ("geo.country_file", config.country_file),
        ("geo.asn_file", config.asn_file),
    ):
        if file is not None and not (file.exists() or file.with_suffix(".table").exists()):
            raise CommandError(
                f"{args.config}: {key}: {file} is not there, and no place would be known: name one "
                "that is, or take the key out and use `geo install`."
            )
    return serve(config)


def serve(config: "Config") -> int:
    """Run until SIGTERM or Ctrl-C.

    Raises CommandError with a cause that an operator can remove.
    """
    from heliograph.error_group import flatten_errors
    from heliograph_collector.ingest.grpc.server import LOGGER, MalformedRequestFilter

    configure_logging(config.log)
    logging.getLogger(LOGGER).addFilter(MalformedRequestFilter(SystemClock()))
    try:
        return asyncio.run(_run_until_stopped(config))
    except Exception as error:
        sentences = [_describe_cause(leaf, config.data) for leaf in flatten_errors(error)]
        if not all(sentences):
            raise
        raise CommandError(sentences[0]) from error


def _describe_cause(error: BaseException, data: Path) -> str:
    """Describe what an operator can remove; "" for a bug."""
    from heliograph_collector.config.errors import CannotServeError
    from heliograph_collector.fleet import KeysError
    from heliograph_collector.store.disk_errors import describe_cause
    from heliograph_collector.store.journal.journal import JournalError

    if isinstance(error, (OSError, sqlite3.Error)):
        return describe_cause(error, data)
    return str(error) if isinstance(error, (CannotServeError, JournalError, KeysError)) else ""


async def _run_until_stopped(config: "Config") -> int:
    from heliograph.error_group import flatten_errors
    from heliograph_collector.config.errors import CannotServeError

    stop = asyncio.Event()
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    try:
        with suppress(asyncio.CancelledError):
            await _run_collector(config, stop, started)
    except Exception as error:
        is_refusal = all(isinstance(leaf, CannotServeError) for leaf in flatten_errors(error))
        if started.is_set() or not is_refusal or not await _is_stopped_soon(stop):
            raise
        logging.getLogger("heliograph").info("Stopped before it had started.")
    return 0


async def _is_stopped_soon(stop: asyncio.Event) -> bool:
    """Return whether a refusal to start is the stop itself.

    The signal ends a process that only begins to start too, and then the start fails.
    """
    try:
        async with asyncio.timeout(_SIGNALS_APART_S):
            return await stop.wait()
    except TimeoutError:
        return False


async def _run_collector(config: "Config", stop: asyncio.Event, started: asyncio.Event) -> None:
    from heliograph_collector.app.garbage_search import limit_garbage_search
    from heliograph_collector.app.startup import run_collector
    from heliograph_collector.app.thread_turns import shorten_turns

    async with asyncio.TaskGroup() as group:
        # One that waits to lead has not started yet, and ends all the same.
        starting = group.create_task(_cancel_when_set(stop, asyncio.current_task()))
        async with run_collector(config):
            starting.cancel()
            started.set()
            limit_garbage_search()
            shorten_turns()
            await stop.wait()
            logging.getLogger("heliograph").info("Stopping.")


async def _cancel_when_set(stop: asyncio.Event, task: "asyncio.Task[Any] | None") -> None:
    await stop.wait()
    if task is not None:
        task.cancel()
