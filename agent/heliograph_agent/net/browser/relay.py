"""Pass the bytes of one local client to an open stream, and note their TLS.

The client uses the relay as an HTTP proxy (CONNECT, RFC 9110 section 9.3.6), with a token
that nobody else on this machine knows. A second connection is closed.
"""

import asyncio
import base64
import socket
from contextlib import suppress

from heliograph_agent.net.trace import ByteStream

HOST = "127.0.0.1"
USER = "agent"
_READ = 65_536
_MAX_HEAD = 8_192
_AUTHORIZATION = b"proxy-authorization"
_TOKEN_S = 5.0  # assumed; for a stranger's first line, the client's own comes at once
_MAX_KEPT = 16_640  # bytes of a direction's beginning: one record of TLS
_HEADER = 5
_CHANGE_CIPHER = 20
_ALERT = 21
_HANDSHAKE = 22
_APPLICATION_DATA = 23
_CLEAR_ALERT = 2  # level and number; an encrypted alert is longer
_ENCRYPTED_ALERT = 19  # RFC 8446 section 5.2: an alert, its type and a tag


class RecordReader:
    """Follow the records of one direction.

    A client is through when it sends data after its Finished message: curl looks at the certificate
    last, and shows no more than an alert if it does not verify. The Finished is an encrypted
    handshake record in TLS 1.2, and looks like data in TLS 1.3.
    """

    def __init__(self) -> None:
        self.start = bytearray()  # the first bytes
        self.alert: int | None = None  # the last in clear
        self.has_data = False  # whether data came after the Finished message
        self._is_changed = False  # the cipher, by a ChangeCipherSpec
        self._is_finished = False
        self._header = bytearray()
        self._body = bytearray()
        self._rest = 0  # bytes of the current record to come

    def feed(self, data: bytes) -> None:
        self.start += data[: _MAX_KEPT - len(self.start)]
        while data:
            if not self._rest:
                data = self._feed_header(data)
                continue
            self._body += data[: min(self._rest, _CLEAR_ALERT - len(self._body))]
            body_bytes = min(self._rest, len(data))
            self._rest -= body_bytes
            data = data[body_bytes:]
            if not self._rest:
                self._end_record()

    def _feed_header(self, data: bytes) -> bytes:
        missing = _HEADER - len(self._header)
        self._header += data[:missing]
        if len(self._header) == _HEADER:
            self._rest = int.from_bytes(self._header[3:], "big")
            self._body.clear()
            if not self._rest:
                self._header.clear()
        return data[missing:]

    def _end_record(self) -> None:
        kind = self._header[0]
        size = int.from_bytes(self._header[3:], "big")
        if kind == _ALERT and size == _CLEAR_ALERT:
            self.alert = self._body[1]
        is_data = kind == _APPLICATION_DATA and size != _ENCRYPTED_ALERT
        self.has_data |= is_data and self._is_finished
        self._is_finished |= is_data or (kind == _HANDSHAKE and self._is_changed)
        self._is_changed |= kind == _CHANGE_CIPHER
        self._header.clear()

    @property
    def first_record(self) -> bytes:
        """Return the first record, as far as it came."""
        size = _HEADER + int.from_bytes(self.start[3:_HEADER], "big")
        return bytes(self.start[:size])


class ObservingRelay:
    """Relay one connection; `sent` and `received` hold what its bytes show."""

    def __init__(self, stream: ByteStream, token: bytes) -> None:
        self.credentials = f"{USER}:{token.hex()}"
        self.sent = RecordReader()
        self.received = RecordReader()
        self.error: OSError | None = None  # that ended the stream
        self.is_ended = False  # the server closed
        self.progress = asyncio.Event()  # the client has sent encrypted data, or never will
        self._expected = b"basic " + base64.b64encode(self.credentials.encode())
        self._stream = stream
        self._listener = socket.create_server((HOST, 0))
        self._listener.setblocking(False)
        self._writer: asyncio.StreamWriter | None = None

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """End both connections at once."""
        self._listener.close()
        if self._writer is not None:
            self._writer.transport.abort()
        self._stream.close()

    async def run(self) -> None:
        """Accept connections until one has the token, and pass its bytes on."""
        loop = asyncio.get_running_loop()
        while self._writer is None:
            accepted, _ = await loop.sock_accept(self._listener)
            reader, writer = await asyncio.open_connection(sock=accepted, limit=_MAX_HEAD)
            try:
                if await self._is_authorized(reader):
                    self._writer = writer
                    writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._send(reader))
                        group.create_task(self._receive(writer))
            finally:
                writer.transport.abort()

    async def _is_authorized(self, reader: asyncio.StreamReader) -> bool:
        try:
            async with asyncio.timeout(_TOKEN_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            return False
        lines = (line.partition(b":") for line in head.split(b"\r\n"))
        values = [value.strip() for name, _, value in lines if name.lower() == _AUTHORIZATION]
        return any(value[:6].lower() + value[6:] == self._expected for value in values)

    async def _send(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):  # either side left, which the other way shows
            while data := await reader.read(_READ):
                self.sent.feed(data)
                if self.sent.has_data:
                    self.progress.set()
                self._stream.writer.write(data)
                await self._stream.writer.drain()

    async def _receive(self, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await self._stream.reader.read(_READ):
                self.received.feed(data)
                writer.write(data)
                with suppress(OSError):  # the client left
                    await writer.drain()
        except OSError as error:
            self.error = error
        self.is_ended = True
        with suppress(OSError):
            writer.write_eof()  # the client's last word, an alert, may still come
