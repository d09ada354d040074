"""An HTTP/3 server on loopback by aioquic, and UDP scripts that break QUIC.

    with quic_server(ca.leaf("www.example.test"), page(b"<title>Hi</title>")) as port: ...

A behaviour gets aioquic's H3Connection and the id of the stream a request came on.
"""

import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import FrameType, H3Connection, encode_frame
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.events import ProtocolNegotiated, QuicEvent
from aioquic.quic.packet import QuicFrameType, QuicPacketType, QuicProtocolVersion
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.rangeset import RangeSet

from support.background import in_background
from support.loopback_ca import Leaf
from support.ports import HOST
from support.values import present

Behaviour = Callable[[H3Connection, QuicConnection, int], None]


def page(
    body: bytes = b"<title>It works here</title>",
    *headers: tuple[bytes, bytes],
    status: bytes = b"200",
    end: bool = True,
) -> Behaviour:
    """Return a reply; without `end` the stream stays open."""

    def behave(h3: H3Connection, connection: QuicConnection, stream: int) -> None:
        del connection
        h3.send_headers(stream, [(b":status", status), *headers])
        h3.send_data(stream, body, end_stream=end)

    return behave


def reset(h3: H3Connection, connection: QuicConnection, stream: int) -> None:
    """Reset the stream alone."""
    del h3
    connection.reset_stream(stream, 0x10C)


def leave(h3: H3Connection, connection: QuicConnection, stream: int) -> None:
    """Close the whole connection in place of a reply."""
    del h3, stream
    connection.close(error_code=0x100)


def half_a_page(h3: H3Connection, connection: QuicConnection, stream: int) -> None:
    h3.send_headers(stream, [(b":status", b"200"), (b"content-length", b"1000")])
    data = b"<title>Half of it</title>"
    connection.send_stream_data(stream, bytes((0, len(data))) + data, end_stream=True)


def no_http(h3: H3Connection, connection: QuicConnection, stream: int) -> None:
    """Send a DATA frame where HEADERS must be."""
    del h3
    connection.send_stream_data(stream, b"\x00\x03abc", end_stream=True)


def claim_windows(h3: H3Connection, connection: QuicConnection, stream: int) -> None:
    """Send one byte at the end of each window, which the client doubles, to 256 MB."""
    del h3
    sent = connection._streams[stream]
    receive = connection.receive_datagram

    def claim() -> None:
        room = connection._remote_max_data - connection._remote_max_data_used
        offset = min(sent.max_stream_data_remote, sent.sender.highest_offset + room) - 1
        if sent.sender.highest_offset < offset < 1 << 28:
            sent.sender._buffer_start, sent.sender._buffer_stop = offset, offset + 1
            sent.sender._buffer = bytearray(1)
            sent.sender._pending = RangeSet([range(offset, offset + 1)])
            sent.sender.buffer_is_empty = False

    def receive_and_claim(*arguments: Any, **options: Any) -> None:
        receive(*arguments, **options)
        claim()

    # aioquic has no event for a larger window of its peer: only the datagram shows it.
    connection.receive_datagram = receive_and_claim  # type: ignore[method-assign]
    connection.send_stream_data(stream, bytes(1))
    claim()


def endless_head(h3: H3Connection, connection: QuicConnection, stream: int) -> None:
    """Begin a HEADERS frame of a gigabyte."""
    del h3
    connection.send_stream_data(stream, b"\x01\xc0" + (1 << 30).to_bytes(7) + bytes(3_000_000))


def small_bomb(h3: H3Connection, connection: QuicConnection, stream: int) -> None:
    """Send a 4 KB field in QPACK's dynamic table and 50,000 references of one byte."""
    value = b"\x7f" + bytes((4_000 - 127 & 127 | 128, 4_000 - 127 >> 7)) + b"x" * 4_000
    table = b"\x3f\xe1\x1f" + b"\x41a" + value  # RFC 9204 sections 4.3.1 and 4.3.3
    connection.send_stream_data(present(h3._local_encoder_stream_id), table)
    block = b"\x02\x00" + b"\xd9" + b"\x80" * 50_000  # :status 200
    connection.send_stream_data(stream, encode_frame(FrameType.HEADERS, block))


def long_names(h3: H3Connection, connection: QuicConnection, stream: int) -> None:
    del connection
    h3.send_headers(stream, [(b":status", b"200"), (b"x" * 5_000, b"")], end_stream=True)


def nothing(h3: H3Connection, connection: QuicConnection, stream: int) -> None:
    del h3, connection, stream


@in_background
@asynccontextmanager
async def quic_server(
    leaf: Leaf,
    behaviour: Behaviour = nothing,
    *,
    host: str = HOST,
    alpn: Sequence[str] = ("h3",),
) -> AsyncIterator[int]:
    """Yield the port."""
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=list(alpn),
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )
    configuration.load_cert_chain(leaf.chain, leaf.key)

    made = conversation(behaviour)
    server = await serve(host, 0, configuration=configuration, create_protocol=made)
    try:
        assert server._transport is not None
        yield int(server._transport.get_extra_info("sockname")[1])
    finally:
        server.close()


def conversation(behaviour: Behaviour) -> Callable[..., QuicConnectionProtocol]:
    """Return the protocol factory that aioquic's `serve` takes."""

    def protocol(connection: QuicConnection, **options: Any) -> QuicConnectionProtocol:
        return _Conversation(connection, behaviour, **options)

    return protocol


class _Conversation(QuicConnectionProtocol):
    def __init__(self, connection: QuicConnection, behaviour: Behaviour, **options: Any) -> None:
        super().__init__(connection, **options)
        self._behaviour = behaviour
        self._h3: H3Connection | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._h3 = H3Connection(self._quic)
        if self._h3 is None:
            return
        for each in self._h3.handle_event(event):
            if isinstance(each, HeadersReceived):
                self._behaviour(self._h3, self._quic, each.stream_id)


def version_negotiation(*versions: int) -> Callable[[bytes], list[bytes]]:
    """Return a UDP script that negotiates these versions (RFC 9000, 17.2.1)."""

    def script(data: bytes) -> list[bytes]:
        destination, source = _connection_ids(data)
        ids = b"".join(bytes((len(each),)) + each for each in (source, destination))
        return [b"\x80" + bytes(4) + ids + b"".join(struct.pack(">I", v) for v in versions)]

    return script


def initial(frames: bytes) -> Callable[[bytes], list[bytes]]:
    """Return a UDP script that answers with an Initial packet with these frames.

    Anyone who saw the client's packet can make one, since its keys follow from what is sent in the
    clear (RFC 9001, 5.2).
    """

    def script(data: bytes) -> list[bytes]:
        destination, source = _connection_ids(data)
        crypto = CryptoPair()
        crypto.setup_initial(cid=destination, is_client=False, version=1)
        builder = QuicPacketBuilder(
            host_cid=b"forger..", peer_cid=source, is_client=False, max_datagram_size=1200,
            version=1,
        )  # fmt: skip
        builder.start_packet(QuicPacketType.INITIAL, crypto)
        builder.start_frame(QuicFrameType.PING).push_bytes(frames)
        return builder.flush()[0]

    return script


def _connection_ids(data: bytes) -> tuple[bytes, bytes]:
    """Return destination and source of a long header (RFC 8999)."""
    at = 6 + data[5]
    return data[6:at], data[at + 1 : at + 1 + data[at]]
