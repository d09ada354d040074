"""The journal as an ingest host sees it; there may be many such hosts.

Theory of operation. The servers refuse a repeat from any host as long as they have the first; after
that the ranges do (sequence_ranges.py), which every host follows. A host registers, reads the
ranges, and then reads every POLL_S what was added. It appends nothing while its last reading is
older than FENCE_S, so that a leader that has had no report of it for longer may delete rows. If the
reading is older than AGAIN_S the leader may have removed the host, which registers again before it
reads. Rows that only the leader decides on (a start, a loss, a fault) are dropped here: an agent
that left this host may be at another.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import nats.js.errors

from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.group_commit import JournalBusyError, JournalError
from heliograph_collector.store.journal.jetstream.connection import (
    PATIENCE_S,
    NatsConnection,
    ServerSettings,
)
from heliograph_collector.store.journal.jetstream.follower import StreamFollower
from heliograph_collector.store.journal.jetstream.journal import APPEND_S, JetStreamJournal
from heliograph_collector.store.journal.jetstream.lease import require_permission
from heliograph_collector.store.journal.jetstream.row_writer import LATE_S
from heliograph_collector.store.journal.jetstream.sequence_ranges import SequenceRanges
from heliograph_collector.store.journal.jetstream.streams import (
    RANGES,
    JournalState,
    is_unfinished,
    open_state,
    read_id,
)

POLL_S = 1.0  # assumed; far below FENCE_S
FENCE_S = LATE_S / 20  # far below LATE_S, after which the leader removes a host
AGAIN_S = LATE_S / 2  # below it too
_WAIT_S = 0.1  # until a server that is behind is asked again
_LEADERS_ROWS = frozenset({RowKind.START, RowKind.LOST, RowKind.FAULT})


class RangeFollower:
    """Keeps the ranges up to date, and thereby the permission to append."""

    def __init__(
        self, connection: NatsConnection, state: JournalState, ranges: SequenceRanges, host: str
    ) -> None:
        bucket = state.name
        self._state = state
        self._ranges = ranges
        self._host = host
        self._follower = StreamFollower(connection, f"KV_{bucket}", f"$KV.{bucket}.{RANGES}*")
        self._registered = 0  # the revision at which it did so last
        self._read_s = -AGAIN_S
        self._updated = asyncio.Event()

    async def update(self) -> int:
        """Read the new entries; return the revision up to which ranges are known.

        Registers before the first time, and after a long time without. Raises JournalError.
        """
        if asyncio.get_running_loop().time() - self._read_s >= AGAIN_S:
            self._registered = await self._state.put_host(self._host)
        while True:
            began_s = asyncio.get_running_loop().time()
            await self._read_ranges()
            if self._follower.position >= self._registered:  # else a server that is behind answered
                break
            await asyncio.sleep(_WAIT_S)
        self._read_s = began_s
        self._updated.set()
        return self._follower.position

    async def _read_ranges(self) -> None:
        for entry in await self._follower.read_new():
            if entry.content is not None:
                try:
                    self._ranges.load(entry.content)
                except ValueError as error:
                    raise JournalError(f"The bucket {self._state.name} is damaged.") from error

    async def wait_until_held(self) -> None:
        """Wait until the ranges are known as of a moment ago."""
        while asyncio.get_running_loop().time() - self._read_s > FENCE_S:
            self._updated.clear()
            await self._updated.wait()

    async def unregister(self) -> None:
        with suppress(JournalError, TimeoutError):
            async with asyncio.timeout(2.0):
                await self._state.remove_host(self._host, self._registered)


class HostJournal(JetStreamJournal):
    """See `protocol.JournalProtocol`; made by `open_host_journal`."""

    ranges_applied = 0  # revision; no call is in flight that began before it was applied

    async def append(
        self, rows: Sequence[JournalRow], *, deadline_s: float = APPEND_S
    ) -> list[int | None]:
        """Append rows, but for those on which the leader decides: their position is None."""
        own = [number for number, row in enumerate(rows) if row.kind not in _LEADERS_ROWS]
        positions: list[int | None] = [None] * len(rows)
        if own:
            appended = await super().append([rows[n] for n in own], deadline_s=deadline_s)
            for number, position in zip(own, appended, strict=True):
                positions[number] = position
        return positions

    async def mark_alive(self, at_us: int) -> None:
        """Check that the servers answer; the leader marks the collector alive."""
        await require_permission(self._lease, self.connection)
        self._growth.advance(await self._reader.read_last_position())

    async def mark_expiry(self, at_us: int) -> None:
        raise JournalError("An ingest host deletes nothing.")

    async def trim(
        self, max_position: int, received_before_us: int, presence_before_us: int | None = None
    ) -> int:
        raise JournalError("An ingest host deletes nothing.")

    async def follow_ranges(self, follower: RangeFollower) -> None:
        """Keep the ranges up to date; never return."""
        pending: set[object] = set()
        read = 0
        while True:
            await asyncio.sleep(POLL_S)
            with suppress(JournalBusyError):  # without servers nothing is appended either
                revision = await follower.update()
                if not pending & self._writer.calls_in_flight and not self._writer.is_any_late:
                    self.ranges_applied = read
                    pending = set(self._writer.calls_in_flight)
                    read = revision


@asynccontextmanager
async def open_host_journal(
    settings: ServerSettings,
) -> AsyncIterator[tuple[str, HostJournal, NatsConnection]]:
    """Open the journal beside other hosts, and follow the ranges inside the block.

    Yields the name of this run, by which the leader knows it. Raises JournalError.
    """
    connection = NatsConnection(settings)
    host = secrets.token_hex(8)
    try:
        await connection.open()
        follower, journal = await _open(connection, settings, host)
        connection.patience_s = PATIENCE_S
        async with asyncio.TaskGroup() as group:
            task = group.create_task(journal.follow_ranges(follower))
            try:
                yield host, journal, connection
            finally:
                journal.close_appends()
                task.cancel()
        await follower.unregister()
    finally:
        await connection.close()


async def _open(
    connection: NatsConnection, settings: ServerSettings, host: str
) -> tuple[RangeFollower, HostJournal]:
    try:
        info = await connection.ask(connection.js.stream_info, settings.name)
    except nats.js.errors.NotFoundError:
        raise JournalError(
            f"There is no stream {settings.name} yet: start the collector that leads first."
        ) from None
    if not read_id(info) or is_unfinished(info):
        raise JournalError(
            f"The stream {settings.name} is no journal, or was not wholly moved: start the "
            "collector that leads first."
        )
    state = await open_state(connection, settings)
    ranges = SequenceRanges()
    follower = RangeFollower(connection, state, ranges, host)
    await follower.update()
    return follower, HostJournal(connection, follower, settings, state, ranges, info)
