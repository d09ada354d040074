"""One end of the stream between `serve` and its ingest process."""

import asyncio
import socket

from heliograph_collector.app.frames import (
    HEADER_BYTES,
    FrameError,
    decode_length,
    encode_frame,
)
from heliograph_collector.app.ingest_messages import IngestMessage, decode_message

_READ_BUFFER = 1_048_576
MAX_UNREAD_BYTES = 8_388_608  # assumed: some seconds of what a busy side sends


class LinkLostError(Exception):
    """The other side ended, or sent bytes that are no message."""


class IngestLink:
    """Send and receive messages; any task may send, one receives."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: IngestMessage) -> None:
        """Send, and wait for as long as the other side is busy. Raises LinkLostError."""
        try:
            self._writer.write(encode_frame(message))
            await self._writer.drain()
        except (OSError, FrameError) as error:
            raise LinkLostError(str(error)) from error

    def offer(self, message: IngestMessage) -> bool:
        """Send at once, or return False where too much waits to be read, or nobody reads."""
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            return False
        self._writer.write(encode_frame(message))
        return True

    async def receive(self) -> IngestMessage:
        """Wait for the next message. Raises LinkLostError."""
        try:
            length = decode_length(await self._reader.readexactly(HEADER_BYTES))
            return decode_message(await self._reader.readexactly(length))
        except (OSError, EOFError, FrameError) as error:
            raise LinkLostError(str(error) or type(error).__name__) from error

    def close(self) -> None:
        self._writer.close()


async def open_link(connection: socket.socket) -> IngestLink:
    """Open one end of a connected pair of sockets, which the link then closes."""
    return IngestLink(*await asyncio.open_unix_connection(sock=connection, limit=_READ_BUFFER))
