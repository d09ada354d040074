"""A DNS-over-HTTPS server (RFC 8484, POST) with scripted answers; HTTP/1.1 or 2.

with doh_server(ca.leaf("127.0.0.1"), lambda query: answer(query, "…")) as port:
    url = f"https://127.0.0.1:{port}/dns-query"
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from support.http2_server import Http2Reply, Http2Request, http2_server
from support.loopback_ca import Leaf
from support.tls_server import tls_server

CONTENT_TYPE = "application/dns-message"


@contextmanager
def doh_server(leaf: Leaf, script: Callable[[bytes], bytes], *, status: int = 200) -> Iterator[int]:
    """Run a server; yield its port. `script` maps a query's bytes to its reply's."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"post /dns-query http/1.1\r\n")
        assert b"content-type: application/dns-message\r\n" in head
        size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        body = script(await reader.readexactly(size))
        writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/dns-message\r\n" % status)
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()

    with tls_server(leaf, handler) as port:
        yield port


@contextmanager
def doh_server_over_http2(
    leaf: Leaf, script: Callable[[bytes], bytes], *, status: int = 200
) -> Iterator[int]:
    """Run a server with HTTP/2 alone, as Quad9 since December 2025; yield its port."""

    def answer_query(request: Http2Request) -> Http2Reply:
        assert request.fields[":method"] == "POST"
        assert request.fields[":path"] == "/dns-query"
        assert request.fields["content-type"] == CONTENT_TYPE
        body = script(request.body)
        return Http2Reply([(":status", str(status)), ("content-type", CONTENT_TYPE)], body)

    with http2_server(leaf, answer_query) as port:
        yield port
