"""Open gRPC channels that trust only the collector's certificate, also by proxy.

`grpc` is imported here on first use, so an offline agent never loads it. gRPC has no SOCKS client,
so a connection through the user's proxy goes over a Unix socket that this process bridges.
"""

import asyncio
import ipaddress
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from heliograph.address import split_endpoint
from heliograph.http_envelope import INTERMEDIARY_HEADER
from heliograph.upload import SENDER_HEADER
from heliograph.v1 import intake_pb2
from heliograph_agent.net.failure_mapping import NETWORK_ERRORS
from heliograph_agent.net.tcp import TcpConnection
from heliograph_agent.state import StateError
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.transports import Reason, Transport, UplinkError

if TYPE_CHECKING:
    import grpc

    Call = grpc.aio.StreamStreamCall[intake_pb2.AgentMessage, intake_pb2.CollectorMessage]

# Before anything imports gRPC, which reads both then: it logs addresses, and each start of another
# program beside its threads.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
_CHUNK = 65_536
FALLBACK_NAME = "localhost"  # is in every collector's certificate and identifies nothing
CONNECT_S = 10.0
COLLECTOR_STOPS = "stopped"  # details of a session that the collector ends before it restarts
UNAVAILABLE = 14  # gRPC's number, as those below (grpc/doc/statuscodes.md)
_REASONS = {
    UNAVAILABLE: Reason.UNREACHABLE,
    4: Reason.NO_ANSWER,  # DEADLINE_EXCEEDED
    16: Reason.UNKNOWN_AGENT,  # UNAUTHENTICATED
    7: Reason.UNKNOWN_AGENT,  # PERMISSION_DENIED
    8: Reason.BUSY,  # RESOURCE_EXHAUSTED
    0: Reason.ENDED,  # OK
}
RETRY_AFTER_KEY = "retry-after-s"
MAX_RETRY_AFTER_S = 3_600
MAX_MESSAGE = 1_048_576  # bytes of one message from the collector; plans are the largest


def open_channel(target: str, certificate: str, name: str | None = None) -> "grpc.aio.Channel":
    """Open a channel on a new connection, which the caller closes.

    `target` is host:port, or `unix:PATH` of a bridge. `name` is sent in the ClientHello if the
    certificate holds it; None means the name of the host.
    """
    import grpc

    return grpc.aio.secure_channel(
        target,
        grpc.ssl_channel_credentials(root_certificates=certificate.encode()),
        options=(
            *_name_override(target, certificate, name),
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            ("grpc.http2.bdp_probe", 0),  # no ping after each answer, which fills no line
        ),
    )


def _name_override(target: str, certificate: str, name: str | None) -> tuple[tuple[str, str], ...]:
    """Choose the name in the ClientHello, which must not show that an agent runs here.

    It is the name of the host if the certificate holds it, else FALLBACK_NAME. For an address there
    is none.
    """
    override_name = split_endpoint(target)[0] if name is None else name
    if not override_name or not _is_in_certificate(
        override_name, ssl.PEM_cert_to_DER_cert(certificate)
    ):
        override_name = FALLBACK_NAME
    elif name is None:
        return ()
    return (("grpc.ssl_target_name_override", override_name),)


def _is_in_certificate(host: str, der: bytes) -> bool:
    """Return whether `host` is a subject alternative name (RFC 5280 section 4.2.1.6).

    A byte search is enough for the pinned certificate, and needs no library.
    """
    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        name = host.lower().encode()
        return len(name) < 128 and b"\x82" + bytes([len(name)]) + name in der
    return b"\x87" + bytes([len(packed)]) + packed in der


def make_metadata(intermediary: str, sender: str = "") -> tuple[tuple[str, str], ...]:
    """Make a call's metadata; `intermediary` is "" if the peer is the agent itself."""
    pairs = ((INTERMEDIARY_HEADER, intermediary), (SENDER_HEADER, sender))
    return tuple((name, value) for name, value in pairs if value)


def uplink_error_from(error: "grpc.aio.AioRpcError") -> UplinkError:
    """Convert a failed call, with the collector's retry-after of at most an hour."""
    values = [
        str(value) for key, value in error.trailing_metadata() or () if key == RETRY_AFTER_KEY
    ]
    seconds_text = values[0] if values and values[0].isascii() and values[0].isdigit() else "0"
    return UplinkError(classify_call_error(error), min(int(seconds_text[:9]), MAX_RETRY_AFTER_S))


def classify_call_error(error: "grpc.aio.AioRpcError") -> Reason:
    """Map the status code to a reason."""
    return classify_status(int(error.code().value[0]), error.details() or "")


