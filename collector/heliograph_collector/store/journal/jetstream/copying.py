"""Copy a journal on servers into a file of the format that a single collector has.

The order makes the copy whole while rows are appended and trimmed: rows first, then the ranges. A
row that is deleted before it was read is in the ranges, since its sequence is written there before.
"""

import asyncio
from contextlib import closing
from pathlib import Path

from heliograph_collector.store.journal import tables
from heliograph_collector.store.journal.group_commit import JournalError
from heliograph_collector.store.journal.jetstream.connection import NatsConnection, ServerSettings
from heliograph_collector.store.journal.jetstream.follower import StreamFollower
from heliograph_collector.store.journal.jetstream.lease import is_led_by_another
from heliograph_collector.store.journal.jetstream.sequence_ranges import PARTITIONS, SequenceRanges
from heliograph_collector.store.journal.jetstream.stored_rows import build_row, decode_message
from heliograph_collector.store.journal.jetstream.streams import (
    find_stream,
    is_unfinished,
    open_state,
    read_id,
)


async def copy_journal(settings: ServerSettings, data: Path, file: Path) -> None:
    """Copy the journal into a new file.

    Args:
        data: The data directory of the collector that leads, or of one that led last.

    Raises JournalError, sqlite3.Error.
    """
    connection = NatsConnection(settings)
    try:
        await connection.open()
        if await is_led_by_another(connection, settings.name, data):
            raise JournalError("Another collector leads this journal: run the backup there.")
        info = await find_stream(connection, settings)
        if info is None or not read_id(info) or is_unfinished(info):
            raise JournalError(
                f"The servers hold no whole journal {settings.name}: start `serve` once with it."
            )
        await _copy(connection, settings, read_id(info), file)
    finally:
        await connection.close()


async def _copy(connection: NatsConnection, settings: ServerSettings, id_: str, file: Path) -> None:
    follower = StreamFollower(connection, settings.name, f"{settings.name}.>")
    state = await open_state(connection, settings)
    ranges = SequenceRanges()
    with closing(tables.open_database(file, 0, durable=False)) as db:
        async for entries in follower.read_batches():
            rows = [build_row(e.position, decode_message(e.position, e.content)) for e in entries]
            await asyncio.to_thread(tables.insert_as_numbered, db, rows)
        for partition in range(PARTITIONS):
            ranges.load(await state.get_ranges(partition))
        journal = (id_, await state.get_alive(), await state.get_expiry())
        await asyncio.to_thread(
            tables.complete_copy, db, follower.position, ranges.list_ranges(), journal
        )
