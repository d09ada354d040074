"""The door for lone envelopes before a real intake, over real TLS on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from heliograph.http_envelope import MAX_BODY
from heliograph.plan_chunks import Gathered, held_text
from heliograph.relay_line import believed
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import tls_file
from heliograph_collector.ingest import post
from heliograph_collector.model.records import Kind
from support.intake import HOST, Caller, House, enrolled, house

DEADLINE_S = 20.0


def context(highest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.maximum_version = highest
    return made


@dataclass
class Door:
    house: House
    port: int

    async def say(self, sent: bytes, *, sni: str = "", finish: bool = True) -> bytes:
        """Everything that is answered until the connection ends."""
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
async def door(
    data: Path, *, at_once: int = post.AT_ONCE, deadline_s: float = 10.0
) -> AsyncIterator[Door]:
    async with house(data) as there:
        calls = post.serving(
            there.intake.answer, HOST, 0, tls_file(data), at_once=at_once, deadline_s=deadline_s
        )
        async with calls as port:
            yield Door(there, port)


def sealed(caller: Caller, sequence: int) -> bytes:
    return caller.seal(caller.batch(sequence))


async def test_an_envelope_is_stored_once_and_then_a_duplicate(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        caller = await enrolled(at.house)
        envelope = sealed(caller, 1)
        first, second = await at.post(envelope), await at.post(envelope)
        assert (first.sequence, first.status) == (1, pb.STATUS_STORED)
        assert second.status == pb.STATUS_DUPLICATE
        (row,) = await at.house.rows(Kind.ENVELOPE)
        assert row.prefix, "the network it came from has a vote"


async def test_any_name_may_stand_in_the_client_hello(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        caller = await enrolled(at.house)
        for number, sni in enumerate(("", "www.example.net", "localhost"), 1):
            receipt = await at.post(sealed(caller, number), sni=sni)
            assert receipt.status == pb.STATUS_STORED


async def test_what_a_proxy_brings_gets_no_place(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        caller = await enrolled(at.house)
        await at.post(sealed(caller, 1), "Heliograph-Place: elsewhere")
        (row,) = await at.house.rows(Kind.ENVELOPE)
        assert (row.prefix, row.country, row.asn) == ("", "ZZ", 0)


async def test_what_a_relay_brings_gets_no_place_and_a_receipt_that_can_be_believed(
    tmp_path: Path,
) -> None:
    async with door(tmp_path) as at:
        caller = await enrolled(at.house)
        envelope = sealed(caller, 1)
        for expected in (pb.STATUS_STORED, pb.STATUS_DUPLICATE):
            response = await at.hear(envelope, "Heliograph-Place: relay")
            sealing, signing = at.house.keyring.sealing, at.house.keyring.signing
            said = believed(envelope, sealing.id, response, signing.public)
            assert said is not None
            assert said.status == expected
        assert not (await at.hear(envelope)).receipts, "who sees the pin needs none"
        (row,) = await at.house.rows(Kind.ENVELOPE)
        assert (row.prefix, row.country, row.carrier) == ("", "ZZ", "relay")


async def test_a_newer_plan_comes_back_by_pieces_and_to_known_agents_alone(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        caller, plan = await enrolled(at.house), at.house.intake.roll.plan
        version = at.house.intake.roll.plan_version
        gathered, whole, sequence = Gathered(), None, 0
        while whole is None:
            sequence += 1
            held = f"Heliograph-Plan: {held_text(gathered.held(version - 1))}"
            response = await at.hear(sealed(caller, sequence), held)
            whole = gathered.take(response.plan)
        assert whole == plan.SerializeToString()
        assert sequence == 1, "a plan of today needs a single small envelope"
        again = f"Heliograph-Plan: {version - 1}"
        assert not (await at.hear(sealed(caller, 2))).HasField("plan"), "who did not ask"
        assert not (await at.hear(b"\xff" * 700, again)).HasField("plan")
        newest = f"Heliograph-Plan: {version}"
        assert not (await at.hear(sealed(caller, 3), newest)).HasField("plan")


async def test_what_is_no_envelope_of_ours_is_refused_by_a_receipt(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        receipt = await at.post(b"\xff" * 700)
        assert (receipt.status, receipt.reason) == (pb.STATUS_REJECTED, "bad_envelope")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"POST /v1/envelopes HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"A" * 5_000, 431),
    ],
)
async def test_other_requests_get_a_status(tmp_path: Path, sent: bytes, status: int) -> None:
    async with door(tmp_path) as at:
        assert (await at.say(sent)).startswith(b"HTTP/1.1 %d " % status)


async def test_nothing_older_than_tls_1_3_is_spoken(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection(
                HOST, at.port, ssl=context(ssl.TLSVersion.TLSv1_2), server_hostname=""
            )
        reader, writer = await asyncio.open_connection(HOST, at.port)
        writer.write(b"POST /v1/envelopes HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in await reader.read()
        writer.close()


async def test_a_call_that_never_ends_is_ended(tmp_path: Path) -> None:
    async with door(tmp_path, deadline_s=0.2) as at:
        assert await at.say(b"POST /v1/envelopes HTTP/1.1\r\n") == b""
        reader, writer = await asyncio.open_connection(HOST, at.port)
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b"", "also one that says nothing at all"
        writer.close()


async def test_who_holds_the_door_shut_is_pushed_out_by_the_next(tmp_path: Path) -> None:
    async with door(tmp_path, at_once=4) as at:
        caller = await enrolled(at.house)
        idle = [await asyncio.open_connection(HOST, at.port) for _ in range(12)]
        receipt = await at.post(sealed(caller, 1))
        assert receipt.status == pb.STATUS_STORED
        async with asyncio.timeout(DEADLINE_S):
            assert [await reader.read() for reader, _ in idle[:8]] == [b""] * 8
        for _, writer in idle:
            writer.close()


async def test_a_taken_port_is_told(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        with pytest.raises(post.PortTakenError):
            async with post.serving(at.house.intake.answer, HOST, at.port, tls_file(tmp_path)):
                pytest.fail("two listen on one port")
