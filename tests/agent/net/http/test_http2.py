"""Pages over HTTP/2, from a server without another protocol."""

import asyncio
import hashlib
from collections.abc import Callable

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from heliograph.failure import Failure, Operation
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.http.http2 import FrameScanner, Http2Exchange
from heliograph_agent.net.trace import StepTrace
from support.http2_server import Http2Reply, Http2Request, http2_server
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.ports import HOST
from support.values import present

NAME = "www.example.test"
OK = (":status", "200")
PAGE = b"<title>A page</title>" + b"x" * 200_000  # more than the first window of a stream

Answer = Callable[[Http2Request], Http2Reply]


async def load(opening: Opening, ca: LoopbackCA, answer: Answer, method: str = "GET") -> StepTrace:
    net, trace = opening()
    with http2_server(ca.leaf(NAME), answer) as port:
        _, stream = await net.connect(HOST, port)
        _, tls = await net.handshake(present(stream), NAME)
        url = f"https://{NAME}:{port}/a?b"
        await net.http(present(tls), url, method=method, headers={"Cookie": "a=b"})
    return trace


async def test_a_page_arrives_as_by_http_1(opening: Opening, ca: LoopbackCA) -> None:
    requests: list[Http2Request] = []

    def answer(request: Http2Request) -> Http2Reply:
        requests.append(request)
        headers = [OK, ("server", "x"), ("set-cookie", "c=d"), ("content-type", "text/html")]
        return Http2Reply(headers, PAGE, interim=[(":status", "103")])

    trace = await load(opening, ca, answer)
    head, body = trace.observations[-2:]
    assert (head.operation, body.operation) == (Operation.HTTP_ROUND_TRIP, Operation.READ_BODY)
    http = present(body.http)
    assert (http.status, http.version, http.server, http.title) == (200, "2", "x", "A page")
    assert (http.body_bytes, http.truncated) == (len(PAGE), False)
    assert http.body_sha256 == hashlib.sha256(PAGE).hexdigest()
    assert http.header_names == ("content-type", "server", "set-cookie")


async def test_a_request_has_its_own_headers_and_none_of_http_1(
    opening: Opening, ca: LoopbackCA
) -> None:
    requests: list[Http2Request] = []

    def answer(request: Http2Request) -> Http2Reply:
        requests.append(request)
        return Http2Reply([OK])

    await load(opening, ca, answer)
    (request,) = requests
    assert request.fields["cookie"] == "a=b"
    assert not {"connection", "host"} & set(request.fields)


@pytest.mark.parametrize(
    ("reply", "operation", "failure"),
    [
        (Http2Reply([], is_reset=True), Operation.HTTP_ROUND_TRIP, Failure.HTTP_REQUEST_FAILED),
        (Http2Reply([], is_cut=True), Operation.HTTP_ROUND_TRIP, Failure.EOF_ERROR),
        (Http2Reply([OK], b"a", is_reset=True), Operation.READ_BODY, Failure.HTTP_TRUNCATED_BODY),
        (Http2Reply([OK], b"a", is_cut=True), Operation.READ_BODY, Failure.HTTP_TRUNCATED_BODY),
        (Http2Reply([(":status", "204")]), Operation.READ_BODY, None),
    ],
)
async def test_what_ends_early_has_a_name(
    opening: Opening,
    ca: LoopbackCA,
    reply: Http2Reply,
    operation: Operation,
    failure: Failure | None,
) -> None:
    trace = await load(opening, ca, lambda _: reply)
    last = trace.observations[-1]
    assert (last.operation, last.failure) == (operation, failure)


@pytest.mark.parametrize("padded_from", [9, 1, 0], ids=["none", "the second", "all"])
@pytest.mark.parametrize("step", [1, 7, 8, 9, 10, 50])
def test_content_is_taken_as_it_arrives(step: int, padded_from: int) -> None:
    """Content is taken in pieces of any size; the bytes for h2 stay the same."""
    contents = [b"first" * 5, b"", b"another" * 9]
    frames = [DataFrame(1, data) for data in contents]
    for frame in frames[padded_from:]:
        frame.flags.add("PADDED")
        frame.pad_length = 3
    others = [PingFrame(opaque_data=b"12345678"), DataFrame(3, b"of another stream")]
    sent = [frame for pair in zip(frames, [*others, others[0]], strict=True) for frame in pair]
    data = b"".join(frame.serialize() for frame in sent)
    scanner = FrameScanner(1)
    pieces = (data[at : at + step] for at in range(0, len(data), step))
    parts = [part for piece in pieces for part in scanner.feed(piece)]
    assert b"".join(part for part, _ in parts) == data
    assert b"".join(content for _, content in parts) == b"".join(contents)


