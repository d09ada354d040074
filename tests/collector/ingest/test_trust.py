"""Key rotation on both sides, cloned machines, and uninvited agents, over TLS."""

from contextlib import closing
from pathlib import Path

import grpc
import pytest

from heliograph import envelope, keys, relay_line, trust_chain
from heliograph.http_envelope import EnvelopeRequest
from heliograph.v1 import envelope_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector import cli
from heliograph_collector.fleet import Fleet, agent_keys, quarantine
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.receiver import FIRST_FORKED
from heliograph_collector.model.records import AgentRole, RowKind
from support.hand_clock import HandClock
from support.intake import (
    CLOCK,
    Call,
    Caller,
    IngestServer,
    OpenSession,
    channel,
    enrolled,
    greeted,
    hear,
    ingest_server,
    open_session,
    receipts,
    refusal,
    second_fleet,
)
from support.waiting import until, until_true

DAY_US = 86_400_000_000


async def renewed(call: Call) -> pb.Renewed:
    while True:
        message = await hear(call)
        if message.HasField("renewed"):
            return message.renewed


def renewal(caller: Caller, following: keys.SigningKey) -> pb.AgentMessage:
    said = caller.id + following.public
    return pb.AgentMessage(
        renewal=pb.Renewal(
            public_key=following.public,
            by_present=caller.signer.sign(caller.bind(keys.RENEWAL), said),
            by_next=following.sign(caller.bind(keys.RENEWAL), said),
        )
    )


class RenewedCaller(Caller):
    """A caller with its next key: its id stays that of the first."""

    first: bytes = b""

    @property
    def id(self) -> bytes:
        return self.first


async def test_agent_offline_for_half_a_year_renews_its_key(tmp_path: Path) -> None:
    """An agent that was offline for half a year renews its key.

    The expired key gets in and offers the next; its first hello confirms it; what the old one
    sealed is still accepted; and a hello by the old one is then by a stolen copy.
    """
    clock = HandClock()
    following = keys.SigningKey(b"n" * 32)
    async with ingest_server(tmp_path, clock=clock) as server:
        caller = await enrolled(server)
        old = pb.AgentMessage(envelope=caller.envelope(1))
        clock.advance_us((agent_keys.KEY_LIFE_S + 179 * 86_400) * 1_000_000)
        async with channel(server) as stub:
            call = await greeted(stub, caller)
            assert (await renewed(call)).public_key == caller.signer.public
            await call.write(renewal(caller, following))
            assert (await renewed(call)).public_key == following.public
            call.cancel()
        after = RenewedCaller(caller.keyring, following)
        after.first = caller.id
        async with channel(server) as stub:
            call = await greeted(stub, after)
            await call.write(old)
            await call.write(pb.AgentMessage(envelope=after.envelope(2)))
            found = await receipts(call, 2)
            assert {r.status for r in found} == {pb.STATUS_STORED}
            assert {row.agent for row in await server.rows(RowKind.ENVELOPE)} == {caller.id}
            call.cancel()
        (agent,) = server.fleet.list_agents()
        assert (agent.id, agent.public_key) == (caller.id, following.public)
        assert await find_refusal(server, caller) == "key_replaced"


async def test_key_expired_beyond_grace_is_refused(tmp_path: Path) -> None:
    clock = HandClock()
    async with ingest_server(tmp_path, clock=clock) as server:
        caller = await enrolled(server)
        clock.advance_us((agent_keys.KEY_LIFE_S + agent_keys.EXPIRED_GRACE_S) * 1_000_000 + DAY_US)
        assert await find_refusal(server, caller) == "key_expired"


async def test_renewal_without_proof_changes_nothing(session: OpenSession) -> None:
    victim = await enrolled(session.server)
    forged = renewal(session.caller, keys.SigningKey(b"n" * 32))
    forged.renewal.by_next = b"\0" * 64
    stolen = renewal(session.caller, victim.signer)  # somebody else's key
    await session.call.write(forged)
    await session.call.write(stolen)
    await session.send(1)
    await session.receipts()
    assert agent_keys.list_other_keys(session.server.fleet) == {}


