"""Make one HTTP/3 exchange (RFC 9114) over an open QUIC connection."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from heliograph.failure import Failure
from heliograph.hello_profiles import get_requests
from heliograph.request_profile import RequestProfile
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.http.content_coding import BodyContent
from heliograph_agent.net.http.head_facts import KEPT_BODY_BYTES, describe_head
from heliograph_agent.net.http.html_text import extract_title
from heliograph_agent.net.http.http2 import make_fields, make_pseudo_headers
from heliograph_agent.net.http.response_parser import MAX_HEAD
from heliograph_agent.net.quic.connection import QuicEndedError, QuicTransport
from heliograph_agent.net.step import StepFacts

if TYPE_CHECKING:
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import H3Event
    from aioquic.quic.connection import QuicConnection
    from aioquic.quic.events import QuicEvent

_OTHER_BYTES = 2 * MAX_HEAD  # of heads, settings and frames' headers


class Http3Exchange:
    """Make one request: `run_round_trip`, then `read_body`, each once."""

    def __init__(self, transport: QuicTransport, url: str, profile: RequestProfile | None) -> None:
        """Encode the request. Raises ValueError when `url` cannot be requested.

        `profile`: the browser whose requests these are, None for the shipped one.
        """
        self._transport = transport
        self._url = url
        self._request = _encode_headers(urlsplit(url), profile or get_requests())
        self._h3: H3Connection | None = None
        self._stream = -1
        self._headers: dict[str, str] = {}
        self._early_data: list[bytes] = []  # of the body; flow control bounds it
        self._other_bytes = 0  # received, and not of the body
        self._content: BodyContent | None = None  # once it is read
        self._is_ended = False  # the peer has ended its reply
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
        coding = self._headers.get("content-encoding", "")
        self._content = content = BodyContent(coding, limit, KEPT_BODY_BYTES)
        for data in self._early_data:
            content.add(data)
        truncated = Failure.HTTP_TRUNCATED_BODY
        while not self._is_ended and not content.is_over:
            await self._run_turn(malformed=truncated, ended=truncated)

    def step_facts(self) -> StepFacts:
        """Return the facts of the round trip, and of the body once it is read."""
        http = describe_head(
            self._url,
            status=self.status,
            version="3" if self.status else "",
            server=self._headers.get("server", ""),
            location=self._headers.get("location", ""),
            header_names=self._headers,
        )
        content = self._content
        if content is None:
            return {"http": http}
        http = replace(
            http,
            title=extract_title(bytes(content.body), self._headers.get("content-type", "")),
            body_bytes=content.size,
            coded_bytes=content.coded_size,
            body_sha256=content.sha256,
            truncated=not self._is_ended or content.is_over or content.is_broken,
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
            elif self._content is None:
                self._early_data.append(h3_event.data)
            else:
                self._content.add(h3_event.data)
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


def _encode_headers(url: SplitResult, profile: RequestProfile) -> list[tuple[bytes, bytes]]:
    """Encode the headers. Raises ValueError when the URL cannot be sent."""
    if url.scheme != "https" or not url.hostname:
        raise ValueError(f"url: {url.geturl()!r} is no https URL")
    fields = [*make_pseudo_headers(profile, "GET", url), *make_fields(profile, {})]
    try:
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in fields]
    except UnicodeEncodeError as error:
        raise ValueError(f"url: {url.geturl()!r} is not in ASCII") from error
