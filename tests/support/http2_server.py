"""An HTTP/2 server on loopback without another protocol; needs the package h2.

with http2_server(leaf, lambda request: Http2Reply([(":status", "200")], b"page")) as port: ...
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.loopback_ca import Leaf
from support.tls_server import tls_server
from support.values import present


@dataclass
class Http2Request:
    """One request, and the settings at the start of its connection."""

    headers: list[tuple[str, str]]
    settings: dict[int, int]
    body: bytes = b""

    @property
    def fields(self) -> dict[str, str]:
        return dict(self.headers)


@dataclass(frozen=True)
class Http2Reply:
    """A reply; `is_cut` ends the connection mid-stream, `is_reset` resets the stream."""

    headers: list[tuple[str, str]]
    body: bytes = b""
    is_cut: bool = False
    is_reset: bool = False
    interim: list[tuple[str, str]] = field(default_factory=list)


Answer = Callable[[Http2Request], Http2Reply]


@contextmanager
def http2_server(leaf: Leaf, answer: Answer) -> Iterator[int]:
    """Run the server; yield its port."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Session(reader, writer, answer).run()

    with tls_server(leaf, handler, alpn=("h2",)) as port:
        yield port


class _Session:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
    ) -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection

        self._reader = reader
        self._writer = writer
        self._answer = answer
        configuration = H2Configuration(client_side=False, header_encoding="latin-1")
        self._connection = H2Connection(configuration)
        self._settings: dict[int, int] = {}
        self._request: Http2Request | None = None

    async def run(self) -> None:
        from h2 import events

        self._connection.initiate_connection()
        await self._flush()
        while data := await self._reader.read(65_536):
            for event in self._connection.receive_data(data):
                if isinstance(event, events.RemoteSettingsChanged):
                    changes = event.changed_settings
                    self._settings |= {int(code): c.new_value for code, c in changes.items()}
                elif isinstance(event, events.RequestReceived):
                    headers = [(str(name), str(value)) for name, value in event.headers or ()]
                    self._request = Http2Request(headers, self._settings)
                elif isinstance(event, events.DataReceived) and self._request:
                    self._request.body += event.data or b""
                elif isinstance(event, events.StreamEnded):
                    is_ended = await self._reply(present(self._request), event.stream_id or 1)
                    if is_ended:
                        return
            await self._flush()

    async def _reply(self, request: Http2Request, stream: int) -> bool:
        """Answer a request; return whether the connection ends here."""
        reply = self._answer(request)
        if reply.interim:
            self._connection.send_headers(stream, reply.interim)
        if reply.headers:
            self._connection.send_headers(stream, reply.headers)
        await self._send_body(stream, reply.body)
        if reply.is_reset:
            self._connection.reset_stream(stream)
        elif not reply.is_cut:
            self._connection.end_stream(stream)
        await self._flush()
        return reply.is_cut

    async def _send_body(self, stream: int, body: bytes) -> None:
        """Send a body as the client's windows allow."""
        while body:
            room = min(16_384, self._connection.local_flow_control_window(stream))
            if room:
                self._connection.send_data(stream, body[:room])
                body = body[room:]
                await self._flush()
            else:
                self._connection.receive_data(await self._reader.read(65_536))

    async def _flush(self) -> None:
        self._writer.write(self._connection.data_to_send())
        await self._writer.drain()