def classify_status(status: int, details: str) -> Reason:
    """Map gRPC's numeric status code to a reason, also where a call went without gRPC."""
    if status == UNAVAILABLE and details == COLLECTOR_STOPS:
        return Reason.ENDED
    return _REASONS.get(status, Reason.REFUSED)


class MessageStream(Protocol):
    """Declare what carries the messages of a session."""

    async def send(self, message: intake_pb2.AgentMessage) -> None:
        """Send a message. Raises UplinkError."""
        ...

    async def receive(self) -> intake_pb2.CollectorMessage:
        """Receive a message. Raises UplinkError, also at the end."""
        ...

    async def close(self) -> None:
        """Wait until the collector has everything."""
        ...

    def cancel(self) -> None: ...


class GrpcStream:
    """Wrap a gRPC stream with one writer at a time, as gRPC requires."""

    def __init__(self, call: "Call") -> None:
        import grpc

        self._call = call
        self._error = grpc.aio.AioRpcError
        self._eof = grpc.aio.EOF
        self._write_lock = asyncio.Lock()

    async def send(self, message: intake_pb2.AgentMessage) -> None:
        """Send a message. Raises UplinkError."""
        try:
            async with self._write_lock:
                await self._call.write(message)
        except self._error as error:
            raise uplink_error_from(error) from error
        except asyncio.InvalidStateError as error:  # the stream has ended meanwhile
            raise UplinkError(Reason.ENDED) from error

    async def receive(self) -> intake_pb2.CollectorMessage:
        """Receive a message. Raises UplinkError, also at the end of the stream."""
        try:
            message = await self._call.read()
        except self._error as error:
            raise uplink_error_from(error) from error
        if message is self._eof:
            raise UplinkError(Reason.ENDED)
        if not isinstance(message, intake_pb2.CollectorMessage):
            raise UplinkError(Reason.REFUSED)  # gRPC returns None for bytes that it cannot parse
        return message

    async def close(self) -> None:
        """Half-close the stream and wait for the collector to end it."""
        async with self._write_lock:
            await self._call.done_writing()
        await self._call.code()

    def cancel(self) -> None:
        self._call.cancel()


@asynccontextmanager
async def _open_bridge(
    transport: Transport, address: str, dial_context: DialContext, pin: bytes
) -> AsyncIterator[str]:
    """Open a Unix socket as a gRPC target; connect by proxy for each client of it.

    The socket is in a directory of this user alone, and is removed with the block.
    """
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:
        path = str(Path(folder) / "s")  # a socket's path is limited to some hundred characters
        tasks: set[asyncio.Task[None]] = set()
        errors: list[UplinkError | StateError] = []
        async with asyncio.TaskGroup() as group:

            def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = group.create_task(
                    _bridge_connection(transport, address, dial_context, pin, reader, writer)
                )
                tasks.add(task)
                task.add_done_callback(tasks.discard)

            server = await asyncio.start_unix_server(begin, path, limit=_CHUNK)
            try:
                yield f"unix:{path}"
            except (UplinkError, StateError) as error:  # raised below, outside the group
                errors.append(error)
            finally:
                server.close()
                for task in tasks:
                    task.cancel()
    if errors:
        raise errors[0]


@asynccontextmanager
async def open_target(
    transport: Transport, address: str, dial_context: DialContext, pin: bytes
) -> AsyncIterator[str]:
    """Return gRPC's target for `address`, which is a bridge for a proxied transport."""
    if transport.is_proxied:
        async with _open_bridge(transport, address, dial_context, pin) as target:
            yield target
    else:
        host = f"[{address}]" if ":" in address else address
        yield f"{host}:{transport.entrance.port}"


async def _bridge_connection(
    transport: Transport,
    address: str,
    dial_context: DialContext,
    pin: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    try:
        with suppress(*NETWORK_ERRORS):
            connection = await dial_context.dial_proxy(transport, address, pin)
            try:
                await _copy_both(reader, writer, connection)
            finally:
                connection.transport.abort()
    finally:
        writer.transport.abort()


async def _copy_both(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: TcpConnection
) -> None:
    """Copy in both directions until one side ends."""
    async with asyncio.TaskGroup() as group:
        out_task = group.create_task(_copy_out(reader, connection))
        with suppress(OSError):
            while data := await connection.receive_buffer.read(_CHUNK):
                writer.write(data)
                await writer.drain()
        out_task.cancel()


async def _copy_out(reader: asyncio.StreamReader, connection: TcpConnection) -> None:
    try:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                connection.write(data)
                await connection.drain()
    finally:
        connection.transport.abort()  # ends the other direction too
