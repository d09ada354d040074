"""Make one HTTP/2 exchange (RFC 9113) over an open TLS stream, by the package h2.

`Http2Stream` turns the frames of one stream into what `Http1Exchange` reads: a head, then bytes to
the end. Settings, window, priority and the order of pseudo-headers are the browser's whose headers
are sent, because servers tell clients apart by them (Akamai, Passive Fingerprinting of HTTP/2
Clients, 2017).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult

from heliograph.failure import Failure
from heliograph.request_profile import RequestKind, RequestProfile
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.http.http1 import Http1Exchange, format_host, format_target
from heliograph_agent.net.http.request_headers import make_headers
from heliograph_agent.net.http.response_parser import MAX_HEAD, NotHttpError, ResponseHead
from heliograph_agent.net.trace import ByteReader, ByteWriter

if TYPE_CHECKING:
    from h2.connection import H2Connection
    from h2.events import Event

_READ = 16_384  # in one turn of the loop; 64 KiB of small frames would take h2 20 ms
_USUAL_TABLE = 4_096  # RFC 9113 section 6.5.2
_FRAME_BYTES = 16_384  # as above; no profile may announce more
# RFC 9113 sections 4.1 and 6.1
_HEADER_BYTES = 9
_DATA = 0
_GOAWAY = 7
_PADDED = 0x08
_FREE_FRAMES = 1_000  # assumed: settings, pings and windows of an honest server are a few dozen
_OTHER_BYTES = 4 * MAX_HEAD  # of frames without content: heads, interim heads and trailers
_LEAST_CONTENT = 64  # bytes for each further frame; assumed, pages come in frames of kilobytes
_MAX_INTERIM = 8  # 1xx replies before the real one, as for HTTP/1.1
# RFC 9113 section 8.2.2: a header of one connection makes a request malformed.
_NOT_HERE = frozenset({"connection", "host", "upgrade", "keep-alive", "transfer-encoding"})


class FrameScanner:
    """Split a connection's bytes at its frames, and extract one stream's content.

    The package h2 gives whole frames only, up to 16 KiB: of a connection that is frozen within its
    first 25 KB it would show 8 or none. It also has no bound on frames without content, of which
    each costs it some 20 µs, and reads nothing after a GOAWAY.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._header = bytearray()
        self._left = 0  # bytes of the present frame
        self._content_left = 0  # of these, with a padded frame's first byte still unread
        self._is_padded = False
        self._frames = 0
        self._content_bytes = 0
        self._other_bytes = 0
        self.kind = 0  # of the present frame

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield each header and each piece of a payload, with the content in it.

        Raises NotHttpError for a frame that is too long, and for too many that hold too little.
        """
        position = 0
        while position < len(data):
            size = self._left or _HEADER_BYTES - len(self._header)
            part = data[position : position + size]
            position += len(part)
            if self._left:
                self._left -= len(part)
                yield part, self._take_content(part)
                continue
            self._header += part
            if len(self._header) == _HEADER_BYTES:
                yield self._begin_frame(), b""

    @property
    def is_frame_whole(self) -> bool:
        return not self._left

    def _begin_frame(self) -> bytes:
        """Take over a whole header (RFC 9113 section 4.1)."""
        header = bytes(self._header)
        self._header.clear()
        self._left = int.from_bytes(header[:3])
        self.kind = header[3]
        number = int.from_bytes(header[5:]) & 0x7FFF_FFFF
        is_content = self.kind == _DATA and number == self._number
        self._content_left = self._left if is_content else 0
        self._is_padded = is_content and bool(header[4] & _PADDED)
        self._frames += 1
        self._other_bytes += 0 if is_content else self._left
        most_frames = _FREE_FRAMES + self._content_bytes // _LEAST_CONTENT
        is_flood = self._frames > most_frames or self._other_bytes > _OTHER_BYTES
        if is_flood or self._left > _FRAME_BYTES:
            raise NotHttpError
        return header

    def _take_content(self, part: bytes) -> bytes:
        if self._is_padded:
            self._is_padded = False
            self._content_left -= 1 + part[0]
            part = part[1:]
        content = part[: max(0, self._content_left)]
        self._content_left -= len(content)
        self._content_bytes += len(content)
        return content


class Http2Stream:
    """Send one request and read its reply: a `BodyReader` after the head."""

    def __init__(self, reader: ByteReader, writer: ByteWriter, profile: RequestProfile) -> None:
        self._reader = reader
        self._writer = writer
        self._profile = profile
        self._connection = _open_connection(profile)
        self._number = self._connection.get_next_available_stream_id()
        self._head: ResponseHead | None = None
        self._scanner = FrameScanner(self._number)
        self._goaway = bytearray()
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
            priority_weight=self._profile.weight,
            priority_depends_on=0,
            priority_exclusive=self._profile.is_exclusive,
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
        """Return up to `size` bytes of the body, b"" at its end.

        Raises OSError or StepError.
        """
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
        try:
            for part, content in self._scanner.feed(data):
                self._body += content
                self._receive_part(part)
        except (ProtocolError, UnicodeError) as error:
            raise NotHttpError from error
        self._flush()
        return True

    def _receive_part(self, part: bytes) -> None:
        """Hand h2 a part of a frame, or keep it of a GOAWAY.

        After a GOAWAY the server may still answer the streams that it names (RFC 9113 section 6.8),
        as nginx does at a connection's last request; h2 refuses every frame that follows one.
        """
        if self._scanner.kind != _GOAWAY:
            for event in self._connection.receive_data(part):
                self._handle(event)
            return
        self._goaway += part
        if len(self._goaway) >= _HEADER_BYTES + 8:
            last_number = int.from_bytes(self._goaway[9:13]) & 0x7FFF_FFFF
            has_error = any(self._goaway[13:17])
            self._is_reset = self._is_reset or has_error or last_number < self._number
        if self._scanner.is_frame_whole:
            self._goaway.clear()

    def _handle(self, event: "Event") -> None:
        """Take over an event's content. Raises NotHttpError for a head without a status."""
        from h2 import events

        if isinstance(event, events.ResponseReceived):
            self._head = _make_head(event.headers or ())
        elif isinstance(event, events.InformationalResponseReceived):
            self._interim_count += 1
        elif isinstance(event, events.DataReceived):
            size = event.flow_controlled_length or 0
            self._connection.acknowledge_received_data(size, self._number)
        elif isinstance(event, events.StreamEnded):
            self._is_ended = True
        elif isinstance(event, events.StreamReset):
            self._is_reset = True

    def _flush(self) -> None:
        data: bytes = self._connection.data_to_send()
        if data:
            self._writer.write(data)


