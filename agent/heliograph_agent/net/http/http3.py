"""Make one HTTP/3 exchange (RFC 9114) over an open QUIC connection."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from heliograph.failure import Failure
from heliograph.observation import Http
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.http.html_text import extract_title, make_single_line
from heliograph_agent.net.http.http1 import BROWSER
from heliograph_agent.net.http.response_parser import MAX_HEAD, decode_location
from heliograph_agent.net.quic.connection import QuicEndedError, QuicTransport
from heliograph_agent.net.step import StepFacts

if TYPE_CHECKING:
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import H3Event
    from aioquic.quic.connection import QuicConnection
    from aioquic.quic.events import QuicEvent

_KEPT = 65_536  # bytes of the body that are searched for a title
_MAX_HEADER = 2_048
_MAX_NAMES = 64
_MAX_NAME = 128  # characters
_OTHER_BYTES = 2 * MAX_HEAD  # of heads, settings and frames' headers
_NOT_HERE = ("connection", "host")  # RFC 9114 section 4.2: such a header makes a request malformed


class Http3Exchange:
    """Make one request: `run_round_trip`, then `read_body`, each once."""

    def __init__(self, transport: QuicTransport, url: str) -> None:
        """Encode the request. Raises ValueError when `url` cannot be requested."""
        self._transport = transport
        self._url = url
        self._request = _encode_headers(urlsplit(url))
        self._h3: H3Connection | None = None
        self._stream = -1
        self._headers: dict[str, str] = {}
        self._early_data: list[bytes] = []  # of the body; flow control bounds it
        self._limit: int | None = None
        self._digest = hashlib.sha256()
        self._size = 0
        self._other_bytes = 0  # received, and not of the body
        self._is_ended = False  # the peer has ended its reply
        self._body = bytearray()  # its beginning
        self.status = 0
        self.has_body = True

    async def run_round_trip(self) -> None:
        """Send the request and read the reply's headers. Raises OSError or StepError."""
        self._h3 = _open_connection(self._transport.connection)
        self._stream = self._transport.connection.get_next_available_stream_id()
        self._h3.send_headers(self._stream, self._request, end_stream=True)
        while not self.status:
            await self._run_turn(malformed=Failure.HTTP_REQUEST_FAILED, ended=Failure.EOF_ERROR)
            if self._is_ended and not self.status:
                raise StepError(Failure.EOF_ERROR)

    async def read_body(self, limit: int) -> None:
        """Read the body, at most `limit` bytes. Raises OSError or StepError."""
        self._limit = limit
        for data in self._early_data:
            self._add_body(data)
        truncated = Failure.HTTP_TRUNCATED_BODY
        while not self._is_ended and self._size <= limit:
            await self._run_turn(malformed=truncated, ended=truncated)

    def step_facts(self) -> StepFacts:
        """Return the facts of the round trip, and of the body once it is read."""
        http = Http(
            method="GET",
            url=self._url[:_MAX_HEADER],
            status=self.status,
            server=make_single_line(self._headers.get("server", ""), 200),
            location=make_single_line(
                decode_location(self._headers.get("location", "")), _MAX_HEADER
            ),
            version="3" if self.status else "",
            header_names=tuple(sorted({name[:_MAX_NAME] for name in self._headers})[:_MAX_NAMES]),
        )
        if self._limit is None:
            return {"http": http}
        http = replace(
            http,
            title=extract_title(bytes(self._body), self._headers.get("content-type", "")),
            body_bytes=min(self._size, self._limit),
            body_sha256=self._digest.hexdigest(),
            truncated=not self._is_ended or self._size > self._limit,
        )
        return {"http": http}

    async def _run_turn(self, *, malformed: Failure, ended: Failure) -> None:
        """Run one turn of the connection and handle its events."""
        from aioquic.quic.events import StreamDataReceived, StreamReset

        try:
            await self._transport.run_turn()
        except QuicEndedError as end:
            raise StepError(ended if end.is_by_peer else malformed) from end
        for event in self._transport.iter_events():
            if isinstance(event, StreamReset) and event.stream_id == self._stream:
                raise StepError(Failure.CONNECTION_RESET if not self.status else ended)
            if isinstance(event, StreamDataReceived):
                self._other_bytes += len(event.data)
            self._handle_event(event)
        if self._other_bytes > _OTHER_BYTES:
            raise StepError(malformed)

    def _handle_event(self, event: "QuicEvent") -> None:
        from aioquic.h3.events import DataReceived, HeadersReceived

        for h3_event in self._h3_events(event):
            if not isinstance(h3_event, DataReceived | HeadersReceived):
                continue
            if h3_event.stream_id != self._stream:
                continue
            if isinstance(h3_event, DataReceived):
                self._other_bytes -= len(h3_event.data)
            if isinstance(h3_event, HeadersReceived):
                self._set_head(h3_event.headers)
            elif self._limit is None:
                self._early_data.append(h3_event.data)
            else:
                self._add_body(h3_event.data)
            self._is_ended = h3_event.stream_ended

    def _h3_events(self, event: "QuicEvent") -> Iterator["H3Event"]:
        """Yield aioquic's HTTP/3 events.

        The end of a stream is passed separately from its data: aioquic treats a body that is
        shorter than announced as an error, and would lose the headers with it.
        """
        from aioquic.quic.events import StreamDataReceived

        if self._h3 is None:
            return
        if isinstance(event, StreamDataReceived) and event.end_stream and event.data:
            yield from self._h3.handle_event(replace(event, end_stream=False))
            event = replace(event, data=b"")
        yield from self._h3.handle_event(event)

    def _set_head(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Store the headers of the final reply; ignore interim replies and trailers."""
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        status = int(dict(fields).get(":status", "0"))
        if self.status or status < 200:
            return
        self.status = status
        for name, value in fields:
            if not name.startswith(":"):
                self._headers.setdefault(name, value)

    def _add_body(self, data: bytes) -> None:
        counted = data[: max(0, (self._limit or 0) - self._size)]
        self._size += len(data)
        self._digest.update(counted)
        self._body += counted[: max(0, _KEPT - len(self._body))]


def _open_connection(connection: "QuicConnection") -> "H3Connection":
    """Begin HTTP/3 without QPACK's dynamic table (RFC 9204 section 3.2).

    With it each byte of a head may stand for a field of 4 KB: 60 KB made 240 MB.
    """
    from aioquic.h3.connection import H3Connection
    from pylsqpack import Decoder

    class StaticTableConnection(H3Connection):
        def _init_connection(self) -> None:
            self._max_table_capacity = 0
            self._blocked_streams = 0
            self._decoder = Decoder(0, 0)
            super()._init_connection()

    return StaticTableConnection(connection)


def _encode_headers(url: SplitResult) -> list[tuple[bytes, bytes]]:
    """Encode the headers. Raises ValueError when the URL cannot be sent."""
    if url.scheme != "https" or not url.hostname:
        raise ValueError(f"url: {url.geturl()!r} is no https URL")
    name = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    fields = {
        ":method": "GET",
        ":scheme": "https",
        ":authority": name if url.port in (None, 443) else f"{name}:{url.port}",
        ":path": (url.path or "/") + (f"?{url.query}" if url.query else ""),
    }
    fields |= {k.lower(): v for k, v in BROWSER.items() if k.lower() not in _NOT_HERE}
    try:
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in fields.items()]
    except UnicodeEncodeError as error:
        raise ValueError(f"url: {url.geturl()!r} is not in ASCII") from error
