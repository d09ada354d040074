"""The journal keeps acknowledged rows, once and in order."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_collector.model.records import AgentRole, JournalRow, RowKind
from heliograph_collector.store.journal.jetstream.sequence_ranges import (
    PARTITIONS,
    SequenceRanges,
)
from heliograph_collector.store.journal.journal import (
    DirectoryInUseError,
    Journal,
    JournalBusyError,
    JournalError,
    JournalFullError,
)
from heliograph_collector.store.journal.protocol import JournalProtocol
from heliograph_collector.store.journal.tables import merge_ranges, open_database

OpenJournal: TypeAlias = Callable[[], AbstractAsyncContextManager[JournalProtocol]]
ANNA, BERIK = b"A" * 16, b"B" * 16


def envelope(agent: bytes, sequence: int, body: bytes = b"body", at_us: int = 1_000) -> JournalRow:
    return JournalRow(
        kind=RowKind.ENVELOPE, agent=agent, sequence=sequence, received_us=at_us, body=body
    )


@asynccontextmanager
async def open_journal(folder: Path, **options: Any) -> AsyncIterator[Journal]:
    journal = Journal(folder / "journal.db", **options)
    yield journal
    await journal.close()


@pytest.fixture
async def sqlite_journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path) as journal:
        yield journal


async def test_journal_returns_rows_in_order(journal: JournalProtocol) -> None:
    row = JournalRow(kind=RowKind.ARRIVAL, agent=ANNA, received_us=5, heard_us=4, since_s=3)
    row = replace(row, country="KZ", asn=9198, prefix="p", role=AgentRole.CONTROL)
    row = replace(row, carrier="submit", body=b"hello")
    positions = await journal.append([row, envelope(ANNA, 1), envelope(BERIK, 1)])
    assert positions == [1, 2, 3]
    first, *others = await journal.read(0, 10)
    assert first == replace(row, position=1)
    assert [r.position for r in others] == [2, 3]
    assert journal.position == 3


async def test_journal_of_first_schema_is_migrated(tmp_path: Path) -> None:
    made_by_the_first = """
    CREATE TABLE journal (id TEXT PRIMARY KEY) STRICT;
    CREATE TABLE log (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL, agent BLOB NOT NULL, sequence INTEGER NOT NULL,
      received_us INTEGER NOT NULL, country TEXT NOT NULL, asn INTEGER NOT NULL,
      prefix TEXT NOT NULL, role TEXT NOT NULL, carrier TEXT NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX log_envelope ON log (agent, sequence) WHERE kind = 'envelope';
    CREATE TABLE forgotten (
      agent BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
      PRIMARY KEY (agent, first)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO journal VALUES ('abc');
    INSERT INTO log VALUES
      (4, 'envelope', x'41', 7, 99, 'KZ', 9198, 'p', 'volunteer', 'session', x'01');
    """
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.executescript(made_by_the_first)
    for _ in range(2):  # the second time all is in place
        async with open_journal(tmp_path) as journal:
            (old, *_) = await journal.read(0, 10)
            assert (journal.id, old.position, old.body, old.sequence) == ("abc", 4, b"\x01", 7)
            assert (old.heard_us, old.since_s) == (0, 0)
            assert journal.alive_before_us == 99, "its last row is the last that is known of it"
    async with open_journal(tmp_path) as journal:
        assert await journal.append([replace(envelope(ANNA, 1, at_us=3), heard_us=2)]) == [5]
        assert (await journal.read(4, 1))[0].heard_us == 2


async def test_next_opener_learns_last_alive_time(open_again: OpenJournal) -> None:
    async with open_again() as journal:
        assert journal.alive_before_us == 0, "never"
        await journal.append([envelope(ANNA, 1, at_us=50)])
        await journal.mark_alive(70)
    async with open_again() as again:
        assert again.alive_before_us == 70
        await again.append([envelope(ANNA, 2, at_us=90)])
        assert again.alive_before_us == 70, "it speaks of the one before"
    async with open_again() as third:
        assert third.alive_before_us == 90


async def test_envelope_is_appended_once_and_presence_always(journal: JournalProtocol) -> None:
    lost = JournalRow(kind=RowKind.LOST, agent=ANNA, received_us=1)
    assert await journal.append([envelope(ANNA, 7), lost]) == [1, 2]
    assert await journal.append([envelope(ANNA, 7), lost, envelope(BERIK, 7)]) == [None, 3, 4]
    assert await journal.append([envelope(ANNA, 8), envelope(ANNA, 8)]) == [5, None]


async def test_trimmed_envelope_stays_used(journal: JournalProtocol) -> None:
    await journal.append([envelope(ANNA, n, at_us=n) for n in (1, 2, 3, 5)])
    assert await journal.trim(max_position=3, received_before_us=100) == 3
    assert [r.sequence for r in await journal.read(0, 10)] == [5]
    used = await journal.append([envelope(ANNA, n) for n in (1, 2, 3, 4, 5)])
    assert used == [None, None, None, 5, None]


async def test_presence_outlives_envelopes(journal: JournalProtocol) -> None:
    kinds = (RowKind.ARRIVAL, RowKind.GOODBYE, RowKind.LOST, RowKind.START, RowKind.FAULT)
    rows = [JournalRow(kind=kind, agent=ANNA, received_us=50 + n) for n, kind in enumerate(kinds)]
    await journal.append([envelope(ANNA, 1, at_us=49), *rows, envelope(ANNA, 2, at_us=60)])
    assert [r.kind for r in await journal.read(0, 10, kinds=kinds)] == list(kinds)
    some = await journal.read(2, 2, kinds={RowKind.LOST, RowKind.GOODBYE, RowKind.FAULT})
    assert [r.position for r in some] == [3, 4]
    mixed = await journal.read(0, 10, kinds=[RowKind.ENVELOPE, RowKind.START])
    assert [r.position for r in mixed] == [1, 5, 7]
    assert await journal.trim(7, 1_000, 52) == 4
    assert [r.kind for r in await journal.read(0, 10)] == list(kinds[2:])
    assert await journal.append([envelope(ANNA, 1)]) == [None]
    assert await journal.trim(7, 1_000) == 0, "without a limit of its own it stays"


async def test_trim_keeps_young_rows_and_positions_never_return(journal: JournalProtocol) -> None:
    await journal.append([envelope(ANNA, 1, at_us=10), envelope(ANNA, 2, at_us=99)])
    assert await journal.trim(max_position=2, received_before_us=50) == 1
    assert await journal.trim(max_position=2, received_before_us=1_000) == 1
    assert await journal.read(0, 10) == []
    assert await journal.append([envelope(ANNA, 3)]) == [3]


async def test_concurrent_appends_share_commits(journal: JournalProtocol) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(journal.append([envelope(ANNA, n)])) for n in range(1, 401)]
    positions = [p for t in tasks for p in t.result() if p is not None]
    assert sorted(positions) == list(range(1, 401))
    assert [r.position for r in await journal.read(0, 1_000)] == list(range(1, 401))


async def test_read_stops_at_the_byte_limit_after_one_row(journal: JournalProtocol) -> None:
    await journal.append([envelope(ANNA, n, body=bytes(1_000)) for n in range(1, 6)])
    assert len(await journal.read(0, 10, limit_bytes=1)) == 1
    assert len(await journal.read(0, 10, limit_bytes=2_500)) == 3


async def test_waiter_wakes_at_the_commit(journal: JournalProtocol) -> None:
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(journal.wait_beyond(0, 20))
        await asyncio.sleep(0)
        await journal.append([envelope(ANNA, 1)])
    assert waiter.result() is True
    assert await journal.wait_beyond(0, 0) is True
    assert await journal.wait_beyond(1, 0.01) is False


async def test_full_disk_raises_and_keeps_rows(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", limit_bytes=200_000)
    results: list[list[int | None] | BaseException] = []
    while not results or not isinstance(results[-1], BaseException):
        row = envelope(ANNA, len(results) + 1, body=bytes(4_000))
        results += await asyncio.gather(journal.append([row]), return_exceptions=True)
    assert isinstance(results[-1], JournalFullError)
    assert "free space" in str(results[-1])
    taken = len(results) - 1
    assert 5 < taken < 60
    assert len(await journal.read(0, 1_000)) == taken
    await journal.trim(max_position=taken - 1, received_before_us=10_000)
    assert await journal.append([envelope(ANNA, 1_000, body=bytes(4_000))]) == [taken + 1]
    await journal.close()


async def test_impossible_rows_and_oversized_queues_are_refused(
    journal: JournalProtocol,
) -> None:
    with pytest.raises(ValueError, match="out of range"):
        await journal.append([envelope(ANNA, 2**63)])
    with pytest.raises(ValueError, match="bytes is over"):
        await journal.append([envelope(ANNA, 1, body=bytes(3_000_000))])
    with pytest.raises(JournalBusyError):
        await journal.append([envelope(ANNA, n, body=bytes(2_000_000)) for n in range(1, 41)])
    assert await journal.append([envelope(ANNA, 1)]) == [1]


async def test_cancelled_append_harms_no_other(journal: JournalProtocol) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(journal.append([envelope(ANNA, n)])) for n in range(1, 50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
    survivors = [t.result()[0] for t in tasks if not t.cancelled()]
    assert len(set(survivors)) == len(survivors) >= 24
    assert await journal.append([envelope(BERIK, 1)]) == [journal.position]


async def test_reopened_journal_goes_on(open_again: OpenJournal) -> None:
    async with open_again() as journal:
        rows = [envelope(ANNA, n, at_us=n) for n in (1, 2, 4)]
        await journal.append([*rows, JournalRow(kind=RowKind.LOST, agent=ANNA, received_us=5)])
        await journal.trim(2, 100)
        await journal.mark_expiry(9)
    with pytest.raises(JournalBusyError, match="closed"):
        await journal.append([envelope(ANNA, 9)])
    async with open_again() as again:
        assert (again.id, again.position, again.expiry_before_us) == (journal.id, 4, 9)
        assert [r.position for r in await again.read(0, 10)] == [3, 4]
        assert await again.read_body(ANNA, 4) == b"body"
        assert await again.read_body(ANNA, 1) is None
        used = await again.append([envelope(ANNA, n) for n in (1, 2, 3, 4, 5)])
        assert used == [None, None, 5, None, 6]


async def test_reopened_journal_and_its_snapshot_go_on(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await journal.append([envelope(ANNA, 1)])
        await journal.snapshot(tmp_path / "copy" / "journal.db")
    with pytest.raises(JournalBusyError, match="closed"):
        await journal.append([envelope(ANNA, 2)])
    for folder in (tmp_path, tmp_path / "copy"):
        async with open_journal(folder) as again:
            assert again.id == journal.id
            assert await again.append([envelope(ANNA, 1), envelope(ANNA, 2)]) == [None, 2]


def test_every_commit_is_synced(tmp_path: Path) -> None:
    db = open_database(tmp_path / "journal.db", 0)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


async def test_journal_refuses_second_process_and_damaged_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    with pytest.raises(DirectoryInUseError, match=r"in use by another process: stop that one"):
        Journal(tmp_path / "journal.db")
    await journal.close()
    (tmp_path / "journal.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(JournalError, match="restore a backup into an empty --data"):
        Journal(tmp_path / "journal.db")


async def test_journal_works_after_all_callers_cancelled(sqlite_journal: Journal) -> None:
    """The journal works after all callers cancelled during a commit for others.

    Their agents hang up while it commits: what they asked for is skipped, and nothing else. Without
    this, one agent that hung up at the wrong moment ended the writing for all.
    """
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        size = 0

        def apply(self, db: sqlite3.Connection) -> None:
            entered.set()
            leave.wait(20)

    under_way = asyncio.create_task(sqlite_journal._committer.submit(Slow(), 30.0))
    await asyncio.to_thread(entered.wait, 20)
    gone = asyncio.create_task(sqlite_journal.append([envelope(ANNA, 1)]))
    await asyncio.sleep(0)  # until it waits in the queue
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    leave.set()
    await under_way
    assert await sqlite_journal.append([envelope(ANNA, 2)], deadline_s=10) == [1]


async def test_error_in_one_operation_does_not_end_the_writer(
    sqlite_journal: Journal,
) -> None:
    @dataclass
    class Wrong:
        error: Exception
        size = 0

        def apply(self, db: sqlite3.Connection) -> None:
            db.execute("UPDATE journal SET alive_us = 7")
            raise self.error

    with pytest.raises(KeyError):
        await sqlite_journal._committer.submit(Wrong(KeyError("a bug")), 30.0)
    with pytest.raises(JournalError):
        await sqlite_journal._committer.submit(Wrong(sqlite3.ProgrammingError("no value")), 5.0)
    assert await sqlite_journal.append([envelope(ANNA, 1)], deadline_s=10) == [1]
    assert sqlite_journal.alive_before_us == 0


NUMBERS = st.lists(st.integers(0, 60))


@given(NUMBERS, NUMBERS)
def test_ranges_hold_exactly_the_numbers_and_are_no_more_than_gaps_demand(
    early: list[int], late: list[int]
) -> None:
    folded = merge_ranges(merge_ranges([], early), late)
    assert {n for first, last in folded for n in range(first, last + 1)} == {*early, *late}
    assert all(a[1] + 1 < b[0] for a, b in pairwise(folded))


@given(NUMBERS, NUMBERS)
def test_sequence_ranges_hold_exactly_the_trimmed_numbers(
    early: list[int], late: list[int]
) -> None:
    ranges = SequenceRanges()
    ranges.add({ANNA: early, BERIK: late})
    assert ranges.add({ANNA: late}) <= {ANNA[0]}
    loaded = SequenceRanges()
    for partition in range(PARTITIONS):
        loaded.load(ranges.dump(partition))
    for stored in (ranges, loaded):
        assert [n for n in range(62) if stored.contains(ANNA, n)] == sorted({*early, *late})
        assert [n for n in range(62) if stored.contains(BERIK, n)] == sorted({*late})
    if early:
        with pytest.raises(ValueError, match="cut off"):
            loaded.load(ranges.dump(ANNA[0])[:-1])
