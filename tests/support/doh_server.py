"""A DNS-over-HTTPS server (RFC 8484, POST, HTTP/1.1) that answers as a script says.

with doh_server(ca.leaf("127.0.0.1"), lambda query: answer(query, "…")) as port:
    url = f"https://127.0.0.1:{port}/dns-query"
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from support.loopback_ca import Leaf
from support.tls_server import tls_server


@contextmanager
def doh_server(leaf: Leaf, script: Callable[[bytes], bytes], *, status: int = 200) -> Iterator[int]:
    """The port; `script` maps a query's bytes to its reply's."""

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
