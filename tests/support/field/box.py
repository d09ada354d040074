"""Misbehaving servers, and the censor's box in the path: scripted TCP connections.

    python -m support.field.box PLAN      PLAN is a JSON file:
    {"listen": [{"address": …, "port": …, "tls": [CHAIN, KEY] or null, "does": {…}}],
     "turned": [{"source": …, "to": …, "port": …, "sees": TEXT, "sees_hex": […], "does": {…}}]}

`turned` are connections that the packet filter handed over, looked up by where they were going;
those that no rule knows are passed on untouched. What a script can do is in `ACTS`.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

PORT = 8090  # where turned connections arrive
SO_ORIGINAL_DST = 80
CHUNK = 16_384
HOME = "5."  # the country's addresses
Does = Mapping[str, Any]


class Line:
    """One TCP connection: its first bytes, and both directions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.first = b""
        self.source = str(writer.get_extra_info("peername")[0])
        self.to, self.port = "", 0

    async def hear(self) -> bytes:
        self.first = await self.reader.read(CHUNK)
        return self.first

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


def find_destination(writer: asyncio.StreamWriter) -> tuple[str, int]:
    """Return where a connection was going before it was turned over."""
    raw: socket.socket = writer.get_extra_info("socket")
    _, port, address = struct.unpack("!HH4s8x", raw.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
    return socket.inet_ntoa(address), port


def page(said: Does) -> bytes:
    """Return a reply with this status, title, text, headers and body size."""
    title, text = said.get("title", ""), said.get("text", "")
    body = f"<html><head><title>{title}</title></head><body>{text}</body></html>".encode()
    body = body.ljust(int(said.get("bytes", 0)), b".")
    head = [f"HTTP/1.1 {said.get('status', 200)} X", "Content-Type: text/html; charset=utf-8"]
    head += [f"{name}: {value}" for name, value in said.get("headers", {}).items()]
    head += [f"Content-Length: {said.get('announce', len(body))}", "Connection: close"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def _page(line: Line, does: Does) -> None:
    """Send a page, perhaps another one to the country's own people than to others."""
    if not line.first and not await line.hear():
        return
    there = "abroad" in does and not line.source.startswith(HOME)
    await line.say(page(does["abroad" if there else "page"]))


async def _stall(line: Line, does: Does) -> None:
    """Send part of a page, then neither more of it nor an end."""
    await line.hear()
    await line.say(page(does["stall"]))
    await asyncio.Event().wait()


async def _silent(line: Line, does: Does) -> None:
    del does
    while await line.reader.read(CHUNK):
        pass


async def _reset(line: Line, does: Does) -> None:
    del does
    if not line.first:
        await line.hear()
    _break(line.writer)


def _break(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _close(line: Line, does: Does) -> None:
    """Close the connection in order after its first bytes."""
    del does
    if not line.first:
        await line.hear()


async def _say(line: Line, does: Does) -> None:
    if not line.first:
        await line.hear()
    await line.say(bytes.fromhex(does["say"]))


async def _intercept(line: Line, does: Does) -> None:
    await answer_tls(_context(does["intercept"]), line.first, line.reader, line.writer)


async def answer_tls(
    context: ssl.SSLContext,
    first: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Speak TLS in the server's place, by memory BIO after a ClientHello already read."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(first)
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    is_open = True
    while is_open:
        try:
            tls.do_handshake()
            is_open = False
        except ssl.SSLWantReadError:
            pass
        writer.write(outgoing.read())
        await writer.drain()
        if is_open:
            more = await reader.read(CHUNK)
            incoming.write(more)
            is_open = bool(more)


async def _pass(line: Line, does: Does) -> None:
    """Forward to the original destination; perhaps limit the answer's size or speed."""
    theirs, ours = await asyncio.open_connection(does.get("via", line.to), line.port)
    if does.get("alter_headers"):
        line.first = _normal(line.first)
    ours.write(line.first)
    back = asyncio.ensure_future(_answer(theirs, line, does))
    there = asyncio.ensure_future(copy(line.reader, ours))
    await asyncio.wait({back, there}, return_when=asyncio.ALL_COMPLETED)
    ours.close()


def _normal(request: bytes) -> bytes:
    """Write header names in the usual capitals, as proxies do."""
    head, end, body = request.partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    pairs = (header.partition(b":") for header in headers)
    return b"\r\n".join([first, *(n.title() + colon + v for n, colon, v in pairs)]) + end + body


async def _answer(theirs: asyncio.StreamReader, line: Line, does: Does) -> None:
    left = int(does.get("bytes", 1 << 40))
    trigger = does.get("answer_has", "").encode()
    while data := await theirs.read(min(CHUNK, does.get("rate", CHUNK))):
        if trigger and trigger in data:
            return _break(line.writer)
        await line.say(data[:left])
        left -= len(data)
        if left <= 0:
            return await _end(line, does.get("then", "silent"))
        if "rate" in does:
            await asyncio.sleep(len(data) / does["rate"])
    if line.writer.can_write_eof():
        line.writer.write_eof()
    return None


async def _end(line: Line, then: str) -> None:
    if then == "reset":
        _break(line.writer)
    elif then == "close":
        line.writer.close()
    else:
        await asyncio.Event().wait()


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()


ACTS: Mapping[str, Callable[[Line, Does], Awaitable[None]]] = {
    "page": _page,
    "stall": _stall,
    "silent": _silent,
    "reset": _reset,
    "close": _close,
    "say": _say,  # these bytes, in hex
    "intercept": _intercept,
    "pass": _pass,
}


async def perform(line: Line, does: Does) -> None:
    word = next(word for word in ACTS if word in does)
    await ACTS[word](line, does)


async def _performing(does: Does, line: Line) -> None:
    await perform(line, does)


def _context(files: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _serving(act: Callable[[Line], Awaitable[None]]) -> Served:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(40):
                await act(Line(reader, writer))
        writer.close()

    return served


def _seen(rule: Does, first: bytes) -> bool:
    looked_for = [bytes.fromhex(one) for one in rule.get("sees_hex", ())]
    return rule.get("sees", "").encode().lower() in first.lower() and (
        not looked_for or any(one in first for one in looked_for)
    )


def turned(rules: list[Does]) -> Callable[[Line], Awaitable[None]]:
    """Return a handler that picks a rule by destination, then by the first bytes."""

    async def act(line: Line) -> None:
        line.to, line.port = find_destination(line.writer)
        first = await line.hear()
        if not first:
            return
        for rule in rules:
            where = (rule.get("to", line.to), rule.get("port", line.port))
            who = line.source.startswith(rule.get("source", ""))
            if where == (line.to, line.port) and who and _seen(rule, first):
                await perform(line, rule["does"])
                return
        await _pass(line, {})

    return act


async def main(plan: Mapping[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # handshakes fail here by design
    servers = []
    for one in plan["listen"]:
        does: Does = one["does"]
        served = _serving(partial(_performing, does))
        tls = _context(one["tls"]) if one.get("tls") else None
        servers.append(await asyncio.start_server(served, one["address"], one["port"], ssl=tls))
    if plan["turned"]:
        servers.append(
            await asyncio.start_server(_serving(turned(plan["turned"])), "0.0.0.0", PORT)
        )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
