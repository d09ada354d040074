"""Echo server that returns a request as it arrived.

It limits bytes, time and connections: when all or those of a network are taken, the newest is
served, and the oldest of that network, or of the largest, has to go.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

from heliograph.address import enclosing_network
from heliograph.network_shares import NetworkKey
from heliograph.pending_connections import PendingConnections
from heliograph_collector.model.errors import PortTakenError

MAX_HEAD = 8_192
MAX_LINES = 100
_METHODS = b"GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH"
_REQUEST_LINE = re.compile(rb"(?i:" + _METHODS + rb") /[!-~]* HTTP/1\.[01]")
# One way to match, as two ways to take a blank would cost the square of the blanks.
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([ -~\t]*)")
_OPENING = re.compile(rb"(?i:" + _METHODS + rb") /")
_LONGEST_OPENING = len(b"OPTIONS /")


def may_be_http(received: bytes) -> bool:
    """Return whether these bytes may begin a well-formed request, which is awaited."""
    line, end, _ = received.partition(b"\n")
    if end:
        return line.endswith(b"\r") and _REQUEST_LINE.fullmatch(line[:-1]) is not None
    if len(received) < _LONGEST_OPENING and b" " not in received:
        return not received or received.isalpha()
    return _OPENING.match(received) is not None or _OPENING.match(received + b"/") is not None


def build_http_reply(head: bytes) -> bytes | None:
    """Build the HTTP reply to a complete request head.

    The body is {"request_line": TEXT, "headers": [[NAME, VALUE], …]}, in the order and case
    received. A body of the request is not read.

    Returns:
        None when the head is not well-formed.
    """
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    headers = [_HEADER.fullmatch(line) for line in lines[1:]]
    if not _REQUEST_LINE.fullmatch(lines[0]) or len(lines) > MAX_LINES or not all(headers):
        return None
    request_fields = {
        "request_line": lines[0].decode("ascii"),
        "headers": [
            [match[1].decode("ascii"), match[2].lstrip(b" \t").decode("ascii")]
            for match in headers
            if match
        ],
    }
    body = json.dumps(request_fields, separators=(",", ":")).encode()
    fields = (
        b"HTTP/1.1 200 OK",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Cache-Control: no-store",
        b"X-Content-Type-Options: nosniff",
        b"Connection: close",
    )
    head_only = lines[0][:5].upper() == b"HEAD "
    return b"\r\n".join(fields) + b"\r\n\r\n" + (b"" if head_only else body)


CONNECTIONS = 256  # so a /24 or /48, which may be a whole carrier-grade NAT, has 52
CONNECTION_TIMEOUT_S = 10.0
_CHUNK = 2_048
_MAX_DRAINED_BYTES = 65_536  # bytes discarded after a request


class EchoServer:
    """Echo service; see `open`."""

    def __init__(
        self,
        *,
        timeout_s: float = CONNECTION_TIMEOUT_S,
        connections: int = CONNECTIONS,
    ) -> None:
        self._timeout_s = timeout_s
        self._connections = connections
        self._open = PendingConnections(connections)

    @asynccontextmanager
    async def open(self, host: str, port: int, group: asyncio.TaskGroup) -> AsyncIterator[int]:
        """Listen and yield the port; connections are tasks of `group`.

        Their tasks end with the block. Raises PortTakenError.
        """
        tasks: set[asyncio.Task[None]] = set()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = group.create_task(self._serve_connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        try:
            server = await asyncio.start_server(begin, host, port, limit=MAX_HEAD)
        except OSError as error:
            raise PortTakenError(f"{host}:{port}") from error
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for task in tasks:
                task.cancel()

    def problems(self) -> list[str]:
        """Return sentences about problems for the operator."""
        if len(self._open) < self._connections:
            return []
        return [f"The echo service has all the {self._connections} connections that it takes."]

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        networks = _list_networks(writer)
        try:
            async with self._open.hold_place(networks, self._timeout_s):
                await _answer_request(reader, writer)
        except (OSError, TimeoutError):  # the client left, took too long, or had to go
            pass
        finally:
            writer.transport.abort()


def _list_networks(writer: asyncio.StreamWriter) -> tuple[NetworkKey, ...]:
    """Return the client's /24, or /48 and /32, kept only while it is connected."""
    peer = writer.get_extra_info("peername")
    network = enclosing_network(str(peer[0])) if peer else ""
    if not network:
        return ()
    parsed = ip_network(network)
    if parsed.version == 4:
        return (NetworkKey("24", network),)
    provider = parsed.supernet(new_prefix=32)
    return (NetworkKey("48", network), NetworkKey("32", str(provider)))


async def _answer_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read at most MAX_HEAD bytes; a raw echo is never longer than the input."""
    received = b""
    while len(received) < MAX_HEAD and may_be_http(received):
        if b"\r\n\r\n" in received:
            break
        if not (chunk := await reader.read(min(_CHUNK, MAX_HEAD - len(received)))):
            break
        received += chunk
    head, end, _ = received.partition(b"\r\n\r\n")
    reply = build_http_reply(head + end) if end else None
    if reply is not None:
        await _write_reply(reply, writer)
    else:
        await _echo_bytes(received, reader, writer)
    await _drain_request(reader, writer)


async def _echo_bytes(
    received: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Echo bytes as they come until the client ends or has sent MAX_HEAD bytes."""
    await _write_reply(received, writer)
    left = MAX_HEAD - len(received)
    while left > 0 and (chunk := await reader.read(min(_CHUNK, left))):
        left -= len(chunk)
        await _write_reply(chunk, writer)


async def _write_reply(reply: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply)
    await writer.drain()


async def _drain_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Discard further input, because closing with unread input loses the reply."""
    writer.write_eof()
    left = _MAX_DRAINED_BYTES
    while left > 0 and (chunk := await reader.read(_CHUNK)):
        left -= len(chunk)
