"""Command `heliograph-collector migrate`: move the journal to servers."""

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config

if TYPE_CHECKING:
    from heliograph_collector.config.settings import Config
    from heliograph_collector.store.journal.moved_journal import MovedJournal


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "migrate",
        "move the journal to the servers of store.journal",
        "migrate --config /etc/heliograph/collector.yml",
        description="Moves DATA/journal.db to the servers that store.journal names, while serve is "
        "stopped; agents keep what they have meanwhile. It may be ended and run again. Every row "
        "is read back and compared before the file is renamed to journal.db.moved; until then "
        "the old journal is whole: take store.journal out again, and serve uses it.",
    )
    add_common_options(command)


def run(args: argparse.Namespace) -> int:
    moved = asyncio.run(_move(load_cli_config(args)))
    print(
        f"Moved {moved.rows} rows (positions {moved.first} to {moved.last}) and the trimmed "
        f"sequences of {moved.agents} agents; both sides have SHA-256 {moved.digest}. Start serve."
    )
    return 0


async def _move(config: "Config") -> "MovedJournal":
    from heliograph_collector.app.commands import move_journal
    from heliograph_collector.store.journal.journal import DirectoryInUseError, JournalError
    from heliograph_collector.store.migrations import SchemaError
    from heliograph_collector.store.store import StoreError

    if config.journal is None:
        raise CommandError("The configuration names no servers: set store.journal.")
    try:
        return await move_journal(config, config.journal)
    except DirectoryInUseError as error:
        raise CommandError(
            f"{error} If that is serve: stop it, and start it afterwards."
        ) from error
    except (JournalError, SchemaError, StoreError) as error:
        raise CommandError(str(error)) from error
