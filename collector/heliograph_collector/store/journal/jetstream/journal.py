"""Journal on NATS JetStream: `store.journal: nats://…`.

The stream NAME holds the rows, one message each; a position is the message's number in it. The
bucket NAME-state holds what a restart needs beside them: the ranges of trimmed sequences
(sequence_ranges.py), the alive mark and the expiry. NAME-lease names the journal's owner.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import nats.js.errors
from nats.js.api import StreamInfo

from heliograph.units import HOUR_US
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.directory_lock import DirectoryLock
from heliograph_collector.store.disk_errors import describe_os_error
from heliograph_collector.store.journal.group_commit import JournalBusyError, JournalError
from heliograph_collector.store.journal.jetstream.connection import (
    PATIENCE_S,
    NatsConnection,
    ServerSettings,
)
from heliograph_collector.store.journal.jetstream.follower import StreamFollower
from heliograph_collector.store.journal.jetstream.host_register import HostRegister
from heliograph_collector.store.journal.jetstream.lease import (
    AppendPermission,
    JournalLease,
    open_lease,
    require_permission,
)
from heliograph_collector.store.journal.jetstream.row_reader import RecentRows, RowReader
from heliograph_collector.store.journal.jetstream.row_trimmer import RowTrimmer
from heliograph_collector.store.journal.jetstream.row_writer import RowWriter
from heliograph_collector.store.journal.jetstream.sequence_ranges import (
    PARTITIONS,
    SequenceRanges,
)
from heliograph_collector.store.journal.jetstream.stored_rows import (
    Subjects,
    build_row,
    decode_message,
)
from heliograph_collector.store.journal.jetstream.streams import (
    JournalState,
    open_state,
    open_stream,
    read_id,
)
from heliograph_collector.store.journal.journal import check_row
from heliograph_collector.store.journal.position_waiters import PositionWaiters

APPEND_S = 12.0  # a new leader took 3 to 8 s; an agent gets a retry before its own deadline


@asynccontextmanager
async def open_jetstream(settings: ServerSettings, data: Path) -> AsyncIterator["JetStreamJournal"]:
    """Open the journal, and own it inside the block.

    Raises JournalError, DirectoryInUseError.
    """
    async with open_owned(settings, data) as (journal, _):
        yield journal


@asynccontextmanager
async def open_owned(
    settings: ServerSettings, data: Path, *, waits: bool = False
) -> AsyncIterator[tuple["JetStreamJournal", JournalLease]]:
    """Open the journal with its lease inside the block.

    If `waits`, wait until it can be owned. Raises JournalError, DirectoryInUseError.
    """
    try:
        lock = DirectoryLock(data, "journal")
    except OSError as error:
        raise JournalError(describe_os_error(data, error)) from error
    connection = NatsConnection(settings)
    try:
        await connection.open()
        lease = await open_lease(connection, settings.name, settings.replicas, data, waits=waits)
        async with lease.keep():
            journal = await _open_journal(connection, lease, settings)
            journal.term = lease.term
            connection.patience_s = PATIENCE_S
            try:
                yield journal, lease
            finally:
                journal.close_appends()
    finally:
        await connection.close()
        lock.release()


class JetStreamJournal:
    """See `protocol.JournalProtocol`; made by `open_jetstream`."""

    def __init__(
        self,
        connection: NatsConnection,
        lease: AppendPermission,
        settings: ServerSettings,
        state: JournalState,
        ranges: SequenceRanges,
        info: StreamInfo,
    ) -> None:
        subjects = Subjects(settings.name)
        self.id = read_id(info)
        self.term = 0  # of the lease by which it was opened; the next one's is greater
        self.alive_before_us = 0
        self.expiry_before_us = 0
        self.envelopes_kept_us = settings.kept_hours * HOUR_US
        self._growth = PositionWaiters(info.state.last_seq)
        self._lease = lease
        self.connection = connection
        self._subjects = subjects
        self._state = state
        self._ranges = ranges
        self._recent = RecentRows()
        self._reader = RowReader(connection, subjects, self._recent)
        self._writer = RowWriter(connection, lease, subjects)
        self.hosts = HostRegister(state)
        self._trimmer = RowTrimmer(
            connection, lease, subjects, self._writer, ranges, state, self.hosts
        )
        self._is_closed = False

    @property
    def position(self) -> int:
        """Return the highest position that this process knows to be stored."""
        return self._growth.position

    async def append(
        self, rows: Sequence[JournalRow], *, deadline_s: float = APPEND_S
    ) -> list[int | None]:
        """Append rows; return their positions after the servers' quorum has them.

        A failure may leave some rows stored; the same rows may be appended again.
        """
        for row in rows:
            check_row(row)
        if self._is_closed:
            raise JournalBusyError("The journal is closed.")
        new_indices = [n for n, row in enumerate(rows) if not self._is_trimmed(row)]
        appended = await self._writer.append([rows[n] for n in new_indices], deadline_s)
        positions: list[int | None] = [None] * len(rows)
        for index, position in zip(new_indices, appended, strict=True):
            if position is not None:
                positions[index] = position
                self._recent.add(position, replace(rows[index], position=position))
        self._growth.advance(max(filter(None, positions), default=0))
        return positions

    async def read(
        self,
        after: int,
        limit: int,
        *,
        limit_bytes: int = 16_777_216,
        kinds: Collection[RowKind] | None = None,
    ) -> list[JournalRow]:
        return await self._reader.read(after, self.position, limit, limit_bytes, kinds)

    async def read_body(self, agent: bytes, sequence: int) -> bytes | None:
        message = await self._reader.read_at_leader(self._subjects.envelope(agent, sequence))
        return None if message is None else decode_message(message.seq or 0, message.data).body

    async def read_arrivals(self, since_us: int) -> list[JournalRow]:
        """Return the arrivals that the servers got since a time. Raises JournalError."""
        since = datetime.fromtimestamp(since_us / 1_000_000, UTC)
        follower = StreamFollower(
            self.connection, self._subjects.name, self._subjects.presence, since
        )
        entries = await follower.read_new()
        rows = (build_row(e.position, decode_message(e.position, e.content)) for e in entries)
        return [row for row in rows if row.kind is RowKind.ARRIVAL]

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait until the position passes `position`; return False on timeout."""
        return await self._growth.wait_beyond(position, timeout_s)

    async def mark_alive(self, at_us: int) -> None:
        """Record that the collector is alive, and learn of rows whose answers were lost."""
        await require_permission(self._lease, self.connection)
        await self._state.put_alive(at_us)
        self._growth.advance(await self._reader.read_last_position())

    async def mark_expiry(self, at_us: int) -> None:
        await require_permission(self._lease, self.connection)
        await self._state.put_expiry(at_us)

    async def trim(
        self, max_position: int, received_before_us: int, presence_before_us: int | None = None
    ) -> int:
        """Delete the oldest rows up to the first that is younger; return how many."""
        trimmed_count, last = await self._trimmer.trim_envelopes(max_position, received_before_us)
        if presence_before_us is not None:
            presence_count, presence_last = await self._trimmer.trim_presence(
                max_position, presence_before_us
            )
            trimmed_count += presence_count
            last = max(last, presence_last)
        self._recent.discard_through(last)
        return trimmed_count

    async def note_position(self, position: int) -> None:
        """Take note of a row that another process appended, and wake who waits for it."""
        self._growth.advance(position)

    def close_appends(self) -> None:
        """Refuse later appends; `open_jetstream` closes the rest."""
        self._is_closed = True

    async def load_state(self) -> None:
        """Read what the bucket has. Raises JournalError."""
        marked_us = await self._state.get_alive()
        newest_us = 0
        if self.position:
            newest_us = await self._read_newest_us()
        self.alive_before_us = max(marked_us, newest_us)
        self.expiry_before_us = await self._state.get_expiry()
        for partition in range(PARTITIONS):
            content = await self._state.get_ranges(partition)
            try:
                self._ranges.load(content)
            except ValueError as error:
                raise JournalError(
                    f"The bucket {self._subjects.name}-state of the journal is damaged: restore it."
                ) from error

    async def check_bucket(self) -> None:
        """Check that stream and bucket belong together. Raises JournalError."""
        stored_id = await self._state.get_id()
        if stored_id == self.id:
            return
        if self.position:
            raise JournalError(
                f"The bucket {self._subjects.name}-state does not belong to the stream "
                f"{self._subjects.name}: restore both of one moment, or give store.journal "
                "another name."
            )
        await self._state.put_id(self.id)  # a new stream

    def _is_trimmed(self, row: JournalRow) -> bool:
        return row.kind is RowKind.ENVELOPE and self._ranges.contains(row.agent, row.sequence)

    async def _read_newest_us(self) -> int:
        try:
            message = await self.connection.ask(
                self.connection.js.get_msg, self._subjects.name, subject=">"
            )
        except nats.js.errors.NotFoundError:
            return 0
        stored = decode_message(message.seq or 0, message.data)
        return build_row(message.seq or 0, stored).received_us


async def _open_journal(
    connection: NatsConnection, lease: JournalLease, settings: ServerSettings
) -> JetStreamJournal:
    info = await open_stream(connection, settings)
    state = await open_state(connection, settings)
    journal = JetStreamJournal(connection, lease, settings, state, SequenceRanges(), info)
    await journal.check_bucket()
    await journal.load_state()
    return journal
