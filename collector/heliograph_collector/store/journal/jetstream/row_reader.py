"""Reading rows in order, without a gap that is not one.

Theory of operation. Any server may answer for a message that it has, because no message ever
changes. That it has none proves nothing: it may be behind. Then the stream's leader is asked for
the next one, and must itself have come as far as this process knows that the stream has. So a
reader that gets fewer rows than it asked for has read all up to the `position` from before.

Rows that follow each other come many at a time (row_feed.py). Where one is left out, and where none
come in this way, rows are asked for by their positions, and then of the leader.

The newest rows are kept in memory, also those that other hosts appended: the judge and the
detectors read each within seconds, and the servers answered which position it has.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from itertools import takewhile

import nats.js.errors
from nats.js.api import RawStreamMsg

from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.row_feed import RowFeed
from heliograph_collector.store.journal.jetstream.stored_rows import (
    Subjects,
    build_row,
    decode_message,
)

_WINDOW = 32  # messages asked for at once; assumed
_KEPT_BYTES = 16_777_216  # of bodies in memory; assumed: a minute of 30,000 agents
_ROW_BYTES = 400  # of a row beside its body; assumed
_END = JournalRow(kind=RowKind.START, agent=b"", received_us=0, position=1 << 63)


class RecentRows:
    """The rows that were appended or read last by position, up to a limit of bytes."""

    def __init__(self) -> None:
        self._rows: OrderedDict[int, JournalRow] = OrderedDict()
        self._bytes = 0

    def add(self, position: int, row: JournalRow) -> None:
        if position in self._rows:  # the judge and the detectors asked for it at the same time
            return
        self._rows[position] = row
        self._bytes += len(row.body) + _ROW_BYTES
        while self._bytes > _KEPT_BYTES:
            _, oldest = self._rows.popitem(last=False)
            self._bytes -= len(oldest.body) + _ROW_BYTES

    def get(self, position: int) -> JournalRow | None:
        return self._rows.get(position)

    def discard_through(self, position: int) -> None:
        """Forget rows that may have been deleted."""
        for kept in [kept for kept in self._rows if kept <= position]:
            self._bytes -= len(self._rows.pop(kept).body) + _ROW_BYTES


class RowReader:
    def __init__(self, connection: NatsConnection, subjects: Subjects, recent: RecentRows) -> None:
        self._connection = connection
        self._subjects = subjects
        self._recent = recent
        self._feed = RowFeed(connection, subjects.name)

    async def read(
        self,
        after: int,
        last: int,
        limit: int,
        limit_bytes: int,
        kinds: Collection[RowKind] | None,
    ) -> list[JournalRow]:
        """Read rows in (after, last], as Journal.read does. Raises JournalError."""
        if kinds is not None and RowKind.ENVELOPE not in kinds:
            return await self._read_presence(after, last, limit, kinds)
        rows: list[JournalRow] = []
        size = 0
        position = after + 1
        while position <= last and len(rows) < limit and size < limit_bytes:
            for row in await self._get_window(position, last, limit - len(rows)):
                position = row.position + 1
                if kinds is None or row.kind in kinds:
                    rows.append(row)
                    size += len(row.body)
                if row.position > last or len(rows) >= limit or size >= limit_bytes:
                    break
        return [row for row in rows if row.position <= last]

    async def read_at_leader(self, subject: str) -> RawStreamMsg | None:
        """Read the message of a subject, None if there is none. Raises JournalError."""
        try:
            return await self._connection.ask(
                self._connection.js.get_msg, self._subjects.name, subject=subject
            )
        except nats.js.errors.NotFoundError:
            return None

    async def read_last_position(self) -> int:
        """Return the position of the newest message, deleted or not. Raises JournalError."""
        info = await self._connection.ask(self._connection.js.stream_info, self._subjects.name)
        return info.state.last_seq

    async def _get_window(self, first: int, last: int, limit: int) -> list[JournalRow]:
        """Get the next rows from `first` on.

        The first one returned is beyond `last` only if there is no other.
        """
        window = range(first, min(first + min(_WINDOW, limit), last + 1))
        remembered = list(takewhile(bool, map(self._recent.get, window)))
        if remembered:  # without a task for each
            return [row for row in remembered if row is not None]
        if rows := await self._read_feed(first, min(limit, last + 1 - first)):
            return rows
        found = await asyncio.gather(*map(self._get, window), return_exceptions=True)
        for row in found:
            if isinstance(row, BaseException):
                raise row
            if row is None:  # deleted, or that server is behind
                break
            rows.append(row)
        if rows:
            return rows
        next_row = await self._get_next(first, last, ">")
        return [next_row or _END]

    async def _read_feed(self, first: int, count: int) -> list[JournalRow]:
        """Read the next rows up to the first position that is left out."""
        rows = await self._feed.read(first, count)
        for row in rows:
            self._recent.add(row.position, row)
        return [row for position, row in enumerate(rows, first) if row.position == position]

    async def _get(self, position: int) -> JournalRow | None:
        row = self._recent.get(position)
        if row is not None:
            return row
        try:
            message = await self._connection.ask(
                self._connection.js.get_msg, self._subjects.name, seq=position, direct=True
            )
        except nats.js.errors.NotFoundError:
            return None
        return self._remember(message)

    async def _read_presence(
        self, after: int, last: int, limit: int, kinds: Collection[RowKind]
    ) -> list[JournalRow]:
        rows: list[JournalRow] = []
        while len(rows) < limit:
            row = await self._get_next(after + 1, last, self._subjects.presence)
            if row is None or row.position > last:
                break
            after = row.position
            if row.kind in kinds:
                rows.append(row)
        return rows

    async def _get_next(self, position: int, last: int, subject: str) -> JournalRow | None:
        """Get the next message of a subject from the leader, None if none is up to `last`.

        Raises JournalError, also if the leader itself has not come as far.
        """
        js = self._connection.js
        try:
            message = await self._connection.ask(
                js.get_msg, self._subjects.name, seq=position, subject=subject, next=True
            )
        except nats.js.errors.NotFoundError:
            if await self.read_last_position() < last:
                raise self._connection.build_failure() from None
            return None
        return self._remember(message)

    def _remember(self, message: RawStreamMsg) -> JournalRow:
        position = message.seq or 0
        row = build_row(position, decode_message(position, message.data))
        self._recent.add(position, row)
        return row
