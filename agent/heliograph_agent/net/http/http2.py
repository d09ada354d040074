"""Make one HTTP/2 exchange (RFC 9113) over an open TLS stream, by the package h2.

`Http2Stream` turns the frames of one stream into what `Http1Exchange` reads: a head, then bytes to
the end. Settings, window, priority and the order of pseudo-headers are Firefox's, because servers
tell clients apart by them (Akamai, Passive Fingerprinting of HTTP/2 Clients, 2017).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult

from heliograph.failure import Failure
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.http.http1 import Http1Exchange, format_host, merge_headers
from heliograph_agent.net.http.response_parser import NotHttpError, ResponseHead
from heliograph_agent.net.trace import ByteReader, ByteWriter

if TYPE_CHECKING:
    from h2.connection import H2Connection
    from h2.events import Event

ALPN = "h2"
_READ = 65_536
# Firefox's connection, as curl_cffi's profiles of it have it: 1:65536;2:0;4:131072;5:16384
_TABLE_BYTES = 65_536
_WINDOW = 131_072
_FRAME_BYTES = 16_384
_CONNECTION_WINDOW = 12_517_377
_WEIGHT = 42
# RFC 9113 sections 4.1 and 6.1
_HEADER_BYTES = 9
_DATA = 0
_PADDED = 0x08
_MAX_INTERIM = 8  # 1xx replies before the real one, as for HTTP/1.1
# RFC 9113 section 8.2.2: a header of one connection makes a request malformed.
_NOT_HERE = frozenset({"connection", "host", "upgrade", "keep-alive", "transfer-encoding"})


class DataScanner:
    """Take the payload of one stream's DATA frames out of the bytes as they arrive.

    The package h2 gives whole frames only, up to 16 KiB: of a connection that is frozen within its
    first 25 KB it would show 8 or none. Frames with padding, which servers hardly send, are left to
    h2, as is what follows the first of them.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._header = bytearray()
        self._left = 0  # bytes of the present frame
        self._is_data = False
        self._is_padded = False
        self._frames = 0  # DATA frames taken here that h2 has not told of yet

    def feed(self, data: bytes) -> bytes:
        """Return the payload in the next bytes of the connection."""
        payload = bytearray()
        position = 0
        while position < len(data) and not self._is_padded:
            size = self._left or _HEADER_BYTES - len(self._header)
            part = data[position : position + size]
            position += len(part)
            if not self._left:
                self._add_header(part)
                continue
            self._left -= len(part)
            if self._is_data:
                payload += part
        return bytes(payload)

    def has_taken(self) -> bool:
        """Tell of the next frame of h2 whether its payload was taken here."""
        is_taken = self._frames > 0
        self._frames -= is_taken
        return is_taken

    def _add_header(self, part: bytes) -> None:
        """Begin a frame when its header is whole (RFC 9113 section 4.1)."""
        self._header += part
        if len(self._header) < _HEADER_BYTES:
            return
        number = int.from_bytes(self._header[5:]) & 0x7FFF_FFFF
        self._is_data = self._header[3] == _DATA and number == self._number
        self._is_padded = self._is_data and bool(self._header[4] & _PADDED)
        self._left = int.from_bytes(self._header[:3])
        self._frames += self._is_data and not self._is_padded
        self._header.clear()


