"""Envelopes by every way: what is refused, what may be repeated, nothing is lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from heliograph.clock import SystemClock
from heliograph.http_envelope import EnvelopeRequest
from heliograph.token_bucket import TokenBuckets
from heliograph.units import HOUR_S
from heliograph.v1 import envelope_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import quarantine
from heliograph_collector.ingest.envelope_opener import GROUP
from heliograph_collector.ingest.geo.asn_table import write_table
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.journal import Journal, JournalFullError
from support.hand_clock import HandClock
from support.intake import (
    Caller,
    IngestServer,
    OpenSession,
    channel,
    enrolled,
    greeted,
    hear,
    ingest_server,
    measurement,
    open_session,
    receipts,
    refusal,
    say_goodbye,
    tunnel,
)
from support.waiting import until_true

PEER = "203.0.113.77"


@asynccontextmanager
async def agent_at(data: Path, **options: Any) -> AsyncIterator[tuple[IngestServer, Caller]]:
    async with ingest_server(data, **options) as server:
        yield server, await enrolled(server)


async def posted(server: IngestServer, envelope: bytes) -> pb.Receipt:
    return await server.intake.receiver.accept(envelope, PEER)


async def test_submit_and_post_share_one_deduplication(tmp_path: Path) -> None:
    async with agent_at(tmp_path) as (server, caller), channel(server) as stub:
        sealed = caller.seal(caller.batch(4))
        request = pb.SubmitRequest(envelope=envelope_pb2.Envelope.FromString(sealed))
        answer = await stub.Submit(request, timeout=60)
        assert answer.receipt == pb.Receipt(sequence=4, status=pb.STATUS_STORED)
        assert (await posted(server, sealed)).status == pb.STATUS_DUPLICATE
        (row,) = await server.rows(RowKind.ENVELOPE)
        assert row.carrier == "submit"


@pytest.mark.long
async def test_flood_by_way_of_a_relay_delays_no_other_relay(tmp_path: Path) -> None:
    """A flood by one relay delays no other relay.

    A relay's address decides nothing about an envelope's vantage, but it limits floods.
    """
    async with agent_at(tmp_path) as (server, caller):
        flood = EnvelopeRequest(envelope=b"", intermediary="relay")
        respond = partial(server.intake.responder.respond, flood, "198.51.100.5")
        for _ in range(2_500):  # faster than its allowance grows, on any machine
            answers = await asyncio.gather(*(respond() for _ in range(GROUP)))
            if statuses := {answer.receipt.status for answer in answers} & {pb.STATUS_RETRY}:
                break
        assert statuses
        for sequence, place in ((7, "relay"), (8, "elsewhere")):
            sealed = caller.seal(caller.batch(sequence))
            relayed = EnvelopeRequest(envelope=sealed, intermediary=place)
            answer = await server.intake.responder.respond(relayed, PEER)
            assert answer.receipt.status == pb.STATUS_STORED
        rows = await server.rows(RowKind.ENVELOPE)
        assert {(row.country, row.asn, row.prefix) for row in rows} == {("ZZ", 0, "")}


async def test_flood_of_a_carrier_delays_no_known_agent_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of a carrier delays no known agent behind it.

    Accepted envelopes count for no flood, however many agents share an address.
    """
    build = partial(TokenBuckets[str], per_s=0.001, capacity=1.0, max_keys=9)
    async with ingest_server(tmp_path) as server:
        monkeypatch.setattr(server.intake.receiver, "_stranger_rates", build())
        respond = server.intake.responder.respond
        known = Caller(server.keyring)
        stranger = Caller(server.keyring)
        server.fleet.enrol_agent(server.invite(), known.signer.public, "", 1)
        quarantine.enrol_without_invite(server.fleet, stranger.signer.public, "", 1)
        server.intake.directory.reload_fleet(force=True)

        async def hand_in(who: Caller, number: int, proven: int = 0) -> str:
            sealed = who.seal(who.batch(number))
            sender = who.prove(sealed if proven == number else b"") if proven else ""
            request = EnvelopeRequest(envelope=sealed, sender=sender)
            return pb.Status.Name((await respond(request, PEER)).receipt.status)

        assert {await hand_in(known, n) for n in (1, 2, 3)} == {"STATUS_STORED"}
        junk = EnvelopeRequest(envelope=b"junk")
        assert (await respond(junk, PEER)).receipt.status == pb.STATUS_REJECTED
        assert await hand_in(known, 4) == "STATUS_RETRY"
        assert await hand_in(known, 5, proven=5) == "STATUS_STORED"
        assert await hand_in(known, 6, proven=1) == "STATUS_RETRY", "a proof is for one envelope"
        assert await hand_in(stranger, 1, proven=1) == "STATUS_RETRY", "in quarantine"


