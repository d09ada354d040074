"""Uploads of known agents: a carrier's NAT has thousands of them, and floods too."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from heliograph.envelope import SIZES
from heliograph.upload import (
    ANSWER_S,
    MIN_BYTES_PER_S,
    REQUEST_S,
    SENDER_HEADER,
    parse_proof,
    upload_s,
)
from heliograph.v1 import envelope_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_agent.enrolment import ENROL_S
from heliograph_agent.relay.server import TRANSPORT_S
from heliograph_collector.fleet import quarantine
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.grpc import service
from heliograph_collector.ingest.submit import KnownSenders
from heliograph_collector.model.records import RowKind
from support.intake import Caller, IngestServer, ingest_server

AGENTS = 240  # more than may be answered at the same time
Metadata = tuple[tuple[str, str], ...]


async def begin_uploads(
    stack: AsyncExitStack, server: IngestServer, calls: list[Metadata]
) -> AsyncIterator[Any]:
    """Begin a Submit for each call, which the collector waits for; 8 per connection."""
    credentials = grpc.ssl_channel_credentials(server.keyring.tls_certificate)
    options = (
        ("grpc.ssl_target_name_override", "heliograph-collector"),
        ("grpc.use_local_subchannel_pool", 1),
    )
    for start in range(0, len(calls), 8):
        line = grpc.aio.secure_channel(server.endpoint, credentials, options)
        await stack.enter_async_context(line)
        method: Any = line.stream_unary("/heliograph.v1.Intake/Submit")
        for metadata in calls[start : start + 8]:
            upload = method(metadata=metadata)
            await upload.wait_for_connection()
            yield upload


def list_known_agents(server: IngestServer) -> Iterator[Caller]:
    token = server.invite(uses=AGENTS)
    server.fleet._db.execute("PRAGMA synchronous = OFF")
    for _ in range(AGENTS):
        caller = Caller(server.keyring)
        agent = server.fleet.enrol_agent(token, caller.signer.public, "", 1)
        server.intake.directory.add_agent(agent)
        yield caller


@pytest.mark.long
async def test_known_agents_of_one_carrier_upload_beside_a_flood_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known agents of a carrier upload beside a flood from it.

    More than 200 of one /24 evicted each other, and a flood from there evicted them all.
    """
    monkeypatch.setattr(rate_limits, "MAX_PENDING", AGENTS)  # so a /24 has two fifths
    monkeypatch.setattr(rate_limits, "RPC_S", 300.0)  # a slow machine decides nothing
    monkeypatch.setattr(service, "ANSWER_S", 300.0)
    async with ingest_server(tmp_path) as server, AsyncExitStack() as stack:
        callers = list(list_known_agents(server))
        sealed = [caller.seal(caller.batch(1)) for caller in callers]
        proofs: list[Metadata] = [
            ((SENDER_HEADER, caller.prove(body)),)
            for caller, body in zip(callers, sealed, strict=True)
        ]
        uploads = [upload async for upload in begin_uploads(stack, server, proofs)]
        flood = [
            upload async for upload in begin_uploads(stack, server, [()] * (2 * AGENTS // 5 + 8))
        ]
        ends = [asyncio.create_task(upload.code()) for upload in flood]
        async with asyncio.timeout(200):
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for upload, body in zip(uploads, sealed, strict=True):
                envelope = envelope_pb2.Envelope.FromString(body)
                await upload.write(pb.SubmitRequest(envelope=envelope).SerializeToString())
                await upload.done_writing()
            answers = [pb.SubmitResponse.FromString(await upload) for upload in uploads]
        assert {answer.receipt.status for answer in answers} == {pb.STATUS_STORED}
        assert len(await server.rows(RowKind.ENVELOPE)) == AGENTS
        for end in ends:
            end.cancel()


async def test_only_a_known_agents_own_signature_for_this_collector_is_a_proof(
    tmp_path: Path,
) -> None:
    async with ingest_server(tmp_path) as server:
        known = Caller(server.keyring)
        stranger = Caller(server.keyring)
        fleet = server.fleet
        agent = fleet.enrol_agent(server.invite(), known.signer.public, "", 1)
        quarantine.enrol_without_invite(fleet, stranger.signer.public, "", 1)
        directory = server.intake.directory
        directory.reload_fleet(force=True)
        senders = KnownSenders(directory, server.keyring.pin)
        proof = known.prove(b"envelope")
        forged = stranger.prove(b"envelope")
        parsed = parse_proof(proof)
        assert parsed is not None
        assert senders.find(proof) == senders.find_of(proof, b"envelope") == agent
        assert senders.find_of(proof, b"another envelope") is None
        in_quarantine = stranger.prove(b"envelope")
        assert senders.find_of(in_quarantine, b"envelope") == directory.get(stranger.id)
        borrowed = parse_proof(forged)
        assert borrowed is not None
        stolen = type(parsed)(known.id, borrowed.digest, borrowed.signature).format()
        assert [senders.find(value) for value in (forged, stolen, "", "?", "AAAA")] == [None] * 5
        assert KnownSenders(directory, b"another collector's").find(proof) is None
        fleet.revoke_agent(agent.id, 2)
        directory.reload_fleet(force=True)
        assert senders.find(proof) is None


@pytest.mark.parametrize(
    ("remaining_s", "answer_s"), [(None, ANSWER_S), (60.0, ANSWER_S), (5.0, 4.0), (0.5, -0.5)]
)
def test_the_answer_comes_before_the_caller_gives_up(
    remaining_s: float | None, answer_s: float
) -> None:
    context = SimpleNamespace(time_remaining=lambda: remaining_s)
    assert service._answer_s(cast("Any", context)) == answer_s


def test_an_agent_waits_for_as_long_as_the_collector_works() -> None:
    for size in SIZES:
        arrival_s = size / MIN_BYTES_PER_S
        assert arrival_s < REQUEST_S
        assert upload_s(size) > arrival_s + ANSWER_S + 2
    assert ENROL_S > ANSWER_S + 2
    assert upload_s(SIZES[-1]) + 10 < TRANSPORT_S
