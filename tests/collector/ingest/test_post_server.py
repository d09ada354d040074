"""The entrance for single envelopes before a real intake, over TLS on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from heliograph.http_envelope import MAX_BODY, EnvelopeRequest
from heliograph.plan_chunks import PlanAssembler, format_progress
from heliograph.relay_line import verify_relayed_receipt
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import tls_file
from heliograph_collector.ingest.post_server import MAX_OPEN_POLLS, serve_post
from heliograph_collector.model.errors import PortTakenError
from heliograph_collector.model.records import RowKind
from support.intake import HOST, Caller, IngestServer, enrolled, ingest_server

DEADLINE_S = 200.0  # a slow machine decides nothing


def context(highest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.maximum_version = highest
    return made


@dataclass
class PostEntrance:
    server: IngestServer
    port: int
    caller: Caller

    def seal(self, sequence: int) -> bytes:
        return self.caller.seal(self.caller.batch(sequence))

    async def say(self, sent: bytes, *, sni: str = "", finish: bool = True) -> bytes:
        """Send bytes; return everything answered until the connection ends."""
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(
                HOST, self.port, ssl=context(), server_hostname=sni
            )
            writer.write(sent)
            try:
                return await reader.read() if finish else b""
            finally:
                writer.transport.abort()

    async def post(self, envelope: bytes, *fields: str, sni: str = "") -> pb.Receipt:
        return (await self.hear(envelope, *fields, sni=sni)).receipt

    async def hear(self, envelope: bytes, *fields: str, sni: str = "") -> pb.SubmitResponse:
        lines = ["POST /v1/envelopes HTTP/1.1", f"Content-Length: {len(envelope)}", *fields]
        answer = await self.say("\r\n".join((*lines, "", "")).encode() + envelope, sni=sni)
        return pb.SubmitResponse.FromString(answer.partition(b"\r\n\r\n")[2])


@asynccontextmanager
async def door(data: Path, **limits: Any) -> AsyncIterator[PostEntrance]:
    async with (
        ingest_server(data) as there,
        serve_post(
            there.intake.responder,
            HOST,
            0,
            tls_file(data),
            senders=there.intake.responder.senders,
            **limits,
        ) as port,
    ):
        yield PostEntrance(there, port, await enrolled(there))


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[PostEntrance]:
    async with door(tmp_path) as at:
        yield at


async def test_post_stores_envelope_once_by_any_server_name(at: PostEntrance) -> None:
    envelope = at.seal(1)
    first, second = await at.post(envelope), await at.post(envelope)
    assert (first.sequence, first.status) == (1, pb.STATUS_STORED)
    assert second.status == pb.STATUS_DUPLICATE
    for number, sni in enumerate(("www.example.net", "localhost"), 2):
        receipt = await at.post(at.seal(number), sni=sni)
        assert receipt.status == pb.STATUS_STORED
    await at.post(at.seal(4), "Heliograph-Place: elsewhere")
    *direct, by_proxy = await at.server.rows(RowKind.ENVELOPE)
    assert [bool(row.prefix) for row in direct] == [True] * 3, "their network has a vote"
    assert (by_proxy.prefix, by_proxy.country, by_proxy.asn) == ("", "ZZ", 0)


async def test_post_by_a_relay_has_no_network_and_a_signed_receipt(at: PostEntrance) -> None:
    envelope = at.seal(1)
    for expected in (pb.STATUS_STORED, pb.STATUS_DUPLICATE):
        response = await at.hear(envelope, "Heliograph-Place: relay")
        sealing, signing = at.server.keyring.sealing, at.server.keyring.signing
        said = verify_relayed_receipt(envelope, sealing.id, response, signing.public)
        assert said is not None
        assert said.status == expected
    assert not (await at.hear(envelope)).receipts, "who sees the pin needs none"
    (row,) = await at.server.rows(RowKind.ENVELOPE)
    assert (row.prefix, row.country, row.carrier) == ("", "ZZ", "relay")


async def test_post_returns_newer_plan_in_pieces_to_known_agents(at: PostEntrance) -> None:
    plan = at.server.intake.directory.plan
    version = at.server.intake.directory.plan_version
    gathered, whole, sequence = PlanAssembler(), None, 0
    while whole is None:
        sequence += 1
        held = f"Heliograph-Plan: {format_progress(gathered.progress(version - 1))}"
        response = await at.hear(at.seal(sequence), held)
        whole = gathered.add_piece(response.plan)
    assert whole == plan.SerializeToString()
    assert sequence <= 2, "a plan of today needs one or two small envelopes"
    again = f"Heliograph-Plan: {version - 1}"
    assert not (await at.hear(at.seal(3))).HasField("plan"), "who did not ask"
    odd = await at.hear(b"\xff" * 700, again)
    assert not odd.HasField("plan")
    assert (odd.receipt.status, odd.receipt.reason) == (pb.STATUS_REJECTED, "bad_envelope")
    newest = f"Heliograph-Plan: {version}"
    assert not (await at.hear(at.seal(4), newest)).HasField("plan")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"POST /v1/envelopes HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"A" * 5_000, 431),
    ],
)
async def test_other_requests_get_a_status(at: PostEntrance, sent: bytes, status: int) -> None:
    assert (await at.say(sent)).startswith(b"HTTP/1.1 %d " % status)


async def test_post_speaks_nothing_older_than_tls_1_3(at: PostEntrance) -> None:
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(
            HOST, at.port, ssl=context(ssl.TLSVersion.TLSv1_2), server_hostname=""
        )
    reader, writer = await asyncio.open_connection(HOST, at.port)
    writer.write(b"POST /v1/envelopes HTTP/1.1\r\n\r\n")
    assert b"HTTP" not in await reader.read()
    writer.close()


async def test_unfinished_request_is_ended(tmp_path: Path) -> None:
    async with door(tmp_path, deadline_s=0.2) as at:
        assert await at.say(b"POST /v1/envelopes HTTP/1.1\r\n") == b""
        reader, writer = await asyncio.open_connection(HOST, at.port)
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b"", "also one that says nothing at all"
        writer.close()


async def test_oldest_idle_connection_makes_room(tmp_path: Path) -> None:
    async with door(tmp_path, max_connections=4) as at:
        idle = [await asyncio.open_connection(HOST, at.port) for _ in range(12)]
        receipt = await at.post(at.seal(1))
        assert receipt.status == pb.STATUS_STORED
        async with asyncio.timeout(DEADLINE_S):
            assert [await reader.read() for reader, _ in idle[:8]] == [b""] * 8
        for _, writer in idle:
            writer.close()


async def begin_upload(
    at: PostEntrance, size: int, sender: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection that has sent its head, and whose envelope is awaited."""
    reader, writer = await asyncio.open_connection(HOST, at.port, ssl=context(), server_hostname="")
    fields = f"Heliograph-Sender: {sender}\r\n" if sender else ""
    writer.write(f"POST /v1/envelopes HTTP/1.1\r\nContent-Length: {size}\r\n{fields}\r\n".encode())
    await writer.drain()
    return reader, writer


