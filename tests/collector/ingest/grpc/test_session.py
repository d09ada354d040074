"""Sessions over real TLS on loopback: access, acknowledgements, and their end."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from heliograph import codec, keys
from heliograph.observation import Link
from heliograph.v1 import envelope_pb2, plan_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.plans import issue_plan, load_current_plan
from heliograph_collector.fleet.session_records import read_ends, read_refusals
from heliograph_collector.ingest import rate_limits
from heliograph_collector.model.records import Block, RowKind
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms
from support.hand_clock import HandClock
from support.intake import (
    Caller,
    IngestServer,
    OpenSession,
    beat,
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
    second_fleet,
)
from support.waiting import until


async def refuse_hello(
    server: IngestServer, caller: Caller, signer: keys.SigningKey | None = None
) -> str:
    """Return the collector's refusal of this hello, signed by `signer`."""
    async with channel(server) as stub:
        call = stub.Session()
        nonce = (await hear(call)).challenge.nonce
        message = replace(caller, signer=signer or caller.signer).hello(nonce)
        message.hello.agent = caller.id
        await call.write(message)
        error = await refusal(call.read())
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    return error.details() or ""


async def test_session_stores_and_acknowledges_envelopes_in_order(session: OpenSession) -> None:
    await session.send(*range(1, 17))
    found = await session.receipts(16)
    assert [r.sequence for r in found] == list(range(1, 17))
    assert {r.status for r in found} == {pb.STATUS_STORED}
    rows = await session.server.rows(RowKind.ENVELOPE)
    assert sorted(row.sequence for row in rows) == list(range(1, 17))
    assert {(row.agent, row.carrier) for row in rows} == {(session.caller.id, "session")}


async def test_restart_keeps_envelopes_and_agents(tmp_path: Path) -> None:
    async with open_session(tmp_path) as session:
        caller, envelope = session.caller, session.caller.envelope(1)
        await session.write(envelope=envelope)
        await session.receipts()
    async with ingest_server(tmp_path) as server, channel(server) as stub:
        call = await greeted(stub, replace(caller, keyring=server.keyring))
        await call.write(pb.AgentMessage(envelope=envelope))
        (receipt,) = await receipts(call, 1)
        assert receipt.status == pb.STATUS_DUPLICATE
        call.cancel()


async def test_ends_and_refusals_stay_on_record_over_a_restart(tmp_path: Path) -> None:
    async with open_session(tmp_path) as session:
        server, caller = session.server, session.caller
        strange = caller.envelope(2)
        strange.key_id = b"elsewher"
        await session.write(envelope=strange)
        await session.receipts()
        other = await enrolled(server)
        forged = await refuse_hello(server, other, keys.SigningKey(b"o" * 32))
        assert forged == "bad_signature"
        await session.say_goodbye()
        await server.wait_connected(0)
        assert server.intake.directory.find_end(caller.id) is not None, "at once"
    fleet = Fleet(tmp_path)
    end = read_ends(fleet)[caller.id]
    assert (end.reason, end.goodbye_reason, end.plan) == ("goodbye", "shutdown", 1)
    refusals = {r.agent: (r.what, r.reason) for r in read_refusals(fleet).values()}
    assert refusals == {
        caller.id: ("results", "unknown_key"),
        other.id: ("session", "bad_signature"),
    }
    fleet.revoke_agent(caller.id, 9)
    assert read_ends(fleet) == {}, "what is revoked needs no other reason"
    fleet.close()


async def test_session_refuses_envelope_of_unknown_key_in_its_turn(session: OpenSession) -> None:
    strange = session.caller.envelope(2)
    strange.key_id = b"elsewher"
    await session.send(1)
    await session.write(envelope=strange)
    await session.send(3)
    found = await session.receipts(3)
    stored, rejected = pb.STATUS_STORED, pb.STATUS_REJECTED
    assert [r.status for r in found] == [stored, rejected, stored]
    assert found[1].reason == "unknown_key"


