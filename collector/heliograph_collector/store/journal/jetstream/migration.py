"""Moving a journal from SQLite to servers, while `serve` is stopped.

Theory of operation. The new journal has the id of the old one, and its newest row has the position
of the old newest row. The rows before it follow without gaps, which trimmed rows had left. So all
rows after the oldest gap keep their positions, and the cursor of the store and the checkpoint of
the detectors, which are among the newest, stay true: nothing is judged twice, nothing is left out.
This is checked: no row at or after such a mark may have a gap behind it, unless it is before all.

Steps, each of which may be repeated after a crash:
1. The stream is created at its first position, with a mark that it is unfinished; `serve` and hosts
   refuse such a stream. One of an earlier try begins again where rows were trimmed since then,
   because their gaps give other positions: nobody ever read it.
2. The ranges of trimmed sequences, the alive mark and the expiry are stored.
3. The rows are sent in order, each with the position that must come before it: what is there
   already is not sent again, and no other order can come about.
4. Everything is read back, and compared by number and hash.
5. `journal.db` gets another name: the last step. Until then the old journal is whole, and `serve`
   uses it if `store.journal` is taken out of the configuration; afterwards `serve` refuses to begin
   an empty one in its place.
6. The mark is removed. No row can be acknowledged on both sides: the file is closed to `serve`
   before the stream is open to it. A crash between the two leaves both closed, until the move is
   run again.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

import nats.js.errors
from nats.js.api import StreamInfo

from heliograph.durable_file import move_file
from heliograph_collector.model.records import JournalRow
from heliograph_collector.store.directory_lock import DirectoryLock
from heliograph_collector.store.journal.group_commit import JournalError
from heliograph_collector.store.journal.jetstream.connection import (
    UNANSWERED,
    NatsConnection,
    ServerSettings,
)
from heliograph_collector.store.journal.jetstream.lease import open_lease
from heliograph_collector.store.journal.jetstream.row_reader import RecentRows, RowReader
from heliograph_collector.store.journal.jetstream.sequence_ranges import (
    PARTITIONS,
    SequenceRanges,
)
from heliograph_collector.store.journal.jetstream.stored_rows import (
    RECEIVED,
    TOKEN_BYTES,
    Subjects,
    encode_row,
)
from heliograph_collector.store.journal.jetstream.streams import (
    JournalState,
    create_stream,
    find_stream,
    finish_stream,
    is_unfinished,
    open_state,
    read_id,
)
from heliograph_collector.store.journal.moved_journal import (
    MOVED_FILE,
    MovedJournal,
    find_old_file,
)
from heliograph_collector.store.journal.tables import read_rows

_WINDOW = 256
_WINDOW_BYTES = 8_388_608
_EXPECTED = "Nats-Expected-Last-Sequence"


@dataclass(frozen=True, slots=True)
class OldJournal:
    """A journal file that nobody has open."""

    db: sqlite3.Connection
    id: str
    alive_us: int
    expiry_us: int
    count: int
    last: int

    @property
    def first(self) -> int:
        """Return the position of the oldest row after the move."""
        return self.last - self.count + 1

    def read(self, after: int) -> list[JournalRow]:
        return read_rows(self.db, after, _WINDOW, _WINDOW_BYTES)

    def find_position(self, rank: int) -> int:
        """Return the position of the row before the one of a rank, 0 for the first."""
        if rank == 0 or not self.count:
            return 0
        query = "SELECT position FROM log ORDER BY position LIMIT 1 OFFSET ?"
        return int(self.db.execute(query, (rank - 1,)).fetchone()[0])

    def find_last_gap(self) -> int:
        """Return the position before the rows that keep theirs, 0 if all do."""
        row = self.db.execute(
            "SELECT position FROM log AS a WHERE position > 1 AND NOT EXISTS"
            " (SELECT 1 FROM log AS b WHERE b.position = a.position - 1)"
            " ORDER BY position DESC LIMIT 1"
        ).fetchone()
        return 0 if row is None else int(row[0]) - 1


def open_old(file: Path) -> OldJournal:
    """Open the file of a stopped collector. Raises JournalError."""
    db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    try:
        row = db.execute("SELECT id, alive_us, expiry_us FROM journal").fetchone()
        ((count, newest),) = db.execute("SELECT count(*), max(position) FROM log")
        used = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
    except sqlite3.Error as error:
        db.close()
        raise JournalError(
            f"{file} cannot be read ({error}): start `serve` once with it, and stop it."
        ) from error
    last = int(used[0]) if used else 0
    if count and newest != last:  # its newest rows were trimmed: there is no such journal of ours
        db.close()
        raise JournalError(f"{file} lacks its newest rows: restore a backup.")
    return OldJournal(db, str(row[0]), int(row[1]), int(row[2]), int(count), last)


async def move_journal(
    settings: ServerSettings, data: Path, marks: Mapping[str, int]
) -> MovedJournal:
    """See `opening.move_to_servers`."""
    lock = DirectoryLock(data, "journal")
    try:
        file = find_old_file(data)
        async with _connect(settings, data) as connection:
            with closing((old := open_old(file)).db):
                _check_marks(old, marks)
                move = _Move(connection, settings, old, is_renamed=file.name == MOVED_FILE)
                moved = await move.copy()
            if not move.is_renamed:
                move_file(file, data / MOVED_FILE)
            await finish_stream(connection, settings)
        return moved
    finally:
        lock.release()


def _check_marks(old: OldJournal, marks: Mapping[str, int]) -> None:
    gap = old.find_last_gap()
    oldest = old.find_position(1)
    for name, position in marks.items():
        if oldest <= position < gap and old.count:  # who has read none of them reads all
            raise JournalError(
                f"{name} is at {position} of the journal, before a gap at {gap}: start `serve` "
                "with the old journal until it has caught up, and stop it."
            )


@asynccontextmanager
async def _connect(settings: ServerSettings, data: Path) -> AsyncIterator[NatsConnection]:
    connection = NatsConnection(settings)
    try:
        await connection.open()
        lease = await open_lease(connection, settings.name, settings.replicas, data)
        async with lease.keep():
            yield connection
    finally:
        await connection.close()


class _Move:
    def __init__(
        self,
        connection: NatsConnection,
        settings: ServerSettings,
        old: OldJournal,
        *,
        is_renamed: bool,
    ) -> None:
        self.is_renamed = is_renamed  # by an earlier try, which ended before its last step
        self._connection = connection
        self._settings = settings
        self._old = old
        self._subjects = Subjects(settings.name)
        self._reader = RowReader(connection, self._subjects, RecentRows())

    async def copy(self) -> MovedJournal:
        """Copy the missing rows, and compare all. Raises JournalError."""
        info = await self._prepare_stream()
        state = await open_state(self._connection, self._settings)
        ranges = self._read_ranges()
        if is_unfinished(info):
            await self._store_state(state, ranges)
            await self._send_rows()
        return await self._compare(state, ranges)

    async def _prepare_stream(self) -> StreamInfo:
        """Create the stream, or find the one of an earlier try. Raises JournalError."""
        if self.is_renamed:
            info = await find_stream(self._connection, self._settings)
            if info is None or read_id(info) != self._old.id or not is_unfinished(info):
                raise JournalError(
                    f"There is no journal to move: {MOVED_FILE} was moved already. Start `serve`."
                )
            return info
        info = await self._create_stream()
        is_begun = read_id(info) == self._old.id and is_unfinished(info)
        if is_begun and (info.config.first_seq or 1) != self._old.first:
            await self._connection.ask(self._connection.js.delete_stream, self._settings.name)
            info = await self._create_stream()
        self._check_stream(info)
        return info

    async def _create_stream(self) -> StreamInfo:
        return await create_stream(
            self._connection, self._settings, self._old.id, first=self._old.first
        )

    def _check_stream(self, info: StreamInfo) -> None:
        """Check that the stream belongs to this move; a finished one may have hosts' rows.

        Raises JournalError.
        """
        has_others = is_unfinished(info) and info.state.last_seq > self._old.last
        if read_id(info) != self._old.id or has_others:
            raise JournalError(
                f"The stream {self._settings.name} on the journal's servers is not a move of this "
                "journal: give store.journal another name."
            )

    def _read_ranges(self) -> SequenceRanges:
        """Read the trimmed sequences; those of rows are refused by the stream."""
        ranges = SequenceRanges()
        for agent, first, last in self._old.db.execute("SELECT agent, first, last FROM forgotten"):
            ranges.add_range(agent, first, last)
        return ranges

    async def _store_state(self, state: JournalState, ranges: SequenceRanges) -> None:
        for partition in range(PARTITIONS):
            if content := ranges.dump(partition):
                await state.get_ranges(partition)  # of an earlier try, which these replace
                await state.put_ranges(partition, content)
        await state.put_marks(self._old.alive_us, self._old.expiry_us)
        await state.put_id(self._old.id)

    async def _send_rows(self) -> None:
        """Send the missing rows; after a failure, from the stream's last row."""
        while (stored := await self._reader.read_last_position()) < self._old.last:
            rank = max(0, stored - self._old.first + 1)
            after = await asyncio.to_thread(self._old.find_position, rank)
            position = self._old.first + rank
            while rows := await asyncio.to_thread(self._old.read, after):
                answers = await asyncio.gather(
                    *(self._send(row, position + n) for n, row in enumerate(rows)),
                    return_exceptions=True,
                )
                failures = [a for a in answers if isinstance(a, BaseException)]
                if failures:
                    _raise_unless_unanswered(failures)
                    break
                after = rows[-1].position
                position += len(rows)

    async def _send(self, row: JournalRow, position: int) -> None:
        token = position.to_bytes(TOKEN_BYTES)  # the same at each try
        headers = {RECEIVED: str(row.received_us), _EXPECTED: str(position - 1)}
        await self._connection.js.publish(
            self._subjects.of_row(row, token),
            encode_row(row, token),
            stream=self._subjects.name,
            headers=headers,
        )

    async def _compare(self, state: JournalState, ranges: SequenceRanges) -> MovedJournal:
        """Read all rows and ranges back. Raises JournalError if one differs."""
        sent = hashlib.sha256()
        stored = hashlib.sha256()
        count = 0
        after = 0
        position = self._old.first - 1
        while rows := await asyncio.to_thread(self._old.read, after):
            for row in rows:
                _update(sent, row)
            read = await self._reader.read(position, self._old.last, len(rows), 1 << 30, None)
            for row in read:
                _update(stored, row)
            count += len(read)
            after = rows[-1].position
            position += len(rows)
        loaded = [await state.get_ranges(partition) for partition in range(PARTITIONS)]
        is_same = loaded == [ranges.dump(partition) for partition in range(PARTITIONS)]
        if sent.digest() != stored.digest() or count != self._old.count or not is_same:
            raise JournalError(
                f"The servers have {count} rows and not the {self._old.count} of the old journal, "
                "or other ones: give store.journal another name, and move it again."
            )
        return MovedJournal(
            count, self._old.first, self._old.last, ranges.agents, stored.hexdigest()
        )


def _raise_unless_unanswered(failures: list[BaseException]) -> None:
    """Raise the first failure, if it is not one that goes by: others follow from it."""
    first = failures[0]
    if isinstance(first, nats.js.errors.APIError) and not isinstance(first, UNANSWERED):
        raise JournalError(
            f"The journal's servers refuse a row ({first.description}). Mend that, and run "
            "`migrate` again; until then `serve` works without store.journal."
        )
    if not isinstance(first, UNANSWERED):
        raise first


def _update(digest: "hashlib._Hash", row: JournalRow) -> None:
    encoded = encode_row(replace(row, position=0), b"")
    digest.update(len(encoded).to_bytes(8) + encoded)