async def test_a_known_agent_keeps_its_connection_beside_a_flood_from_its_network(
    tmp_path: Path,
) -> None:
    async with door(tmp_path, max_connections=4) as at:
        envelope = at.seal(1)
        for sender, is_answered in ((at.caller.prove(envelope), True), ("", False)):
            reader, writer = await begin_upload(at, len(envelope), sender)
            idle = [await asyncio.open_connection(HOST, at.port) for _ in range(12)]
            async with asyncio.timeout(DEADLINE_S):
                assert await idle[0][0].read() == b"", "the flood displaces its own"
                with suppress(ConnectionError):
                    writer.write(envelope)
                    assert (b"200 OK" in await reader.read()) is is_answered
            for _, other in (*idle, (reader, writer)):
                other.close()


async def test_a_proof_on_many_connections_displaces_its_own_agent_alone(tmp_path: Path) -> None:
    """A stolen proof on many connections displaces its own agent alone.

    An attacker replays it, also beside the envelope of another agent.
    """
    async with door(tmp_path, max_connections=4, deadline_s=DEADLINE_S) as at:
        honest = await enrolled(at.server)
        envelope = honest.seal(honest.batch(1))
        stolen = at.caller.prove(at.seal(1))
        reader, writer = await begin_upload(at, len(envelope), honest.prove(envelope))
        played = [await begin_upload(at, 99, stolen) for _ in range(8)]
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionError):
                assert await played[0][0].read() == b"", "it has ended"
            writer.write(envelope)
            assert b"200 OK" in await reader.read()
        for _, other in (*played, (reader, writer)):
            other.transport.abort()
        later = honest.seal(honest.batch(2))
        receipt = await at.post(later, f"Heliograph-Sender: {stolen}")
        assert receipt.status == pb.STATUS_STORED
        assert {row.agent for row in await at.server.rows(RowKind.ENVELOPE)} == {honest.id}


