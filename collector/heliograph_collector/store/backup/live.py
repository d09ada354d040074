"""Back up a running collector over a Unix socket in its data directory.

The embedded store has one owner, so the collector itself reads the tables, and `backup` does the
rest from the files. Each client gets one snapshot, as frames of a kind, a length and a body:

    S  StoreSnapshot as JSON, first
    D  bytes of the present table
    E  end of the present table; the tables come in the order of the snapshot
    X  a sentence: the backup failed

One backup runs at a time; a second caller waits for its end.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import msgspec

from heliograph import local_socket
from heliograph_collector.store.backup import BackupError
from heliograph_collector.store.backup.save import TableSource
from heliograph_collector.store.store import StoreError
from heliograph_collector.store.table_snapshot import StoreSnapshot

SOCKET_FILE = "backup.sock"
START_TIMEOUT_S = 120.0  # assumed: a collector opens its store within seconds
_PART_TIMEOUT_S = 300.0  # of a frame, as of a write of the store
_FRAME = struct.Struct(">cI")
_SNAPSHOT = b"S"
_DATA = b"D"
_END = b"E"
_ERROR = b"X"
_PIECE_BYTES = 1_048_576
_MAX_FRAME_BYTES = 16 * _PIECE_BYTES
log = logging.getLogger("heliograph.backup")


class BackupServer:
    """Gives snapshots of the open store to `backup`, one after the other."""

    def __init__(self, source: TableSource, data: Path) -> None:
        self._source = source
        self._data = data

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            await local_socket.serve(self._data, SOCKET_FILE, self._answer)
        except OSError as error:
            log.error("Backups need serve to be stopped: %s (%s).", SOCKET_FILE, error.strerror)

    async def _answer(self, connection: socket.socket) -> None:
        try:
            await self._send_tables(connection)
        except StoreError as error:
            log.error("A backup failed: %s", error)
            with suppress(OSError, TimeoutError):
                await _send(connection, _ERROR, str(error).encode())
        except (OSError, TimeoutError):
            log.warning("A backup was broken off by its command.")

    async def _send_tables(self, connection: socket.socket) -> None:
        async with self._source.open_snapshot() as snapshot:
            await _send(connection, _SNAPSHOT, msgspec.json.encode(snapshot))
            for table in snapshot.tables:
                async with aclosing(self._source.read_table(table.name)) as pieces:
                    async for piece in pieces:
                        await _send(connection, _DATA, piece)
                await _send(connection, _END)
        log.info("A backup has read the store.")


class LiveTables:
    """The tables of a collector that runs on a data directory, for `save_backup`."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._reader = asyncio.StreamReader()  # that of the connection, while a snapshot is open

    @asynccontextmanager
    async def open_snapshot(self) -> AsyncIterator[StoreSnapshot]:
        """Connect and read the summary. Raises BackupError."""
        connection = await _connect(self._data)
        self._reader, writer = await asyncio.open_unix_connection(
            sock=connection, limit=_PIECE_BYTES
        )
        try:
            # The collector counts and hashes all rows before its first frame.
            body = await self._receive(_SNAPSHOT, timeout_s=3_600.0)
            yield msgspec.json.decode(body or b"", type=StoreSnapshot)
        finally:
            writer.close()

    async def read_table(self, table: str) -> AsyncGenerator[bytes, None]:
        """Read the next table; the collector sends them in order. Raises BackupError."""
        while (piece := await self._receive(_DATA)) is not None:
            yield piece

    async def _receive(self, kind: bytes, timeout_s: float = _PART_TIMEOUT_S) -> bytes | None:
        """Receive a frame of this kind, None for the end of a table. Raises BackupError."""
        try:
            async with asyncio.timeout(timeout_s):
                received_kind, length = _FRAME.unpack(await self._reader.readexactly(_FRAME.size))
                if length > _MAX_FRAME_BYTES:
                    raise BackupError("The collector's answer is of another version: restart it.")
                body = await self._reader.readexactly(length)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise BackupError(
                "The collector broke the backup off: see its log, and run the backup again."
            ) from error
        if received_kind == _ERROR:
            raise BackupError(f"The collector could not read its store: {body.decode()}")
        if received_kind not in (kind, _END):
            raise BackupError("The collector's answer is of another version: restart it.")
        return None if received_kind == _END else body


async def _send(connection: socket.socket, kind: bytes, body: bytes = b"") -> None:
    async with asyncio.timeout(_PART_TIMEOUT_S):
        frame = _FRAME.pack(kind, len(body)) + body
        await asyncio.get_running_loop().sock_sendall(connection, frame)


async def _connect(data: Path) -> socket.socket:
    """Connect, and wait for a collector that is just starting. Raises BackupError."""
    try:
        return await local_socket.connect(data, SOCKET_FILE, START_TIMEOUT_S)
    except OSError as error:
        raise BackupError(
            f"The collector on {data} takes no backup ({error}): run this command as its user, "
            "or stop it first."
        ) from error
