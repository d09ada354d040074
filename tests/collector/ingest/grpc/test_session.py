"""Sessions over real TLS on loopback: who gets in, what is acknowledged and when, how it ends."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from heliograph import codec, keys
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1 import plan_pb2
from heliograph_collector.fleet.plans import issue, standing
from heliograph_collector.ingest import rate_limits
from heliograph_collector.model.records import Kind
from support.hand_clock import HandClock
from support.intake import (
    Caller,
    House,
    channel,
    elsewhere,
    enrolled,
    greeted,
    hear,
    house,
    measurement,
    receipts,
)
from support.waiting import until


def sent(caller: Caller, sequence: int) -> pb.AgentMessage:
    return pb.AgentMessage(envelope=caller.envelope(sequence))


async def refusal(house: House, caller: Caller, signer: keys.SigningKey | None = None) -> str:
    """What the collector says to this hello, signed by `signer`."""
    async with channel(house) as stub:
        call = stub.Session()
        nonce = (await hear(call)).challenge.nonce
        liar = replace(caller, signer=signer or caller.signer)
        message = liar.hello(nonce)
        message.hello.agent = caller.id
        await call.write(message)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    return caught.value.details() or ""


async def test_an_envelope_is_stored_then_acknowledged(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        await call.write(sent(caller, 7))
        (receipt,) = await receipts(call, 1)
        assert (receipt.sequence, receipt.status) == (7, pb.STATUS_STORED)
        (row,) = await home.rows(Kind.ENVELOPE)
        assert (row.agent, row.sequence, row.carrier) == (caller.id, 7, "session")
        call.cancel()


async def test_many_envelopes_may_be_in_flight_and_come_back_in_order(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        for sequence in range(1, 17):
            await call.write(sent(caller, sequence))
        found = await receipts(call, 16)
        assert [r.sequence for r in found] == list(range(1, 17))
        assert {r.status for r in found} == {pb.STATUS_STORED}
        call.cancel()


async def test_the_same_envelope_again_is_a_duplicate(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        envelope = sent(caller, 1)
        await call.write(envelope)
        await call.write(envelope)
        found = await receipts(call, 2)
        # Two threads open them: either may be the one that is stored.
        assert {r.status for r in found} == {pb.STATUS_STORED, pb.STATUS_DUPLICATE}
        assert len(await home.rows(Kind.ENVELOPE)) == 1
        call.cancel()


async def test_a_restart_keeps_what_was_taken_and_who_is_known(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        envelope = sent(caller, 1)
        await call.write(envelope)
        await receipts(call, 1)
    async with house(tmp_path) as home, channel(home) as stub:
        call = await greeted(stub, replace(caller, keyring=home.keyring))
        await call.write(envelope)
        (receipt,) = await receipts(call, 1)
        assert receipt.status == pb.STATUS_DUPLICATE
        call.cancel()


async def test_an_envelope_for_another_key_is_refused_in_its_turn(tmp_path: Path) -> None:
    async with house(tmp_path / "a") as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        strange = caller.envelope(2)
        strange.key_id = b"elsewher"
        await call.write(sent(caller, 1))
        await call.write(pb.AgentMessage(envelope=strange))
        await call.write(sent(caller, 3))
        found = await receipts(call, 3)
        assert [r.status for r in found] == [
            pb.STATUS_STORED,
            pb.STATUS_REJECTED,
            pb.STATUS_STORED,
        ]
        assert found[1].reason == "unknown_key"
        call.cancel()


async def test_a_bad_result_is_dropped_and_its_batch_kept(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        batch = caller.batch(1, [measurement(), measurement(), measurement()])
        batch.measurements[1].observations[0].failure = "the_dog_ate_it"
        body = caller.seal(batch)
        call = await greeted(stub, caller)
        message = pb.AgentMessage()
        message.envelope.ParseFromString(body)
        await call.write(message)
        (receipt,) = await receipts(call, 1)
        assert receipt.status == pb.STATUS_STORED
        assert home.count("heliograph_measurements_total", outcome="bad") == 1
        assert home.count("heliograph_measurements_total", outcome="kept") == 2
        call.cancel()


async def test_a_hello_cannot_be_replayed(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        first = stub.Session()
        hello = caller.hello((await hear(first)).challenge.nonce)
        second = stub.Session()
        await hear(second)
        await second.write(hello)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await second.read()
        assert caught.value.details() == "bad_signature"
        first.cancel()


async def test_strangers_and_liars_get_no_session(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        caller = await enrolled(home)
        assert await refusal(home, Caller(home.keyring)) == "unknown_agent"
        other = keys.SigningKey(b"o" * 32)
        assert await refusal(home, caller, other) == "bad_signature"
        with elsewhere(home) as fleet:
            fleet.revoke(caller.id, 1)

        async def turned_away() -> bool:
            return await refusal_or_welcome(home, caller) == "revoked"

        await until(turned_away)


async def refusal_or_welcome(house: House, caller: Caller) -> str:
    async with channel(house) as stub:
        call = await greeted(stub, caller)
        try:
            await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=1)))
            await hear(call)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it may end under our hands
            return await call.details()
        call.cancel()
    return ""


async def test_an_agent_revoked_by_another_process_loses_its_session(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=1)))
        await hear(call)
        with elsewhere(home) as fleet:
            fleet.revoke(caller.id, 1)
        async with asyncio.timeout(10):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_new_plan_is_pushed_to_who_is_there(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=1)))
        await hear(call)
        with elsewhere(home) as fleet:
            found = standing(fleet)
            assert found is not None
            issue(fleet, home.keyring.signing, found[0], 5)
        async with asyncio.timeout(10):
            signed = (await hear(call)).plan
        assert keys.verify(home.keyring.signing.public, signed.signature, keys.PLAN, signed.plan)
        assert codec.plan_from_pb(plan_pb2.Plan.FromString(signed.plan)).version == 2
        call.cancel()


async def test_a_heartbeat_is_answered_with_the_time(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=42, link="online")))
        clock = (await hear(call)).clock
        assert clock.heartbeat_sent_us == 42
        assert 0 < clock.received_us <= clock.sent_us
        assert home.intake.presence.links()["KZ", 0, "mobile", "online"] == 1  # type: ignore[index]
        call.cancel()


async def test_arrival_goodbye_and_loss_are_rows(tmp_path: Path) -> None:
    async with house(tmp_path, heartbeat_s=1) as home:
        polite, rude = await enrolled(home), await enrolled(home)
        async with channel(home) as stub:
            call = await greeted(stub, polite)
            await call.write(pb.AgentMessage(goodbye=pb.Goodbye(reason="shutdown")))
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK
        async with channel(home) as stub:
            call = await greeted(stub, rude)
            await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=1)))
            await hear(call)
            call.cancel()

        async def noticed() -> bool:
            return bool(await home.rows(Kind.LOST))

        await until(noticed)
        rows = await home.rows(Kind.START, Kind.ARRIVAL, Kind.GOODBYE, Kind.LOST)
        assert [(r.kind, r.agent) for r in rows[1:]] == [
            (Kind.ARRIVAL, polite.id),
            (Kind.GOODBYE, polite.id),
            (Kind.ARRIVAL, rude.id),
            (Kind.LOST, rude.id),
        ]
        assert rows[0].kind is Kind.START
        loss = rows[-1]
        assert rows[-2].received_us <= loss.heard_us <= loss.received_us - 2_500_000
        enrolled_s = [home.intake.roll.get(one.id).created_s for one in (polite, rude)]  # type: ignore[union-attr] # both are enrolled
        assert [r.since_s for r in rows[1:]] == [enrolled_s[0]] * 2 + [enrolled_s[1]] * 2


async def test_an_agent_that_is_back_in_time_was_never_lost(tmp_path: Path) -> None:
    async with house(tmp_path, heartbeat_s=1) as home:
        caller = await enrolled(home)
        for _ in range(3):
            async with channel(home) as stub:
                call = await greeted(stub, caller)
                await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=1)))
                await hear(call)
                call.cancel()
        assert await home.rows(Kind.LOST) == []


async def test_silence_ends_a_session(tmp_path: Path) -> None:
    async with house(tmp_path, heartbeat_s=1) as home, channel(home) as stub:
        call = await greeted(stub, await enrolled(home))
        async with asyncio.timeout(10):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
        assert caught.value.details() == "silent"


async def test_an_old_session_is_ended_with_word_and_loses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "SESSION_S", 0.5)
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        await call.write(sent(caller, 1))
        (receipt,) = await receipts(call, 1)
        assert receipt.status == pb.STATUS_STORED
        assert (await hear(call)).advice.reason == "renew"
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        assert await home.rows(Kind.LOST, Kind.GOODBYE) == []


async def test_more_agents_than_calls_may_hold_sessions(tmp_path: Path) -> None:
    """The bound of 200 is on work: sessions only wait."""
    async with house(tmp_path) as home, AsyncExitStack() as stack:
        caller, calls = await enrolled(home), []
        callers = [Caller(home.keyring) for _ in range(240)]
        token = home.invite(uses=240)
        stubs = [await stack.enter_async_context(channel(home)) for _ in range(30)]
        for number, one in enumerate(callers):
            await stubs[number % 30].Enrol(one.enrol_request(token), timeout=30)
            calls.append(await greeted(stubs[number % 30], one))
        for call in calls:
            await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=1)))
        for call in calls:
            assert (await hear(call)).clock.received_us > 0
        assert home.count("heliograph_sessions") == 240
        sealed = caller.seal(caller.batch(1))
        assert (await home.intake.accept(sealed, "192.0.2.1")).status == pb.STATUS_STORED
        for call in calls:
            call.cancel()


async def test_a_full_house_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, sessions=1) as home, channel(home) as stub:
        caller = Caller(home.keyring)
        await stub.Enrol(caller.enrol_request(home.invite()), timeout=10)
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=1)))
        await hear(call)
        second = stub.Session()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await second.read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        call.cancel()


async def test_who_comes_while_we_are_far_behind_is_asked_to_come_again(tmp_path: Path) -> None:
    """A country that returns at once: a hello taken then would be late, and only come again."""
    clock, told = HandClock(), []
    async with house(tmp_path, clock=clock) as home, channel(home) as stub:
        caller = await enrolled(home)

        async def outcome() -> str:
            call = stub.Session()
            try:
                await call.read()
            except grpc.aio.AioRpcError as error:
                told.append({key: str(value) for key, value in error.trailing_metadata() or ()})
                return error.details() or ""
            call.cancel()
            return "welcome"

        clock.advance_us(4_000_000)
        async with asyncio.timeout(10):
            while await outcome() != "busy":
                pass
            assert rate_limits.LATE_S < int(told[-1]["retry-after-s"]) <= 60
            while await outcome() != "welcome":
                pass
        (await greeted(stub, caller)).cancel()


async def test_who_only_sends_rubbish_is_shown_the_door(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        rubbish = caller.envelope(1)
        rubbish.sealed = bytes(512)
        for _ in range(rate_limits.BAD_ENVELOPES + 1):
            await call.write(pb.AgentMessage(envelope=rubbish))
        async with asyncio.timeout(10):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await receipts(call, 2 * rate_limits.BAD_ENVELOPES)
        assert caught.value.details() == "misbehaved"