class Http2Exchange(Http1Exchange):
    """Make one request: `run_round_trip`, then `read_body`, each once."""

    def _prepare_request(
        self, reader: ByteReader, url: SplitResult, headers: Mapping[str, str], content: bytes
    ) -> None:
        self._reader = self._stream = Http2Stream(reader, self._writer, self._profile)
        self._fields = [
            *make_pseudo_headers(self._profile, self._method, url),
            *make_fields(self._profile, headers, content),
        ]
        self._content = content

    async def _send_request(self) -> None:
        await self._stream.send(self._fields, self._content)

    async def _read_head(self) -> ResponseHead:
        return await self._stream.read_head()


def _open_connection(profile: RequestProfile) -> "H2Connection":
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.settings import SettingCodes, Settings

    connection = H2Connection(
        H2Configuration(client_side=True, header_encoding="latin-1", validate_inbound_headers=False)
    )
    settings = {SettingCodes(number): value for number, value in profile.settings.items()}
    connection.local_settings = Settings(client=True, initial_values=settings)
    for number in set(connection.local_settings) - set(settings):
        del connection.local_settings[number]
    table_bytes = profile.settings.get(SettingCodes.HEADER_TABLE_SIZE, _USUAL_TABLE)
    connection.decoder.max_allowed_table_size = table_bytes
    connection.initiate_connection()
    connection.increment_flow_control_window(profile.window_update)
    return connection


def make_pseudo_headers(
    profile: RequestProfile, method: str, url: SplitResult
) -> list[tuple[str, str]]:
    """Make the pseudo-headers of HTTP/2 and HTTP/3 in the browser's order."""
    values = {
        ":method": method,
        ":authority": format_host(url),
        ":scheme": url.scheme,
        ":path": format_target(url),
    }
    return [(name, values[name]) for name in profile.pseudo_headers]


def make_fields(
    profile: RequestProfile, headers: Mapping[str, str], content: bytes = b""
) -> list[tuple[str, str]]:
    """Make the headers of a request in HTTP/2 and HTTP/3."""
    fields = make_headers(profile, RequestKind.HTTP2, headers, content)
    lowered = [(name.lower(), value) for name, value in fields.items()]
    return [(name, value) for name, value in lowered if name not in _NOT_HERE]


def _make_head(headers: Iterable[tuple[object, object]]) -> ResponseHead:
    """Make the head of a reply. Raises NotHttpError without a status."""
    pairs = [(str(name), str(value)) for name, value in headers]
    status = dict(pairs).get(":status", "")
    if not (status.isascii() and status.isdigit() and len(status) == 3):
        raise NotHttpError
    fields = tuple((name, value) for name, value in pairs if not name.startswith(":"))
    return ResponseHead("2", int(status), fields)
