"""Envelopes by every way in: what is refused, what may come again, and what is never lost."""

import asyncio
import random
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import cast

import grpc
import pytest

from heliograph.http_envelope import Request
from heliograph.v1 import envelope_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.ingest.geo.asn_table import write_table
from heliograph_collector.model.records import JournalRow, Kind
from heliograph_collector.store.journal.journal import Journal, JournalFullError
from support.intake import (
    CLOCK,
    Caller,
    House,
    channel,
    enrolled,
    greeted,
    hear,
    house,
    measurement,
    receipts,
    tunnel,
)
from support.waiting import until

PEER = "203.0.113.77"


async def posted(home: House, envelope: bytes) -> pb.Receipt:
    return await home.intake.accept(envelope, PEER)


async def test_submit_and_post_share_one_deduplication(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        sealed = caller.seal(caller.batch(4))
        request = pb.SubmitRequest(envelope=envelope_pb2.Envelope.FromString(sealed))
        answer = await stub.Submit(request, timeout=10)
        assert answer.receipt == pb.Receipt(sequence=4, status=pb.STATUS_STORED)
        assert (await posted(home, sealed)).status == pb.STATUS_DUPLICATE
        (row,) = await home.rows(Kind.ENVELOPE)
        assert row.carrier == "submit"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: b"", "unknown_version"),
        (lambda e: b"\xff" * 40, "bad_envelope"),
        (lambda e: bytes(300_000), "too_large"),
        (lambda e: e[:-1] + bytes([e[-1] ^ 1]), "bad_seal"),
        (lambda e: e[:-1], "bad_envelope"),
    ],
)
async def test_what_is_no_envelope_is_refused_for_good(
    tmp_path: Path, change: Callable[[bytes], bytes], reason: str
) -> None:
    async with house(tmp_path) as home:
        caller = await enrolled(home)
        receipt = await posted(home, change(caller.seal(caller.batch(1))))
        assert (receipt.status, receipt.reason) == (pb.STATUS_REJECTED, reason)
        assert await home.rows(Kind.ENVELOPE) == []


async def test_who_floods_by_way_of_others_keeps_no_relay_of_others_waiting(
    tmp_path: Path,
) -> None:
    """Whose vantage an envelope is of is not asked of a relay's address; whose flood it is, is."""
    async with house(tmp_path) as home:
        caller = await enrolled(home)
        flood = Request(envelope=b"", place="relay")
        for _ in range(20_000):  # faster than its allowance grows, on any machine
            refused = await home.intake.answer(flood, "198.51.100.5")
            if refused.receipt.status == pb.STATUS_RETRY:
                break
        assert refused.receipt.status == pb.STATUS_RETRY
        for place in ("relay", "elsewhere"):
            sealed = caller.seal(caller.batch(7 if place == "relay" else 8))
            answer = await home.intake.answer(Request(envelope=sealed, place=place), PEER)
            assert answer.receipt.status == pb.STATUS_STORED
        rows = await home.rows(Kind.ENVELOPE)
        assert {(row.country, row.asn, row.prefix) for row in rows} == {("ZZ", 0, "")}


