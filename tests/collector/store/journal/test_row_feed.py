"""Consecutive rows come in bulk from a real nats-server, and none is missing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest

from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.jetstream import row_feed
from heliograph_collector.store.journal.jetstream.journal import JetStreamJournal, open_jetstream
from heliograph_collector.store.journal.protocol import JournalProtocol

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("nats")]
ROWS = 300


@asynccontextmanager
async def reopened(settings: JournalSettings, data: Path) -> AsyncIterator[JetStreamJournal]:
    """Open a journal of ROWS rows, none of which this process has in memory."""
    rows = [
        JournalRow(
            kind=RowKind.ENVELOPE, agent=b"A" * 16, sequence=n, received_us=n, body=bytes(50)
        )
        for n in range(1, ROWS + 1)
    ]
    async with open_jetstream(settings, data) as journal:
        await journal.append(rows)
    async with open_jetstream(settings, data) as journal:
        yield journal


async def read_on(journal: JournalProtocol, after: int) -> list[int]:
    return [row.sequence for row in await journal.read(after, 1_000)]


async def test_rows_that_follow_each_other_take_few_requests(
    settings: JournalSettings, tmp_path: Path
) -> None:
    async with reopened(settings, tmp_path) as journal:
        sent_before = journal.connection.client.stats["out_msgs"]
        assert await read_on(journal, 0) == list(range(1, ROWS + 1))
        assert journal.connection.client.stats["out_msgs"] - sent_before < ROWS / 10


async def test_rows_that_get_lost_on_the_way_are_asked_for_again(
    settings: JournalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full buffer loses the last ones of each answer."""
    monkeypatch.setattr(row_feed, "MAX_BYTES", 8_000)
    monkeypatch.setattr(row_feed, "MAX_UNREAD_BYTES", 2_000)
    async with reopened(settings, tmp_path) as journal:
        assert await read_on(journal, 0) == list(range(1, ROWS + 1))


async def test_reader_goes_on_where_the_servers_have_dropped_its_feed(
    settings: JournalSettings, tmp_path: Path
) -> None:
    async with reopened(settings, tmp_path) as journal:
        first = await journal.read(0, 50)
        client = await nats.connect(list(settings.urls))
        js = client.jetstream()
        (consumer,) = await js.consumers_info(settings.name)
        await js.delete_consumer(settings.name, consumer.name)
        await js.delete_msg(settings.name, 100)
        await client.close()
        rest = await read_on(journal, first[-1].position)
        assert rest == [n for n in range(51, ROWS + 1) if n != 100]


async def test_deleted_row_is_passed_over(settings: JournalSettings, tmp_path: Path) -> None:
    async with reopened(settings, tmp_path) as journal:
        client = await nats.connect(list(settings.urls))
        await client.jetstream().delete_msg(settings.name, 100)
        await client.close()
        assert await read_on(journal, 0) == [n for n in range(1, ROWS + 1) if n != 100]
        assert await read_on(journal, 98) == [99, *range(101, ROWS + 1)], "and again"