async def test_taken_port_raises(at: PostEntrance, tmp_path: Path) -> None:
    with pytest.raises(PortTakenError):
        async with serve_post(at.server.intake.responder, HOST, at.port, tls_file(tmp_path)):
            pytest.fail("two listen on one port")


async def test_a_stranger_begins_few_sessions_on_one_connection(tmp_path: Path) -> None:
    """A stranger begins only few sessions on one connection, and leaves nothing."""
    async with (
        ingest_server(tmp_path) as server,
        server.intake.serve_post(f"{HOST}:0", tmp_path) as port,
    ):
        entrance = PostEntrance(server, port, await enrolled(server))
        begin = b"POST /v1/session HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
        answer = await entrance.say(begin * (4 * MAX_OPEN_POLLS + 1))
        assert answer.count(b"200 OK") <= 4 * MAX_OPEN_POLLS
        assert b"503" in answer


POLL = b"POST /v1/session HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Calls:
    """Answers to the polls of one proven session, while it lasts."""

    reply: bytes
    name: bytes = b"n" * 16
    answered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    count: int = 0

    def find_name(self, request: EnvelopeRequest) -> bytes:
        return self.name

    async def answer(self, request: EnvelopeRequest, address_chain: str) -> bytes:
        self.count += 1
        self.answered.release()
        return self.reply


async def test_replies_that_nobody_reads_end_the_reading_of_polls(tmp_path: Path) -> None:
    """A poll of 50 bytes asks for a plan again; else its agent fills the memory."""
    calls = Calls(bytes(32_000_000))  # more than the buffers of a loopback
    async with asyncio.timeout(DEADLINE_S), door(tmp_path, calls=calls) as at:
        reader, writer = await asyncio.open_connection(HOST, at.port, ssl=context())
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(POLL)
        await calls.answered.acquire()
        for _ in range(3):
            writer.write(POLL)
            assert b"404" in await at.say(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert calls.count == 1, "others came later and were answered"
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(4):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(calls.reply))
        assert calls.count == 4
        writer.transport.abort()


async def test_a_connection_ends_with_its_session(tmp_path: Path) -> None:
    """A connection ends with its session.

    It counts for no network after that, so one agent could hold any number of them.
    """
    calls = Calls(b"x")
    async with asyncio.timeout(DEADLINE_S), door(tmp_path, calls=calls) as at:
        reader, writer = await asyncio.open_connection(HOST, at.port, ssl=context())
        writer.write(POLL)
        await reader.readuntil(b"\r\n\r\nx")
        calls.name = b""
        writer.write(POLL)
        await reader.readuntil(b"\r\n\r\nx")
        writer.write(POLL)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        assert calls.count == 2
        writer.transport.abort()