class Http2Stream:
    """Send one request and read its reply: a `BodyReader` after the head."""

    def __init__(self, reader: ByteReader, writer: ByteWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = _open_connection()
        self._number = self._connection.get_next_available_stream_id()
        self._head: ResponseHead | None = None
        self._scanner = DataScanner(self._number)
        self._body = bytearray()
        self._is_ended = False
        self._is_reset = False  # the server gave the stream up
        self._interim_count = 0

    async def send(self, fields: list[tuple[str, str]], content: bytes) -> None:
        """Send the preface and the request. Raises OSError."""
        self._connection.send_headers(
            self._number,
            fields,
            end_stream=not content,
            priority_weight=_WEIGHT,
            priority_depends_on=0,
            priority_exclusive=False,
        )
        if content:
            self._connection.send_data(self._number, content, end_stream=True)
        self._flush()
        await self._writer.drain()

    async def read_head(self) -> ResponseHead:
        """Read the final reply's head. Raises OSError, NotHttpError or StepError."""
        while self._head is None:
            if self._is_ended or self._is_reset or self._interim_count > _MAX_INTERIM:
                raise NotHttpError
            if not await self._read_frames():
                raise StepError(Failure.EOF_ERROR)
        return self._head

    async def read(self, size: int) -> bytes:
        """Return up to `size` bytes of the body, b"" at its end. Raises OSError or StepError."""
        while not self._body and not self._is_ended:
            try:
                is_open = not self._is_reset and await self._read_frames()
            except NotHttpError as error:
                raise StepError(Failure.HTTP_TRUNCATED_BODY) from error
            if not is_open:
                raise StepError(Failure.HTTP_TRUNCATED_BODY)
        data = bytes(self._body[:size])
        del self._body[:size]
        return data

    async def _read_frames(self) -> bool:
        """Read once from the connection; False at its end. Raises OSError or NotHttpError."""
        from h2.exceptions import ProtocolError

        data = await self._reader.read(_READ)
        if not data:
            return False
        self._body += self._scanner.feed(data)
        try:
            for event in self._connection.receive_data(data):
                self._handle(event)
        except (ProtocolError, UnicodeError) as error:
            raise NotHttpError from error
        self._flush()
        return True

    def _handle(self, event: "Event") -> None:
        """Take over what an event tells. Raises NotHttpError for a head without a status."""
        from h2 import events

        if isinstance(event, events.ResponseReceived):
            self._head = _make_head(event.headers or ())
        elif isinstance(event, events.InformationalResponseReceived):
            self._interim_count += 1
        elif isinstance(event, events.DataReceived):
            if not self._scanner.has_taken():
                self._body += event.data or b""
            size = event.flow_controlled_length or 0
            self._connection.acknowledge_received_data(size, self._number)
        elif isinstance(event, events.StreamEnded):
            self._is_ended = True
        elif isinstance(event, events.StreamReset):
            self._is_reset = True
        elif isinstance(event, events.ConnectionTerminated):
            self._is_reset = event.last_stream_id == 0 or bool(event.error_code)

    def _flush(self) -> None:
        data: bytes = self._connection.data_to_send()
        if data:
            self._writer.write(data)


class Http2Exchange(Http1Exchange):
    """Make one request: `run_round_trip`, then `read_body`, each once."""

    def _prepare_request(
        self, reader: ByteReader, url: SplitResult, headers: Mapping[str, str], content: bytes
    ) -> None:
        super()._prepare_request(reader, url, headers, content)  # refuses what cannot be sent
        self._reader = self._stream = Http2Stream(reader, self._writer)
        self._fields = _make_fields(self._method, url, headers, content)
        self._content = content

    async def _send_request(self) -> None:
        await self._stream.send(self._fields, self._content)

    async def _read_head(self) -> ResponseHead:
        return await self._stream.read_head()


def _open_connection() -> "H2Connection":
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.settings import SettingCodes, Settings

    connection = H2Connection(
        H2Configuration(client_side=True, header_encoding="latin-1", validate_inbound_headers=False)
    )
    connection.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.HEADER_TABLE_SIZE: _TABLE_BYTES,
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
            SettingCodes.MAX_FRAME_SIZE: _FRAME_BYTES,
        },
    )
    del connection.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]
    connection.decoder.max_allowed_table_size = _TABLE_BYTES
    connection.initiate_connection()
    connection.increment_flow_control_window(_CONNECTION_WINDOW)
    return connection


def _make_fields(
    method: str, url: SplitResult, headers: Mapping[str, str], content: bytes
) -> list[tuple[str, str]]:
    """Order the pseudo-headers as Firefox does: method, path, authority, scheme."""
    fields = [
        (":method", method),
        (":path", (url.path or "/") + (f"?{url.query}" if url.query else "")),
        (":authority", format_host(url)),
        (":scheme", url.scheme),
    ]
    merged = merge_headers(headers, content)
    fields += [(k.lower(), v) for k, v in merged.items() if k.lower() not in _NOT_HERE]
    return [*fields, ("te", "trailers")]


def _make_head(headers: Iterable[tuple[object, object]]) -> ResponseHead:
    """Make the head of a reply. Raises NotHttpError without a status."""
    pairs = [(str(name), str(value)) for name, value in headers]
    status = dict(pairs).get(":status", "")
    if not (status.isascii() and status.isdigit() and len(status) == 3):
        raise NotHttpError
    fields = tuple((name, value) for name, value in pairs if not name.startswith(":"))
    return ResponseHead("2", int(status), fields)