async def test_bad_measurement_is_kept_for_the_judge_beside_its_batch(
    session: OpenSession,
) -> None:
    batch = session.caller.batch(1, [measurement(), measurement(), measurement()])
    batch.measurements[1].observations[0].failure = "the_dog_ate_it"
    sealed = session.caller.seal(batch)
    await session.write(envelope=envelope_pb2.Envelope.FromString(sealed))
    (receipt,) = await session.receipts()
    assert receipt.status == pb.STATUS_STORED
    assert session.server.count("heliograph_measurements_total", outcome="kept") == 3
    (row,) = await session.server.rows(RowKind.ENVELOPE)
    decoded = read_rows([row], Pseudonyms(b"s" * 32))
    assert [failure.index for failure in decoded.failures] == [1]
    assert len(decoded.records) == 2
    session.server.intake.receiver.metrics.on_block(
        Block(journal="j", first=1, last=1, refused=tuple(decoded.failures))
    )
    assert session.server.count("heliograph_measurements_total", outcome="bad") == 1


async def test_hello_cannot_be_replayed(session: OpenSession) -> None:
    first, second = session.stub.Session(), session.stub.Session()
    hello = session.caller.hello((await hear(first)).challenge.nonce)
    await hear(second)
    await second.write(hello)
    assert (await refusal(second.read())).details() == "bad_signature"
    first.cancel()


async def test_session_refuses_unknown_forged_and_revoked_agents(server: IngestServer) -> None:
    caller = await enrolled(server)
    assert await refuse_hello(server, Caller(server.keyring)) == "unknown_agent"
    other = keys.SigningKey(b"o" * 32)
    assert await refuse_hello(server, caller, other) == "bad_signature"
    with second_fleet(server) as fleet:
        fleet.revoke_agent(caller.id, 1)

    async def is_turned_away() -> bool:
        return await find_refusal(server, caller) == "revoked"

    await until(is_turned_away)


async def find_refusal(server: IngestServer, caller: Caller) -> str:
    """Return the reason of a refusal, "" without one."""
    async with channel(server) as stub:
        call = await greeted(stub, caller)
        try:
            await beat(call)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it may end under our hands
            return await call.details()
        call.cancel()
    return ""


async def test_agent_revoked_by_another_process_loses_its_session(session: OpenSession) -> None:
    await session.beat()
    with second_fleet(session.server) as fleet:
        fleet.revoke_agent(session.caller.id, 1)
    assert await session.find_end()
    assert await session.call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_new_plan_is_pushed_to_open_sessions(session: OpenSession) -> None:
    await session.beat()
    signing = session.server.keyring.signing
    with second_fleet(session.server) as fleet:
        found = load_current_plan(fleet)
        assert found is not None
        issue_plan(fleet, signing, found[0], 5)
    async with asyncio.timeout(60):
        signed = (await hear(session.call)).plan
    assert keys.verify(signing.public, signed.signature, keys.PLAN, signed.plan)
    assert codec.plan_from_pb(plan_pb2.Plan.FromString(signed.plan)).version == 2


async def test_heartbeat_is_answered_with_the_time(session: OpenSession) -> None:
    clock = (await session.beat(sent_us=42, link="online")).clock
    assert clock.heartbeat_sent_us == 42
    assert 0 < clock.received_us <= clock.sent_us
    links = session.server.intake.connections.count_links()
    assert links["KZ", 0, "mobile", Link.ONLINE] == 1


async def test_arrival_goodbye_and_loss_are_rows(tmp_path: Path) -> None:
    async with ingest_server(tmp_path, heartbeat_s=1) as server:
        polite, rude = await enrolled(server), await enrolled(server)
        async with channel(server) as stub:
            call = await greeted(stub, polite)
            await say_goodbye(call)
            assert await call.code() is grpc.StatusCode.OK
        async with channel(server) as stub:
            call = await greeted(stub, rude)
            await beat(call)
            call.cancel()
        await server.wait_rows(RowKind.LOST)
        rows = await server.rows(RowKind.START, RowKind.ARRIVAL, RowKind.GOODBYE, RowKind.LOST)
        assert [(r.kind, r.agent) for r in rows[1:]] == [
            (RowKind.ARRIVAL, polite.id),
            (RowKind.GOODBYE, polite.id),
            (RowKind.ARRIVAL, rude.id),
            (RowKind.LOST, rude.id),
        ]
        assert rows[0].kind is RowKind.START
        loss = rows[-1]
        assert rows[-2].received_us <= loss.heard_us <= loss.received_us - 2_500_000
        assert loss.heard_us <= loss.closed_us < loss.received_us, "it did not just fall silent"
        enrolled_s = [server.intake.directory.get(one.id).created_s for one in (polite, rude)]  # type: ignore[union-attr] # both are enrolled
        assert [r.since_s for r in rows[1:]] == [enrolled_s[0]] * 2 + [enrolled_s[1]] * 2


