"""The cost of one unauthenticated connection for the POST listener, by counts.

The attack that stopped a collector: a thousand tiny headers, then a body in one-byte TLS records;
each record had head and headers parsed again, 8 s of the event loop for 268 kB.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from heliograph.http_envelope import MAX_BODY, MAX_HEAD, MAX_PIECES, EnvelopeRequest
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import open_keyring, tls_file
from heliograph_collector.ingest import post_server, wasted_work
from heliograph_collector.ingest.post_server import PIECES_PER_TURN, PostConnection, serve_post
from heliograph_collector.ingest.wasted_work import ConnectionWork, WastedWork, network_of
from support.hostile_inputs import head
from support.intake import HOST

BODY = MAX_BODY - 300


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("keys")
    open_keyring(data, [HOST])
    return tls_file(data)


class Wire(asyncio.Transport):
    """The TCP connection below TLS: the bytes written, and its end."""

    def __init__(self) -> None:
        super().__init__({"peername": (HOST, 1)})
        self.sent = bytearray()
        self.ended = False

    def write(self, data: Any) -> None:
        self.sent += data

    def abort(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Server:
    """Stands for the pool; counts the records that each turn of the loop handles."""

    def __init__(self, pem: Path) -> None:
        self.requests: list[EnvelopeRequest] = []
        context = post_server._build_tls_context(pem)
        self.connection = PostConnection(context, self)
        self.wire = Wire()
        self.connection.connection_made(self.wire)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        self.client = client.wrap_bio(self.incoming, self.outgoing)

    def on_sender(self, connection: PostConnection, header: str) -> None: ...
    def on_begin(self, connection: PostConnection) -> None: ...
    def on_end(self, connection: PostConnection) -> None: ...
    def on_request(self, connection: PostConnection, request: EnvelopeRequest) -> None:
        self.requests.append(request)

    def handshake(self) -> None:
        while True:
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                self._carry()
            else:
                break
        self._carry()

    def _carry(self) -> None:
        if self.outgoing.pending:
            self.connection.data_received(self.outgoing.read())
        self.incoming.write(bytes(self.wire.sent))
        self.wire.sent.clear()

    def records(self, data: bytes, size: int) -> bytes:
        for at in range(0, len(data), size):
            self.client.write(data[at : at + size])
        return self.outgoing.read()

    async def receive(self, data: bytes) -> list[int]:
        """Let it arrive at once; how many records each turn of the loop handled."""
        reader, turns = self.connection._reader, list[int]()
        before = reader._pieces
        self.connection.data_received(data)
        while reader._pieces > before:
            turns.append(reader._pieces - before)
            before = reader._pieces
            await asyncio.sleep(0)
        return turns


@pytest.fixture
def server(pem: Path) -> Server:
    return Server(pem)


async def test_one_byte_records_end_the_connection_after_bounded_work(server: Server) -> None:
    server.handshake()
    sent = head(BODY, *["a:"] * 20)
    turns = await server.receive(server.records(sent, 4_096) + server.records(b"x" * 9_000, 1))
    assert server.wire.ended
    assert not server.requests
    assert max(turns) <= PIECES_PER_TURN, "the loop has its turn"
    assert sum(turns) <= MAX_PIECES + 1
    work = server.connection._reader.work
    print(f"one-byte records: {sum(turns)} handled, {work:,} bytes searched, parsed and copied")
    assert work <= 3 * (len(sent) + MAX_PIECES)


async def test_a_thousand_tiny_headers_are_refused_unread(server: Server) -> None:
    server.handshake()
    await server.receive(server.records(head(BODY, *["a:"] * 1_000), 4_096))
    assert server.wire.ended
    assert server.connection._reader.work <= 4 * MAX_HEAD


async def test_the_largest_envelope_passes_with_the_work_of_its_bytes(server: Server) -> None:
    server.handshake()
    sent = head(BODY) + b"x" * BODY
    turns = await server.receive(server.records(sent, 1_300))
    assert [len(request.envelope) for request in server.requests] == [BODY]
    assert max(turns) <= PIECES_PER_TURN
    assert server.connection._reader.work <= 3 * len(sent)


async def test_bytes_below_tls_are_bounded_too(server: Server) -> None:
    """Bytes below TLS are limited too: a ClientHello in single bytes is dropped early."""
    for _ in range(post_server.MAX_SEGMENTS + 1):
        server.connection.data_received(b"\x16")
    assert server.wire.ended


def test_wasted_work_is_its_network_s_alone() -> None:
    work = ConnectionWork()
    work.add_handshake()
    wasted = WastedWork(0)
    refused = 0
    for _ in range(2_000):
        refused += not wasted.admits("192.0.2.0/24", 0)
        wasted.charge("192.0.2.0/24", work, 0)
    assert refused > 1_000
    assert wasted.admits("198.51.100.0/24", 0), "a stranger's waste is nobody else's"
    assert wasted.admits("192.0.2.0/24", 10_000_000), "and is forgiven in seconds"


def test_all_networks_together_leave_the_honest_ones_their_share() -> None:
    work = ConnectionWork(cost=wasted_work.NETWORK_BURST / 4)
    wasted = WastedWork(0)
    for number in range(100):
        wasted.charge(f"10.0.{number}.0/24", work, 0)
    assert not wasted.admits("10.0.1.0/24", 0)
    assert wasted.admits("198.51.100.0/24", 0)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("8.8.8.8", "8.8.8.0/24"),
        ("::ffff:8.8.8.8", "8.8.8.0/24"),
        ("2600:1:2:3::4", "2600:1:2::/48"),
        ("10.1.2.3", ""),
        ("127.0.0.1", ""),
        ("fe80::1%eth0", ""),
        ("", ""),
    ],
)
def test_networks_are_24_and_48_and_a_balancer_of_ours_is_none(address: str, network: str) -> None:
    assert network_of(address) == network


class Responder:
    """Accepts everything but what begins with x."""

    async def respond(self, request: EnvelopeRequest, address_chain: str) -> pb.SubmitResponse:
        bad = request.envelope.startswith(b"x")
        status = pb.STATUS_REJECTED if bad else pb.STATUS_STORED
        return pb.SubmitResponse(receipt=pb.Receipt(status=status))


@pytest.fixture
async def port(pem: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(post_server, "network_of", lambda address: "8.8.8.0/24")
    monkeypatch.setattr(wasted_work, "NETWORK_BURST", 20_000.0)
    monkeypatch.setattr(wasted_work, "NETWORK_PER_S", 1.0)  # nothing grows back on a slow machine
    async with serve_post(Responder(), HOST, 0, pem) as port:
        yield port


async def post(port: int, envelope: bytes) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
        writer.write(head(len(envelope)) + envelope)
        try:
            return await reader.read()
        finally:
            writer.transport.abort()


async def test_a_sender_of_envelopes_is_never_charged(port: int) -> None:
    """A whole carrier behind one address posts on; the same address's junk is cut off."""
    for _ in range(40):
        assert b"200 OK" in await post(port, b"good")
    refused = 0
    for _ in range(60):
        try:
            assert b"422" in await post(port, b"x")
        except (ConnectionError, ssl.SSLError):
            refused += 1
    assert refused > 20
