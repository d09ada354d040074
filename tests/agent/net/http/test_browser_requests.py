"""Our requests are those of one browser, as the installed Chromium sends them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue

import pytest
from hpack import Decoder
from hyperframe.frame import Frame, HeadersFrame

from heliograph_agent.experiments.endpoints import websocket_headers
from support.browser_capture import DEADLINE_S, NAME, is_captured_version, visiting
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.tcp_server import tcp_server
from support.tls_server import tls_server
from support.values import present

_PREFACE = 24  # bytes (RFC 9113 section 3.4)
REPLY = b"HTTP/1.1 204 No Content\r\n\r\n"
Lines = list[tuple[str, str]]


@contextmanager
def listening(ca: LoopbackCA, alpn: str) -> Iterator[tuple[int, "Queue[Lines]"]]:
    """Run a server; yield its port and its requests. `alpn` "" is without TLS."""
    requests: Queue[Lines] = Queue()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.put(await (read_http2(reader) if alpn == "h2" else read_http1(reader)))
            writer.write(REPLY)
        finally:
            writer.close()  # also where the browser opened a connection and said nothing

    server = tls_server(ca.leaf(NAME), listen, alpn=(alpn,)) if alpn else tcp_server(listen)
    with server as port:
        yield port, requests


async def read_http1(reader: asyncio.StreamReader) -> Lines:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    pairs = [line.partition(": ") for line in lines]
    return [("", first), *((name, value) for name, _, value in pairs)]


async def read_http2(reader: asyncio.StreamReader) -> Lines:
    """All frames up to the headers of the request, and these."""
    await reader.readexactly(_PREFACE)
    lines: Lines = []
    while True:
        head = await reader.readexactly(9)
        frame, size = Frame.parse_frame_header(memoryview(head))
        body = await reader.readexactly(size)
        if not isinstance(frame, HeadersFrame):
            lines.append((type(frame).__name__, (head + body).hex()))
            continue
        frame.parse_body(memoryview(body))
        lines.append(("weight", f"{frame.stream_weight} {frame.exclusive} {frame.depends_on}"))
        return lines + [(str(k), str(v)) for k, v in Decoder().decode(frame.data)]


async def ask(opening: Opening, port: int, scheme: str, headers: dict[str, str]) -> None:
    net, _ = opening()
    _, stream = await net.connect("127.0.0.1", port)
    if scheme == "https":
        _, stream = await net.handshake(present(stream), NAME)
    await net.http(present(stream), f"{scheme}://{NAME}/", headers=headers)


@pytest.mark.parametrize("alpn", ["", "http/1.1", "h2"])
async def test_our_request_is_that_of_the_installed_chromium(
    opening: Opening, ca: LoopbackCA, alpn: str
) -> None:
    """Our request equals the installed Chromium's in names, order, case and values.

    "Headless" is the browser's word in tests alone.
    """
    scheme = "https" if alpn else "http"
    with (
        listening(ca, alpn) as (port, requests),
        visiting(scheme, port, "--ignore-certificate-errors"),
    ):
        expected = await asyncio.to_thread(requests.get, True, DEADLINE_S)
    with listening(ca, alpn) as (port, requests):  # another: the browser may ask the first again
        await ask(opening, port, scheme, {})
        sent = await asyncio.to_thread(requests.get, True, DEADLINE_S)
    assert [name for name, _ in sent] == [name for name, _ in expected]
    if is_captured_version():  # of another version the values may differ, and wait for a new list
        assert sent == [(name, value.replace("Headless", "")) for name, value in expected]


async def test_a_websocket_is_asked_for_as_chromium_does(opening: Opening, ca: LoopbackCA) -> None:
    """A WebSocket request equals Chromium's in a capture; the answer is a status."""
    with listening(ca, "http/1.1") as (port, requests):
        await ask(opening, port, "https", dict(websocket_headers(f"https://{NAME}", bytes(16))))
        sent = await asyncio.to_thread(requests.get, True, DEADLINE_S)
    assert [name for name, _ in sent[1:]] == [
        "Host", "Connection", "Pragma", "Cache-Control", "User-Agent", "Upgrade", "Origin",
        "Sec-WebSocket-Version", "Accept-Encoding", "Accept-Language", "Sec-WebSocket-Key",
        "Sec-WebSocket-Extensions",
    ]  # fmt: skip
    assert dict(sent)["Origin"] == f"https://{NAME}"