def test_part_of_a_frame_is_content_too() -> None:
    frame = DataFrame(1, b"x" * 8_192).serialize()
    assert len(b"".join(content for _, content in FrameScanner(1).feed(frame[:5_009]))) == 5_000


class Script:
    """A peer that sends given frames: the reader and the writer of an exchange."""

    def __init__(self, *frames: Frame, again: Frame | None = None) -> None:
        self._unread = b"".join(frame.serialize() for frame in (SettingsFrame(), *frames))
        self._again = again.serialize() * 100 if again else b""
        self.read_bytes = 0
        self.written_bytes = 0

    async def read(self, size: int) -> bytes:
        while self._again and len(self._unread) < size:
            self._unread += self._again
        data = self._unread[:size]
        self._unread = self._unread[size:]
        self.read_bytes += len(data)
        return data

    async def readexactly(self, size: int) -> bytes:
        return await self.read(size)

    def write(self, data: bytes) -> None:
        self.written_bytes += len(data)

    async def drain(self) -> None:
        return

    @property
    def transport(self) -> asyncio.WriteTransport:
        raise AssertionError("an exchange reads and writes, and asks for no more")


HEAD = HeadersFrame(1, b"\x88", flags=["END_HEADERS"])  # 200: RFC 7541, appendix A, 8
BEGUN = HeadersFrame(1, b"\x88")
LAST = DataFrame(1, b"hello", flags=["END_STREAM"])
FIELDS = b"\0\1a\0" * 4_000  # literal, a name of one byte and no value


async def read_page(exchange: Http2Exchange) -> None:
    await exchange.run_round_trip()
    await exchange.read_body(500_000)


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        ([], PingFrame(opaque_data=bytes(8))),
        ([], SettingsFrame()),
        ([], SettingsFrame(settings={4: 65_536})),
        ([], PriorityFrame(1)),
        ([], WindowUpdateFrame(0, window_increment=1)),
        ([], GoAwayFrame(last_stream_id=1)),
        ([], ExtensionFrame(0xFA, 0, body=bytes(9_000))),
        ([], HeadersFrame(1, b"\x08\x03103", flags=["END_HEADERS"])),
        ([], DataFrame(1, bytes(16_384))),
        ([BEGUN], ContinuationFrame(1)),
        ([BEGUN], ContinuationFrame(1, FIELDS)),
        ([HEAD], DataFrame(1)),
        ([HEAD], DataFrame(1, b"x")),
        ([HEAD], PingFrame(opaque_data=bytes(8))),
    ],
)
async def test_a_flood_is_left_early(begin: list[Frame], again: Frame) -> None:
    """A flood is left early: few bytes are read, fewer answered, and the step fails."""
    peer = Script(*begin, again=again)
    exchange = Http2Exchange(peer, peer, f"https://{NAME}/")
    with pytest.raises(StepError):
        await read_page(exchange)
    assert peer.read_bytes <= 300_000
    assert peer.written_bytes <= 40_000


@pytest.mark.parametrize("last_number", [1, 2**31 - 1])
@pytest.mark.parametrize("place", [0, 1])
async def test_a_server_may_say_goodbye_and_then_answer(place: int, last_number: int) -> None:
    """RFC 9113 section 6.8: it still serves the streams up to the one that it names."""
    frames: list[Frame] = [HEAD, LAST]
    frames.insert(place, GoAwayFrame(last_stream_id=last_number, additional_data=b"bye"))
    peer = Script(*frames)
    exchange = Http2Exchange(peer, peer, f"https://{NAME}/")
    await read_page(exchange)
    assert (exchange.status, bytes(exchange.body)) == (200, b"hello")


@pytest.mark.parametrize("goodbye", [GoAwayFrame(), GoAwayFrame(last_stream_id=1, error_code=11)])
async def test_a_server_that_gives_up_is_not_waited_for(goodbye: GoAwayFrame) -> None:
    peer = Script(goodbye, again=PingFrame(opaque_data=bytes(8)))
    with pytest.raises(StepError):
        await Http2Exchange(peer, peer, f"https://{NAME}/").run_round_trip()
    assert peer.read_bytes <= 16_384
