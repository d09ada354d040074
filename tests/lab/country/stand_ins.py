"""Servers abroad that nginx cannot stand for: Telegram, WhatsApp, WebSockets.

    python -m lab.country.stand_ins FILE.json      {"telegram": [["149.154.167.51", 443], …], …}

SPEAKERS lists their replies. A Telegram data centre answers a cleartext POST and MTProto's first
message on one port, as real ones do.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import sys
from pathlib import Path

from support.tcp_server import Handler
from support.telegram_dc import HEADER, question, res_pq
from support.whatsapp_chat import chat_server

VISIT_S = 30
BACKLOG = 1_024  # the matrix has 40 places that connect to a data center at once, several times
MAX_HEAD = 8_192
ASKED = 44  # bytes of MTProto's first message, behind the transport's header
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
Places = dict[str, list[tuple[str, int]]]


async def main(wanted: Places) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for what, places in wanted.items():
            for address, port in places:
                server = await asyncio.start_server(
                    _visited(SPEAKERS[what]), address, port, backlog=BACKLOG
                )
                await stack.enter_async_context(server)
        print("ready", flush=True)
        await asyncio.Event().wait()


async def telegram(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    first = await reader.readexactly(4)
    if first in (b"POST", b"GET ", b"HEAD"):
        await _head(reader)
        writer.write(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        return
    opening = first + await reader.readexactly(HEADER - len(first) + ASKED)
    with contextlib.suppress(AssertionError):  # what is no MTProto ends without a word
        transport, _, nonce = question(opening)
        writer.write(transport.write(res_pq(nonce)))


async def websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await _head(reader)
    key = head.partition(b"\nsec-websocket-key:")[2].partition(b"\r")[0].strip()
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )
    await writer.drain()
    await reader.read(1)


async def anything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept the connection and wait for its end."""
    del writer
    while await reader.read(MAX_HEAD):
        pass


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Read headers; names become lower case, values stay."""
    lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    return b"\r\n".join(name.lower() + colon + value for name, colon, value in pairs)


def _visited(handler: Handler) -> Handler:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError)
        with contextlib.suppress(*gone):
            async with asyncio.timeout(VISIT_S):
                await handler(reader, writer)
                await writer.drain()
        writer.close()

    return visit


SPEAKERS: dict[str, Handler] = {
    "telegram": telegram,
    "whatsapp": chat_server,
    "websocket": websocket,
    "anything": anything,
}


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