async def test_receiver_rejects_damaged_and_forged_envelopes(tmp_path: Path) -> None:
    rng = random.Random(3)
    async with agent_at(tmp_path) as (server, caller):
        stranger, other = Caller(server.keyring), await enrolled(server)
        forged = caller.batch(1)
        forged.agent = other.id
        good = caller.seal(caller.batch(1))
        for envelope, reason in (
            (b"", "unknown_version"),
            (b"\xff" * 40, "bad_envelope"),
            (bytes(300_000), "too_large"),
            (good[:-1] + bytes([good[-1] ^ 1]), "bad_seal"),
            (good[:-1], "bad_envelope"),
            (stranger.seal(stranger.batch(1)), "unknown_agent"),
            (caller.seal(forged), "bad_signature"),
            *((caller.seal(caller.batch(impossible)), "bad_batch") for impossible in (0, 2**63)),
        ):
            receipt = await posted(server, envelope)
            assert (receipt.status, receipt.reason) == (pb.STATUS_REJECTED, reason)
        for _ in range(300):
            receipt = await posted(server, rng.randbytes(rng.randrange(600)))
            assert receipt.status == pb.STATUS_REJECTED
        assert await server.rows(RowKind.ENVELOPE) == []


async def test_refused_envelope_spoils_none_that_is_opened_beside_it(tmp_path: Path) -> None:
    async with agent_at(tmp_path) as (server, caller):
        sealed = [caller.seal(caller.batch(sequence)) for sequence in range(1, 41)]
        sealed[::8] = [envelope[:-1] + bytes([envelope[-1] ^ 1]) for envelope in sealed[::8]]
        answers = await asyncio.gather(*(posted(server, envelope) for envelope in sealed))
        assert [a.reason for a in answers[::8]] == ["bad_seal"] * 5
        stored = {a.sequence for a in answers if a.status == pb.STATUS_STORED}
        assert stored == set(range(1, 41)) - {1, 9, 17, 25, 33}
        assert {row.sequence for row in await server.rows(RowKind.ENVELOPE)} == stored


async def test_oversized_message_ends_the_call_and_nothing_else(tmp_path: Path) -> None:
    async with agent_at(tmp_path) as (server, _), channel(server) as stub:
        huge = envelope_pb2.Envelope(version=1, sealed=bytes(262_144))
        error = await refusal(stub.Submit(pb.SubmitRequest(envelope=huge), timeout=60))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await enrolled(server)


async def test_relayed_envelope_has_no_network_of_its_own(session: OpenSession) -> None:
    author = await enrolled(session.server)
    await session.write(envelope=author.envelope(1))
    await session.send(1)
    await session.receipts(2)
    rows = {row.agent: row for row in await session.server.rows(RowKind.ENVELOPE)}
    assert rows[author.id].prefix == ""
    assert rows[session.caller.id].prefix != ""


async def test_impossible_times_are_kept_and_counted(tmp_path: Path) -> None:
    async with agent_at(tmp_path) as (server, caller):
        batch = caller.batch(1, [measurement()] * 3)
        day_us = 86_400_000_000
        batch.measurements[0].started_us -= 121 * day_us
        batch.measurements[1].started_us += 2 * day_us
        assert (await posted(server, caller.seal(batch))).status == pb.STATUS_STORED
        for outcome, count in (("time_bad", 2), ("kept", 3)):
            assert server.count("heliograph_measurements_total", outcome=outcome) == count


async def test_agent_over_its_quota_is_asked_to_wait(tmp_path: Path) -> None:
    async with agent_at(tmp_path, batches_per_hour=4) as (server, caller):
        found = [await posted(server, caller.seal(caller.batch(n))) for n in range(1, 7)]
        assert [r.status for r in found][:4] == [pb.STATUS_STORED] * 4
        assert found[-1].status == pb.STATUS_RETRY
        assert 0 < found[-1].retry_after_s <= 900


async def test_an_agent_that_was_away_brings_the_batches_of_all_its_hours(tmp_path: Path) -> None:
    clock = HandClock(wall=SystemClock().wall_us())
    async with agent_at(tmp_path, batches_per_hour=4, clock=clock) as (server, caller):
        clock.advance_us(3 * HOUR_S * 1_000_000)
        receipts = [await posted(server, caller.seal(caller.batch(n))) for n in range(1, 18)]
        assert [r.status for r in receipts[:16]] == [pb.STATUS_STORED] * 16
        assert receipts[16].status == pb.STATUS_RETRY