async def test_silence_ends_a_session(tmp_path: Path) -> None:
    async with open_session(tmp_path, heartbeat_s=1) as session:
        assert await session.find_end() == "silent"


async def test_old_session_is_ended_with_advice_and_without_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "MAX_SESSION_S", 0.5)
    async with open_session(tmp_path) as session:
        await session.send(1)
        (receipt,) = await session.receipts()
        assert receipt.status == pb.STATUS_STORED
        assert (await hear(session.call)).advice.reason == "renew"
        assert await session.call.read() is grpc.aio.EOF
        assert await session.call.code() is grpc.StatusCode.OK
        assert await session.server.rows(RowKind.LOST, RowKind.GOODBYE) == []


async def test_sessions_may_be_more_than_concurrent_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound on calls, of 200 where no test lowers it, is on work: sessions only wait."""
    monkeypatch.setattr(rate_limits, "MAX_UNARY_RPCS", 40)
    async with ingest_server(tmp_path, heartbeat_s=300) as server, AsyncExitStack() as stack:
        caller, calls = await enrolled(server), []
        callers = [Caller(server.keyring) for _ in range(48)]
        token = server.invite(uses=48)
        stubs = [await stack.enter_async_context(channel(server)) for _ in range(6)]
        for number, one in enumerate(callers):
            await stubs[number % 6].Enrol(one.enrol_request(token), timeout=60)
            calls.append(await greeted(stubs[number % 6], one))
        for call in calls:
            await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=1)))
        for call in calls:
            assert (await hear(call)).clock.received_us > 0
        assert server.count("heliograph_sessions") == 48
        sealed = caller.seal(caller.batch(1))
        assert (await server.intake.receiver.accept(sealed, "192.0.2.1")).status == pb.STATUS_STORED
        for call in calls:
            call.cancel()


async def test_session_over_the_limit_is_refused(tmp_path: Path) -> None:
    async with open_session(tmp_path, sessions=2) as session:
        await session.beat()
        second = await greeted(session.stub, session.caller)
        await beat(second)
        error = await refusal(session.stub.Session().read())
        second.cancel()
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_collector_far_behind_asks_new_sessions_to_come_again(tmp_path: Path) -> None:
    """A collector that is far behind asks new sessions to come again later.

    A whole country returns at once: a hello accepted then would be late, and only be repeated.
    """
    clock, trailers = HandClock(), []
    async with ingest_server(tmp_path, clock=clock) as server, channel(server) as stub:
        caller = await enrolled(server)

        async def try_session() -> str:
            call = stub.Session()
            try:
                await call.read()
            except grpc.aio.AioRpcError as error:
                trailers.append({key: str(value) for key, value in error.trailing_metadata() or ()})
                return error.details() or ""
            call.cancel()
            return "welcome"

        clock.advance_us(4_000_000)
        async with asyncio.timeout(60):
            while await try_session() != "busy":
                pass
            assert rate_limits.MAX_LAG_S < int(trailers[-1]["retry-after-s"]) <= 60
            while await try_session() != "welcome":
                pass
        (await greeted(stub, caller)).cancel()


async def test_session_of_bad_envelopes_alone_is_ended(session: OpenSession) -> None:
    rubbish = session.caller.envelope(1)
    rubbish.sealed = bytes(512)
    for _ in range(rate_limits.MAX_BAD_ENVELOPES + 1):
        await session.write(envelope=rubbish)
    count = 2 * rate_limits.MAX_BAD_ENVELOPES
    assert await session.find_end(lambda: session.receipts(count)) == "misbehaved"


async def test_power_of_a_machine_is_recorded_when_it_changes(session: OpenSession) -> None:
    async def read_power(kind: RowKind) -> list[bool | None]:
        hellos = [pb.Hello.FromString(r.body) for r in await session.server.rows(kind)]
        return [h.on_battery if h.HasField("on_battery") else None for h in hellos]

    for on_battery in (None, False, True, None, False, True):  # None: as an older agent
        await session.beat(on_battery=on_battery)
    arrivals = await read_power(RowKind.ARRIVAL)
    assert arrivals == [None, True], "at the change, and not more than one row a minute"
    await session.say_goodbye()
    await session.server.wait_rows(RowKind.GOODBYE)
    assert await read_power(RowKind.GOODBYE) == [True], "the end has it as last heard"
