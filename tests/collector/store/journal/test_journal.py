"""The journal: what it acknowledges stays, once, in order."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.model.records import JournalRow, Kind, Role
from heliograph_collector.store.journal.journal import (
    DirectoryInUseError,
    Journal,
    JournalBusyError,
    JournalError,
    JournalFullError,
)

ANNA, BERIK = b"A" * 16, b"B" * 16


def envelope(agent: bytes, sequence: int, body: bytes = b"body", at_us: int = 1_000) -> JournalRow:
    return JournalRow(
        kind=Kind.ENVELOPE, agent=agent, sequence=sequence, received_us=at_us, body=body
    )


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    await journal.close()


async def test_rows_come_back_whole_and_in_order(journal: Journal) -> None:
    row = JournalRow(
        kind=Kind.ARRIVAL,
        agent=ANNA,
        received_us=5,
        country="KZ",
        asn=9198,
        prefix="p",
        role=Role.CONTROL,
        carrier="submit",
        body=b"hello",
    )
    positions = await journal.append([row, envelope(ANNA, 1), envelope(BERIK, 1)])
    assert positions == [1, 2, 3]
    first, *others = await journal.read(0, 10)
    assert (first.kind, first.country, first.asn, first.role) == ("arrival", "KZ", 9198, "control")
    assert (first.carrier, first.body, first.prefix) == ("submit", b"hello", "p")
    assert [r.position for r in others] == [2, 3]
    assert journal.position == 3


async def test_a_row_keeps_when_it_was_heard_and_enrolled(journal: Journal) -> None:
    row = JournalRow(kind=Kind.LOST, agent=ANNA, received_us=9, heard_us=5, since_s=3)
    await journal.append([row])
    ((found,), (position,)) = await journal.read(0, 10), [1]
    assert (found.heard_us, found.since_s, found.position) == (5, 3, position)


async def test_a_journal_of_before_is_read_and_written_on(tmp_path: Path) -> None:
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
        journal = Journal(tmp_path / "journal.db")
        (old, *_) = await journal.read(0, 10)
        assert (journal.id, old.position, old.body, old.sequence) == ("abc", 4, b"\x01", 7)
        assert (old.heard_us, old.since_s) == (0, 0)
        assert journal.alive_before_us == 99, "its last row is the last that is known of it"
        await journal.close()
    journal = Journal(tmp_path / "journal.db")
    assert await journal.append([replace(envelope(ANNA, 1, at_us=3), heard_us=2)]) == [5]
    assert (await journal.read(4, 1))[0].heard_us == 2
    await journal.close()


async def test_who_opens_it_next_learns_when_we_were_last_alive(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    assert journal.alive_before_us == 0, "never"
    await journal.append([envelope(ANNA, 1, at_us=50)])
    await journal.alive(70)
    await journal.close()
    again = Journal(tmp_path / "journal.db")
    assert again.alive_before_us == 70
    await again.append([envelope(ANNA, 2, at_us=90)])
    assert again.alive_before_us == 70, "it speaks of the one before"
    await again.close()
    third = Journal(tmp_path / "journal.db")
    assert third.alive_before_us == 90
    await third.close()


async def test_an_envelope_is_taken_once_and_presence_every_time(journal: Journal) -> None:
    lost = JournalRow(kind=Kind.LOST, agent=ANNA, received_us=1)
    assert await journal.append([envelope(ANNA, 7), lost]) == [1, 2]
    assert await journal.append([envelope(ANNA, 7), lost, envelope(BERIK, 7)]) == [None, 3, 4]
    assert await journal.append([envelope(ANNA, 8), envelope(ANNA, 8)]) == [5, None]


async def test_a_trimmed_envelope_stays_used(journal: Journal) -> None:
    await journal.append([envelope(ANNA, n, at_us=n) for n in (1, 2, 3, 5)])
    assert await journal.trim(up_to=3, received_before_us=100) == 3
    assert [r.sequence for r in await journal.read(0, 10)] == [5]
    assert await journal.append([envelope(ANNA, n) for n in (1, 2, 3, 4, 5)]) == [
        None,
        None,
        None,
        5,
        None,
    ]


async def test_presence_outlives_envelopes_and_is_read_alone(journal: Journal) -> None:
    kinds = (Kind.ARRIVAL, Kind.GOODBYE, Kind.LOST, Kind.START, Kind.FAULT)
    rows = [JournalRow(kind=kind, agent=ANNA, received_us=50 + n) for n, kind in enumerate(kinds)]
    await journal.append([envelope(ANNA, 1, at_us=49), *rows, envelope(ANNA, 2, at_us=60)])
    assert [r.kind for r in await journal.read(0, 10, kinds=kinds)] == list(kinds)
    some = await journal.read(2, 2, kinds={Kind.LOST, Kind.GOODBYE, Kind.FAULT})
    assert [r.position for r in some] == [3, 4]
    mixed = await journal.read(0, 10, kinds=[Kind.ENVELOPE, Kind.START])
    assert [r.position for r in mixed] == [1, 5, 7]
    assert await journal.trim(7, 1_000, 52) == 4
    assert [r.kind for r in await journal.read(0, 10)] == list(kinds[2:])
    assert await journal.append([envelope(ANNA, 1)]) == [None]
    assert await journal.trim(7, 1_000) == 0, "without a limit of its own it stays"


async def test_trimming_keeps_what_is_young_and_positions_never_return(journal: Journal) -> None:
    await journal.append([envelope(ANNA, 1, at_us=10), envelope(ANNA, 2, at_us=99)])
    assert await journal.trim(up_to=2, received_before_us=50) == 1
    assert await journal.trim(up_to=2, received_before_us=1_000) == 1
    assert await journal.read(0, 10) == []
    assert await journal.append([envelope(ANNA, 3)]) == [3]


async def test_many_at_once_share_commits_and_miss_nothing(journal: Journal) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(journal.append([envelope(ANNA, n)])) for n in range(1, 401)]
    positions = [p for t in tasks for p in t.result() if p is not None]
    assert sorted(positions) == list(range(1, 401))
    assert [r.position for r in await journal.read(0, 1_000)] == list(range(1, 401))


async def test_reading_stops_at_the_byte_limit_but_never_at_nothing(journal: Journal) -> None:
    await journal.append([envelope(ANNA, n, body=bytes(1_000)) for n in range(1, 6)])
    assert len(await journal.read(0, 10, limit_bytes=1)) == 1
    assert len(await journal.read(0, 10, limit_bytes=2_500)) == 3


async def test_a_waiter_wakes_at_the_commit(journal: Journal) -> None:
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(journal.wait_beyond(0, 20))
        await asyncio.sleep(0)
        await journal.append([envelope(ANNA, 1)])
    assert waiter.result() is True
    assert await journal.wait_beyond(0, 0) is True
    assert await journal.wait_beyond(1, 0.01) is False


async def test_a_full_disk_is_an_error_and_what_was_taken_stays(tmp_path: Path) -> None:
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
    await journal.trim(up_to=taken - 1, received_before_us=10_000)
    assert await journal.append([envelope(ANNA, 1_000, body=bytes(4_000))]) == [taken + 1]
    await journal.close()


async def test_rows_no_journal_could_hold_are_refused_alone(journal: Journal) -> None:
    with pytest.raises(ValueError, match="out of range"):
        await journal.append([envelope(ANNA, 2**63)])
    with pytest.raises(ValueError, match="bytes is over"):
        await journal.append([envelope(ANNA, 1, body=bytes(3_000_000))])
    assert await journal.append([envelope(ANNA, 1)]) == [1]


async def test_too_much_waiting_is_refused_at_once(journal: Journal) -> None:
    rows = [envelope(ANNA, n, body=bytes(2_000_000)) for n in range(1, 41)]
    with pytest.raises(JournalBusyError):
        await journal.append(rows)


async def test_an_error_of_the_module_itself_does_not_end_the_writer(journal: Journal) -> None:
    with pytest.raises(JournalError):
        await journal._commits.submit(lambda db: db.execute("SELECT ?", ()), 0, 5.0)
    assert await journal.append([envelope(ANNA, 1)]) == [1]


async def test_a_caller_that_gives_up_harms_nobody(journal: Journal) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(journal.append([envelope(ANNA, n)])) for n in range(1, 50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
    survivors = [t.result()[0] for t in tasks if not t.cancelled()]
    assert len(set(survivors)) == len(survivors) >= 24
    assert await journal.append([envelope(BERIK, 1)]) == [journal.position]


async def test_reopening_goes_on_where_it_stopped(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    await journal.append([envelope(ANNA, 1)])
    name = journal.id
    await journal.close()
    with pytest.raises(JournalBusyError, match="closed"):
        await journal.append([envelope(ANNA, 2)])
    again = Journal(tmp_path / "journal.db")
    assert again.id == name
    assert await again.append([envelope(ANNA, 1), envelope(ANNA, 2)]) == [None, 2]
    await again.close()


async def test_a_snapshot_opens_as_a_journal(journal: Journal, tmp_path: Path) -> None:
    await journal.append([envelope(ANNA, 1)])
    await journal.snapshot(tmp_path / "copy" / "journal.db")
    copy = Journal(tmp_path / "copy" / "journal.db")
    assert copy.id == journal.id
    assert await copy.append([envelope(ANNA, 1)]) == [None]
    await copy.close()


def test_every_commit_is_synced(tmp_path: Path) -> None:
    from heliograph_collector.store.journal.tables import connect

    db = connect(tmp_path / "journal.db", 0)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


async def test_a_second_opener_and_a_damaged_file_are_told_in_a_sentence(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    with pytest.raises(DirectoryInUseError, match=r"in use by another process: stop that one"):
        Journal(tmp_path / "journal.db")
    await journal.close()
    (tmp_path / "journal.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(JournalError, match="restore it from a snapshot"):
        Journal(tmp_path / "journal.db")


async def test_callers_who_all_go_away_leave_a_journal_that_works(journal: Journal) -> None:
    """Their agents hang up while it commits for others: what they asked is left, and nothing else.

    Without it one agent that hung up at the wrong moment ended the writing for everybody.
    """
    entered, leave = threading.Event(), threading.Event()

    def slow(db: sqlite3.Connection) -> None:
        entered.set()
        leave.wait(20)

    under_way = asyncio.create_task(journal._commits.submit(slow, 0, 30.0))
    await asyncio.to_thread(entered.wait, 20)
    gone = asyncio.create_task(journal.append([envelope(ANNA, 1)]))
    await asyncio.sleep(0)  # until it waits in the queue
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    leave.set()
    await under_way
    assert await journal.append([envelope(ANNA, 2)], deadline_s=10) == [1]


async def test_a_bug_in_one_piece_of_work_does_not_end_the_writing(journal: Journal) -> None:
    def wrong(db: sqlite3.Connection) -> None:
        db.execute("UPDATE journal SET alive_us = 7")
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await journal._commits.submit(wrong, 0, 30.0)
    assert await journal.append([envelope(ANNA, 1)], deadline_s=10) == [1]
    assert journal.alive_before_us == 0