class BlockableJournal:
    """A journal whose commits wait until a test lets them through, or fail."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.open = asyncio.Event()
        self.open.set()
        self.full = False
        self.waiting = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._journal, name)

    async def append(self, rows: Sequence[JournalRow]) -> list[int | None]:
        self.waiting += 1
        await self.open.wait()
        if self.full:
            raise JournalFullError("The disk is full.")
        return await self._journal.append(rows)


@asynccontextmanager
async def blockable_journal(
    data: Path, **options: Any
) -> AsyncIterator[tuple[OpenSession, BlockableJournal]]:
    """A session of an agent that has arrived, and the journal behind it."""
    journals: list[BlockableJournal] = []

    def wrap(journal: Journal) -> Journal:
        journals.append(BlockableJournal(journal))
        return cast("Journal", journals[0])

    async with open_session(data, wrap=wrap, **options) as session:
        await session.server.wait_rows(RowKind.ARRIVAL)
        yield session, journals[0]


async def test_no_receipt_before_the_commit(tmp_path: Path) -> None:
    async with blockable_journal(tmp_path) as (session, journal):
        await session.send(1)
        await session.receipts()
        journal.open.clear()
        seen = journal.waiting
        await session.send(2)
        await until_true(lambda: journal.waiting > seen)
        reading = asyncio.ensure_future(session.receipts())
        done, _ = await asyncio.wait([reading], timeout=0.1)
        assert not done, "acknowledged before it was on disk"
        journal.open.set()
        assert (await reading)[0].status == pb.STATUS_STORED
        journal.full = True
        await session.send(3)
        (late,) = await session.receipts()
        assert (late.sequence, late.status) == (3, pb.STATUS_RETRY)
        assert late.retry_after_s > 0
        journal.full = False


async def test_loss_is_written_once_the_disk_has_room(tmp_path: Path) -> None:
    async with blockable_journal(tmp_path, heartbeat_s=1) as (session, journal):
        journal.full = True
        seen = journal.waiting
        session.call.cancel()
        await until_true(lambda: journal.waiting >= seen + 2)
        assert session.server.count("heliograph_agents_lost_total") == 0
        journal.full = False
        assert len(await session.server.wait_rows(RowKind.LOST)) == 1


async def test_arriving_agent_is_connected_before_its_row_is_written(tmp_path: Path) -> None:
    async with blockable_journal(tmp_path) as (session, journal):
        server = session.server
        session.call.cancel()
        await server.wait_connected(0)
        arrivals = await server.rows(RowKind.ARRIVAL)
        journal.open.clear()
        call = await greeted(session.stub, await enrolled(server))
        await server.wait_connected(1)
        assert await server.rows(RowKind.ARRIVAL) == arrivals
        call.cancel()
        await server.wait_connected(0)
        journal.open.set()


async def test_goodbyes_during_a_commit_share_the_next(tmp_path: Path) -> None:
    async with blockable_journal(tmp_path) as (session, journal):
        server = session.server
        calls = [await greeted(session.stub, await enrolled(server)) for _ in range(6)]
        await server.wait_rows(RowKind.ARRIVAL, 1 + len(calls))
        before = journal.waiting
        journal.open.clear()
        for call in calls:
            await say_goodbye(call)
        journal.open.set()
        await server.wait_rows(RowKind.GOODBYE, len(calls))
        assert journal.waiting - before <= 2


async def test_no_address_is_kept(tmp_path: Path) -> None:
    """The callers' addresses are nowhere in what the collector keeps."""
    source = "127.83.91.67"
    async with (
        ingest_server(tmp_path) as server,
        tunnel(server, source) as port,
        channel(server, port=port) as stub,
    ):
        caller = Caller(server.keyring)
        await stub.Enrol(caller.enrol_request(server.invite()), timeout=60)
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(call, 1)
        await say_goodbye(call)
        await posted(server, caller.seal(caller.batch(2)))
    kept = read_all(tmp_path)
    assert caller.id in kept
    for address in (source, PEER):
        assert address.encode() not in kept
        assert bytes(int(x) for x in address.split(".")).hex().encode() not in kept


@pytest.mark.parametrize("trusting", [True, False])
async def test_proxy_is_believed_only_where_it_is_trusted(tmp_path: Path, trusting: bool) -> None:
    """A proxy's header is used only if the proxy is trusted.

    The hello, the envelope and the enrolment of one caller come by the same proxy.
    """
    said = (("x-forwarded-for", "192.0.2.1, 203.0.113.9"),)
    proxies = (ip_network("127.0.0.0/8"),) if trusting else ()
    letters = int.from_bytes(b"KZ", "big")
    write_table(tmp_path / "c.table", [(0xCB007100, 0xCB0071FF, letters)], [])
    table = tmp_path / "c.mmdb"
    async with (
        ingest_server(tmp_path, trusted_proxies=proxies, country_file=table) as server,
        channel(server) as stub,
    ):
        caller = Caller(server.keyring)
        await stub.Enrol(caller.enrol_request(server.invite()), timeout=60, metadata=said)
        call = stub.Session(metadata=said)
        await call.write(caller.hello((await hear(call)).challenge.nonce))
        await call.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(call, 1)
        request = pb.SubmitRequest(envelope=caller.envelope(2))
        await stub.Submit(request, timeout=60, metadata=said)
        rows = await server.rows(RowKind.ARRIVAL, RowKind.ENVELOPE)
        assert len(rows) == 3
        assert {row.country for row in rows} == {"KZ" if trusting else "ZZ"}
        assert len({row.prefix for row in rows}) == 1
        direct = server.intake.geo.locate("203.0.113.77", rows[0].received_us)
        assert (direct.prefix == rows[0].prefix) is trusting, "that of the /24, or the proxy's own"
    assert b"203.0.113.9" not in read_all(tmp_path)


def read_all(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