async def test_rotated_collector_keys_still_open_old_envelopes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rotated collector keys still open old envelopes.

    `keys rotate` beside a running intake offers the new key at once, both keys open, and the old
    one ends when all agents have confirmed the new one.
    """
    data = ("--data", str(tmp_path))
    async with ingest_server(tmp_path) as server:
        caller = await enrolled(server)
        before = caller.envelope(1)
        assert cli.main(["keys", "rotate", *data]) == 0
        await until_true(lambda: server.intake.directory.charter_version == 2)
        plan = server.intake.directory.plan
        charters = plan.charters
        assert len(charters) == 2
        newest_key = trust_chain.decode_trust_root(charters[-1].charter).sealing_key
        sealed = envelope.seal_batch(caller.batch(2), caller.signer, newest_key)
        after = envelope_pb2.Envelope.FromString(sealed)
        async with channel(server) as stub:
            call = stub.Session()
            hello = caller.hello((await hear(call)).challenge.nonce)
            hello.hello.plan_version, hello.hello.charter_version = 99, 1
            await call.write(hello)
            assert (await hear(call)).plan.charters == charters, "an agent behind is told"
            await call.write(pb.AgentMessage(envelope=before))
            await call.write(pb.AgentMessage(envelope=after))
            assert {r.status for r in await receipts(call, 2)} == {pb.STATUS_STORED}
            call.cancel()
        assert cli.main(["keys", "retire", *data]) == 1
        assert "1 agents seen within a year do not follow charter 2" in capsys.readouterr().err
        with server.fleet.transaction() as db:
            db.execute("UPDATE agents SET charter = 2")
        assert cli.main(["keys", "retire", *data]) == 0
        assert "Deleted 1 replaced" in capsys.readouterr().out


async def test_relayed_receipt_for_an_old_key_is_believed_after_rotation(tmp_path: Path) -> None:
    """A relayed receipt for an old key is believed after rotation.

    Otherwise sealed envelopes of the spool would be relayed again and again.
    """
    async with ingest_server(tmp_path) as server:
        caller, before = await enrolled(server), server.keyring
        sealed = [caller.seal(caller.batch(n)) for n in (1, 2)]
    assert cli.main(["keys", "rotate", "--data", str(tmp_path)]) == 0
    async with ingest_server(tmp_path) as server:
        newest = server.intake.directory.plan_version
        for raw, version, ring in ((sealed[0], newest, server.keyring), (sealed[1], 0, before)):
            plan = pb.PlanHeld(version=version)
            handed = EnvelopeRequest(envelope=raw, intermediary="relay", plan=plan)
            said = await server.intake.responder.respond(handed, "192.0.2.1")
            sealing, signing = ring.sealing.id, ring.signing.public
            found = relay_line.verify_relayed_receipt(raw, sealing, said, signing)
            assert found == pb.Receipt(status=pb.STATUS_STORED)


async def test_two_machines_with_one_key_go_into_quarantine(tmp_path: Path) -> None:
    """Two machines with one key go into quarantine.

    Their sessions overlap; after that the results of both are kept in quarantine.
    """
    clock = HandClock()
    async with (
        ingest_server(tmp_path, clock=clock, heartbeat_s=1) as server,
        channel(server) as stub,
    ):
        caller = await enrolled(server)
        one, two = await greeted(stub, caller), await greeted(stub, caller)
        await server.wait_connected(2)
        heard = set[int]()
        beats = 0
        while len(heard) < 2:
            beats += 1
            clock.advance_us(1_000_000 if beats < 5 else 0)
            for number, call in enumerate((one, two)):
                await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(link="online")))
                message = await hear(call)
                if message.advice.reason == "cloned":
                    heard.add(number)
        await until_true(lambda: server.fleet.list_agents()[0].cloned_s is not None)
        await one.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(one, 1)
        (row,) = await server.rows(RowKind.ENVELOPE)
        assert row.role is AgentRole.QUARANTINE
        with second_fleet(server) as fleet:
            assert quarantine.clear_quarantine(fleet, caller.id)
        await until_true(lambda: _result_role(server, caller) == "volunteer")
        one.cancel()
        two.cancel()


async def test_another_batch_under_a_used_number_is_kept_once_without_a_vote(
    session: OpenSession,
) -> None:
    """Another batch under a used number is kept once, without a vote.

    One may be a power failure; the third marks the agent, and each receipt tells it.
    """
    server = session.server
    await session.send(1)
    await session.receipts()
    for turn in range(1, quarantine.MAX_FORKS + 1):
        forked = session.caller.envelope(1)
        reasons = []
        for status in (pb.STATUS_STORED, pb.STATUS_DUPLICATE):
            await session.write(envelope=forked)
            (receipt,) = await session.receipts()
            assert (receipt.sequence, receipt.status) == (1, status)
            reasons.append(receipt.reason)
        is_cloned = turn == quarantine.MAX_FORKS
        assert reasons == ["cloned" if is_cloned else ""] * 2
        assert (server.fleet.list_agents()[0].cloned_s is not None) is is_cloned
    first, *others = await server.rows(RowKind.ENVELOPE)
    assert (first.sequence, first.role) == (1, AgentRole.VOLUNTEER)
    assert {row.role for row in others} == {AgentRole.QUARANTINE}
    assert len({row.sequence for row in others} | {1}) == 1 + quarantine.MAX_FORKS
    assert min(row.sequence for row in others) >= FIRST_FORKED


async def test_a_cloned_agent_is_told_at_once_and_its_results_come_under_a_new_key(
    tmp_path: Path,
) -> None:
    async with ingest_server(tmp_path) as server, channel(server) as stub:
        old, new = await enrolled(server), await enrolled(server)
        quarantine.record_clone(server.fleet, old.id, 1)
        server.intake.directory.reload_fleet(force=True)
        call = await greeted(stub, old)
        while not (advice := (await hear(call)).advice.reason):
            pass
        assert advice == "cloned"
        call.cancel()
        respond = server.intake.responder.respond
        for number, bearer, reason in ((1, old, "cloned"), (3, new, ""), (4, None, "")):
            sealed = old.seal(old.batch(number))
            sender = bearer.prove(sealed) if bearer else ""
            request = EnvelopeRequest(envelope=sealed, sender=sender)
            receipt = (await respond(request, "127.0.0.1")).receipt
            assert (receipt.status, receipt.reason) == (pb.STATUS_STORED, reason), "told to its own"
        call = await greeted(stub, new)
        for envelope in (old.envelope(2), new.envelope(2)):
            await call.write(pb.AgentMessage(envelope=envelope))
        assert {(r.status, r.reason) for r in await receipts(call, 2)} == {(pb.STATUS_STORED, "")}
        rows = {row.agent: row.role for row in await server.rows(RowKind.ENVELOPE)}
        assert rows == {old.id: AgentRole.QUARANTINE, new.id: AgentRole.VOLUNTEER}
        call.cancel()


async def test_sessions_of_a_forked_agent_count_no_more_at_once(session: OpenSession) -> None:
    """Sessions of a forked agent count no more at once.

    Otherwise its last arrival would be a present vantage, and later a silence.
    """
    for _ in range(quarantine.MAX_FORKS + 1):
        await session.send(1)
        await session.receipts()
    _, changed = await session.server.wait_rows(RowKind.ARRIVAL, 2)
    assert changed.role is AgentRole.QUARANTINE


async def test_revoked_agent_is_gone_and_not_silent(tmp_path: Path) -> None:
    """A revoked agent is gone and not silent, also if revoked during a restart."""
    async with open_session(tmp_path) as session:
        other = await enrolled(session.server, keys.SigningKey(b"o" * 32))
        with second_fleet(session.server) as fleet:
            fleet.revoke_agent(session.caller.id, 1)
        (gone,) = await session.server.wait_rows(RowKind.GOODBYE)
        assert (gone.agent, gone.role) == (session.caller.id, AgentRole.VOLUNTEER)
    with closing(Fleet(tmp_path)) as fleet:
        fleet.revoke_agent(other.id, CLOCK.wall_us() // 1_000_000)
    async with ingest_server(tmp_path) as server:

        async def are_both_gone() -> bool:
            goodbyes = await server.rows(RowKind.GOODBYE)
            return {row.agent for row in goodbyes} == {session.caller.id, other.id}

        await until(are_both_gone)  # each run writes the goodbyes of earlier ones again


async def test_newcomers_of_one_network_are_limited_per_hour(tmp_path: Path) -> None:
    """New agents of one network are limited per hour, but not those with an invite.

    There are ten thousand newcomers in all the world.
    """
    async with ingest_server(tmp_path, allows_strangers=True) as server, channel(server) as stub:
        callers = [Caller(server.keyring) for _ in range(rate_limits.NEWCOMERS_PER_HOUR + 1)]
        for caller in callers[:-1]:
            await stub.Enrol(caller.enrol_request(b""), timeout=60)
        error = await refusal(stub.Enrol(callers[-1].enrol_request(b""), timeout=60))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(server.fleet.list_agents()) == rate_limits.NEWCOMERS_PER_HOUR
        await enrolled(server)


async def test_agent_without_invite_enters_quarantine_where_allowed(tmp_path: Path) -> None:
    async with ingest_server(tmp_path / "shut") as server:
        assert (await refusal(_enrol_without_invite(server))).details() == "invite_wanted"
    async with (
        ingest_server(tmp_path / "open", allows_strangers=True) as server,
        channel(server) as stub,
    ):
        caller = await _enrol_without_invite(server)
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(call, 1)
        rows = await server.rows(RowKind.ENVELOPE, RowKind.ARRIVAL)
        assert {row.role for row in rows} == {AgentRole.QUARANTINE}
        agent = server.fleet.list_agents()[0]
        assert agent.trial_s is not None
        week_s = agent.trial_s + quarantine.TRIAL_S
        assert quarantine.add_agreements(server.fleet, {agent.id: 10}, week_s - 1) == 0, "too young"
        assert quarantine.add_agreements(server.fleet, {}, week_s) == 1
        server.intake.directory.reload_fleet(force=True)
        assert _result_role(server, caller) == "volunteer"
        call.cancel()


async def test_revoked_agent_keeps_old_envelopes_and_adds_none(server: IngestServer) -> None:
    caller = await enrolled(server)
    accept = server.intake.receiver.accept
    first = await accept(caller.seal(caller.batch(1)), "127.0.0.1")
    assert first.status == pb.STATUS_STORED
    with second_fleet(server) as fleet:
        fleet.revoke_agent(caller.id, 1)
    await until_true(lambda: _result_role(server, caller) == "revoked")
    second = await accept(caller.seal(caller.batch(2)), "127.0.0.1")
    assert (second.status, second.reason) == (pb.STATUS_REJECTED, "revoked")
    assert [row.sequence for row in await server.rows(RowKind.ENVELOPE)] == [1]


async def find_refusal(server: IngestServer, caller: Caller) -> str:
    async with channel(server) as stub:
        call = await greeted(stub, caller)
        return (await refusal(call.read())).details() or ""


async def _enrol_without_invite(server: IngestServer) -> Caller:
    caller = Caller(server.keyring)
    async with channel(server) as stub:
        await stub.Enrol(caller.enrol_request(b""), timeout=60)
    return caller


def _result_role(server: IngestServer, caller: Caller) -> str:
    agent = server.intake.directory.get(caller.id)
    assert agent is not None
    return agent.result_role if agent.revoked_s is None else "revoked"
