"""DNS over HTTPS (RFC 8484, POST, HTTP/1.1) in front of the open resolver abroad.

python -m lab.country.doh CHAIN KEY ADDRESS …
"""

import asyncio
import contextlib
import ssl
import sys

from lab.country.topology import RESOLVER

MAX_QUERY = 4_096
PATIENCE_S = 10


async def main(chain: str, key: str, *addresses: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server = await asyncio.start_server(_served, addresses, 443, ssl=context)
    async with server:
        await server.serve_forever()


async def _served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    gone = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
    with contextlib.suppress(*gone):
        async with asyncio.timeout(PATIENCE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            reply = await _asked(await reader.readexactly(min(size, MAX_QUERY)))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\n")
            writer.write(b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(reply), reply))
            await writer.drain()
    writer.close()


async def _asked(query: bytes) -> bytes:
    """Ask the resolver by TCP, which has room for every answer."""
    reader, writer = await asyncio.open_connection(RESOLVER, 53)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(size)
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