async def test_strangers_and_the_revoked_are_told_apart(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        stranger = Caller(home.keyring)
        assert (await posted(home, stranger.seal(stranger.batch(1)))).reason == "unknown_agent"
        caller = await enrolled(home)
        home.fleet.revoke(caller.id, 1)
        home.intake.roll.add(home.fleet.agents()[0])
        assert (await posted(home, caller.seal(caller.batch(1)))).reason == "revoked"


async def test_one_agent_cannot_sign_for_another(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        caller, other = await enrolled(home), await enrolled(home)
        batch = caller.batch(1)
        batch.agent = other.id
        assert (await posted(home, caller.seal(batch))).reason == "bad_signature"


async def test_an_envelope_without_a_number_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        caller = await enrolled(home)
        for sequence in (0, 2**63):
            receipt = await posted(home, caller.seal(caller.batch(sequence)))
            assert receipt.reason == "bad_batch"


async def test_a_message_over_the_limit_ends_the_call_and_nothing_else(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        await enrolled(home)
        huge = envelope_pb2.Envelope(version=1, sealed=bytes(262_144))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Submit(pb.SubmitRequest(envelope=huge), timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await enrolled(home)


async def test_a_relayed_envelope_says_nothing_of_where_its_agent_is(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        bearer, author = await enrolled(home), await enrolled(home)
        call = await greeted(stub, bearer)
        await call.write(pb.AgentMessage(envelope=author.envelope(1)))
        await call.write(pb.AgentMessage(envelope=bearer.envelope(1)))
        await receipts(call, 2)
        rows = {row.agent: row for row in await home.rows(Kind.ENVELOPE)}
        assert rows[author.id].prefix == ""
        assert rows[bearer.id].prefix != ""
        call.cancel()


async def test_times_that_cannot_be_are_kept_and_counted(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        caller = await enrolled(home)
        batch = caller.batch(1, [measurement()] * 3)
        day_us = 86_400_000_000
        batch.measurements[0].started_us -= 121 * day_us
        batch.measurements[1].started_us += 2 * day_us
        assert (await posted(home, caller.seal(batch))).status == pb.STATUS_STORED
        assert home.count("heliograph_measurements_total", outcome="time_bad") == 2
        assert home.count("heliograph_measurements_total", outcome="kept") == 3


async def test_over_its_quota_an_agent_is_asked_to_wait(tmp_path: Path) -> None:
    async with house(tmp_path, batches_per_hour=4) as home:
        caller = await enrolled(home)
        found = [await posted(home, caller.seal(caller.batch(n))) for n in range(1, 7)]
        assert [r.status for r in found][:4] == [pb.STATUS_STORED] * 4
        assert found[-1].status == pb.STATUS_RETRY
        assert 0 < found[-1].retry_after_s <= 900


class Gate:
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


async def test_no_receipt_before_the_commit(tmp_path: Path) -> None:
    gates: list[Gate] = []

    def gate(journal: Journal) -> Journal:
        gates.append(Gate(journal))
        return cast("Journal", gates[0])

    async with house(tmp_path, wrap=gate) as home, channel(home) as stub:
        caller, gate_ = await enrolled(home), gates[0]
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(call, 1)
        gate_.open.clear()
        seen = gate_.waiting
        await call.write(pb.AgentMessage(envelope=caller.envelope(2)))

        async def at_the_gate() -> bool:
            return gate_.waiting > seen

        await until(at_the_gate)
        reading = asyncio.ensure_future(receipts(call, 1))
        done, _ = await asyncio.wait([reading], timeout=0.1)
        assert not done, "acknowledged before it was on disk"
        gate_.open.set()
        assert (await reading)[0].status == pb.STATUS_STORED
        gate_.full = True
        await call.write(pb.AgentMessage(envelope=caller.envelope(3)))
        (late,) = await receipts(call, 1)
        assert (late.sequence, late.status) == (3, pb.STATUS_RETRY)
        assert late.retry_after_s > 0
        gate_.full = False
        call.cancel()


async def test_a_silence_is_written_down_once_there_is_room(tmp_path: Path) -> None:
    gates: list[Gate] = []

    def gate(journal: Journal) -> Journal:
        gates.append(Gate(journal))
        return cast("Journal", gates[0])

    async with house(tmp_path, wrap=gate, heartbeat_s=1) as home, channel(home) as stub:
        call = await greeted(stub, await enrolled(home))

        async def here() -> bool:
            return len(home.intake.presence) == 1

        await until(here)
        gates[0].full, seen = True, gates[0].waiting
        call.cancel()

        async def refused_twice() -> bool:
            return gates[0].waiting >= seen + 2

        async def written() -> bool:
            return len(await home.rows(Kind.LOST)) > 0

        await until(refused_twice)
        assert home.count("heliograph_agents_lost_total") == 0
        gates[0].full = False
        await until(written)
        assert len(await home.rows(Kind.LOST)) == 1


async def test_who_is_on_the_way_in_is_no_longer_missing(tmp_path: Path) -> None:
    gates: list[Gate] = []

    def gate(journal: Journal) -> Journal:
        gates.append(Gate(journal))
        return cast("Journal", gates[0])

    async with house(tmp_path, wrap=gate) as home, channel(home) as stub:
        caller = await enrolled(home)
        gates[0].open.clear()
        call = await greeted(stub, caller)

        async def here() -> bool:
            return len(home.intake.presence) == 1

        async def gone() -> bool:
            return len(home.intake.presence) == 0

        await until(here)
        assert await home.rows(Kind.ARRIVAL) == []
        call.cancel()
        await until(gone)
        gates[0].open.set()


async def test_goodbyes_that_come_while_one_is_written_go_into_one_commit(tmp_path: Path) -> None:
    gates: list[Gate] = []

    def gate(journal: Journal) -> Journal:
        gates.append(Gate(journal))
        return cast("Journal", gates[0])

    async with house(tmp_path, wrap=gate) as home, channel(home) as stub:
        calls = [await greeted(stub, await enrolled(home)) for _ in range(6)]

        async def all_here() -> bool:
            return len(await home.rows(Kind.ARRIVAL)) == len(calls)

        async def all_gone() -> bool:
            return len(await home.rows(Kind.GOODBYE)) == len(calls)

        await until(all_here)
        before = gates[0].waiting
        gates[0].open.clear()
        for call in calls:
            await call.write(pb.AgentMessage(goodbye=pb.Goodbye(reason="shutdown")))
            assert await call.read() is grpc.aio.EOF
        gates[0].open.set()
        await until(all_gone)
        assert gates[0].waiting - before <= 2


async def test_no_address_stays(tmp_path: Path) -> None:
    """The callers' addresses are nowhere in what the collector keeps."""
    source = "127.83.91.67"
    async with (
        house(tmp_path) as home,
        tunnel(home, source) as port,
        channel(home, port=port) as stub,
    ):
        caller = Caller(home.keyring)
        await stub.Enrol(caller.enrol_request(home.invite()), timeout=10)
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(call, 1)
        await call.write(pb.AgentMessage(goodbye=pb.Goodbye(reason="shutdown")))
        assert await call.read() is grpc.aio.EOF
        await posted(home, caller.seal(caller.batch(2)))
    kept = everything(tmp_path)
    assert caller.id in kept
    for address in (source, PEER):
        assert address.encode() not in kept
        assert bytes(int(x) for x in address.split(".")).hex().encode() not in kept


@pytest.mark.parametrize("trusting", [True, False])
async def test_a_proxy_is_believed_only_where_it_is_trusted(tmp_path: Path, trusting: bool) -> None:
    """The hello, the lone envelope and the enrolment of one caller, all by the same proxy."""
    said = (("x-forwarded-for", "192.0.2.1, 203.0.113.9"),)
    proxies = (ip_network("127.0.0.0/8"),) if trusting else ()
    letters = int.from_bytes(b"KZ", "big")
    write_table(tmp_path / "c.table", [(0xCB007100, 0xCB0071FF, letters)], [])
    table = tmp_path / "c.mmdb"
    async with (
        house(tmp_path, trusted_proxies=proxies, country_file=table) as home,
        channel(home) as stub,
    ):
        caller = Caller(home.keyring)
        await stub.Enrol(caller.enrol_request(home.invite()), timeout=10, metadata=said)
        call = stub.Session(metadata=said)
        await call.write(caller.hello((await hear(call)).challenge.nonce))
        await call.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(call, 1)
        request = pb.SubmitRequest(envelope=caller.envelope(2))
        await stub.Submit(request, timeout=10, metadata=said)
        rows = await home.rows(Kind.ARRIVAL, Kind.ENVELOPE)
        assert len(rows) == 3
        assert {row.country for row in rows} == {"KZ" if trusting else "ZZ"}
        assert len({row.prefix for row in rows}) == 1
        direct = home.intake.geo.locate("203.0.113.77", rows[0].received_us)
        assert (direct.prefix == rows[0].prefix) is trusting, "that of the /24, or the proxy's own"
    assert b"203.0.113.9" not in everything(tmp_path)


def everything(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def test_random_bytes_are_refused_and_never_raise(tmp_path: Path) -> None:
    rng = random.Random(3)
    async with house(tmp_path) as home:
        for _ in range(300):
            receipt = await posted(home, rng.randbytes(rng.randrange(600)))
            assert receipt.status == pb.STATUS_REJECTED
    assert CLOCK.wall_us() > 0
