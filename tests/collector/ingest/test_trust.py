"""Keys that change on both sides, machines that were copied, and strangers: at a real door."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from heliograph import envelope, keys, relay_line
from heliograph.http_envelope import Request
from heliograph.v1 import envelope_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector import cli
from heliograph_collector.fleet import agent_keys, quarantine
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.presence import Presence, Visit
from heliograph_collector.model.records import Kind, Role
from support.hand_clock import HandClock
from support.intake import (
    Call,
    Caller,
    House,
    channel,
    elsewhere,
    enrolled,
    greeted,
    hear,
    house,
    receipts,
)
from support.waiting import until

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
            by_present=caller.signer.sign(keys.RENEWAL, said),
            by_next=following.sign(keys.RENEWAL, said),
        )
    )


class Renamed(Caller):
    """A caller with its next key: its id stays that of the first."""

    first: bytes = b""

    @property
    def id(self) -> bytes:
        return self.first


def with_key(caller: Caller, following: keys.SigningKey) -> Renamed:
    made = Renamed(caller.keyring, following)
    made.first = caller.id
    return made


async def test_an_agent_that_was_dark_for_half_a_year_changes_its_key(tmp_path: Path) -> None:
    """The expired key gets in and offers the next; its first hello confirms it; what the old one
    sealed is still taken; and a hello by the old one is then a copy that somebody kept."""
    clock = HandClock()
    following = keys.SigningKey(b"n" * 32)
    async with house(tmp_path, clock=clock) as home:
        caller = await enrolled(home)
        old = pb.AgentMessage(envelope=caller.envelope(1))
        clock.advance_us((agent_keys.LIFE_S + 179 * 86_400) * 1_000_000)
        async with channel(home) as stub:
            call = await greeted(stub, caller)
            assert (await renewed(call)).public_key == caller.signer.public
            await call.write(renewal(caller, following))
            assert (await renewed(call)).public_key == following.public
            call.cancel()
        after = with_key(caller, following)
        async with channel(home) as stub:
            call = await greeted(stub, after)
            await call.write(old)
            await call.write(pb.AgentMessage(envelope=after.envelope(2)))
            found = await receipts(call, 2)
            assert {r.status for r in found} == {pb.STATUS_STORED}
            assert {row.agent for row in await home.rows(Kind.ENVELOPE)} == {caller.id}
            call.cancel()
        (agent,) = home.fleet.agents()
        assert (agent.id, agent.public_key) == (caller.id, following.public)
        assert await refused(home, caller) == "key_replaced"


async def test_a_key_that_expired_longer_ago_is_refused(tmp_path: Path) -> None:
    clock = HandClock()
    async with house(tmp_path, clock=clock) as home:
        caller = await enrolled(home)
        clock.advance_us((agent_keys.LIFE_S + agent_keys.GRACE_S) * 1_000_000 + DAY_US)
        assert await refused(home, caller) == "key_expired"


async def test_a_renewal_that_proves_nothing_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller, victim = await enrolled(home), await enrolled(home)
        call = await greeted(stub, caller)
        forged = renewal(caller, keys.SigningKey(b"n" * 32))
        forged.renewal.by_next = b"\0" * 64
        stolen = renewal(caller, victim.signer)  # somebody else's key
        await call.write(forged)
        await call.write(stolen)
        await call.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(call, 1)
        assert agent_keys.others(home.fleet) == {}
        call.cancel()


async def test_the_collector_s_keys_change_and_old_envelopes_are_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`keys rotate` beside a running door: it is offered at once, both keys open, and the old one
    goes when everybody has said that they follow."""
    data = ("--data", str(tmp_path))
    async with house(tmp_path) as home:
        caller = await enrolled(home)
        before = caller.envelope(1)
        assert cli.main(["keys", "rotate", *data]) == 0
        await told(lambda: home.intake.roll.charter_version == 2)
        plan = home.intake.roll.plan
        charters = plan.charters
        assert len(charters) == 2
        sealed_anew = envelope.seal(
            caller.batch(2), caller.signer, _sealing_key(charters[-1].charter)
        )
        async with channel(home) as stub:
            call = stub.Session()
            hello = caller.hello((await hear(call)).challenge.nonce)
            hello.hello.plan_version, hello.hello.charter_version = 99, 1
            await call.write(hello)
            assert (await hear(call)).plan.charters == charters, "an agent behind is told"
            await call.write(pb.AgentMessage(envelope=before))
            await call.write(pb.AgentMessage(envelope=_parsed(sealed_anew)))
            assert {r.status for r in await receipts(call, 2)} == {pb.STATUS_STORED}
            call.cancel()
        assert cli.main(["keys", "retire", *data]) == 1
        assert "1 agents seen within a year do not follow charter 2" in capsys.readouterr().err
        with home.fleet.transaction() as db:
            db.execute("UPDATE agents SET charter = 2")
        assert cli.main(["keys", "retire", *data]) == 0
        assert "Deleted 1 replaced" in capsys.readouterr().out


async def test_who_follows_the_new_keys_believes_what_a_relay_brings_for_old_envelopes(
    tmp_path: Path,
) -> None:
    """Else what lay sealed in the spool would go by relays for ever, and be settled by none."""
    async with house(tmp_path) as home:
        caller, before = await enrolled(home), home.keyring
        sealed = [caller.seal(caller.batch(n)) for n in (1, 2)]
    assert cli.main(["keys", "rotate", "--data", str(tmp_path)]) == 0
    async with house(tmp_path) as home:
        newest = home.intake.roll.plan_version
        for raw, version, ring in ((sealed[0], newest, home.keyring), (sealed[1], 0, before)):
            handed = Request(envelope=raw, place="relay", plan=pb.PlanHeld(version=version))
            said = await home.intake.answer(handed, "192.0.2.1")
            found = relay_line.believed(raw, ring.sealing.id, said, ring.signing.public)
            assert found == pb.Receipt(status=pb.STATUS_STORED)


def test_the_root_keys_leave_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", str(tmp_path / "data"))
    files = [str(tmp_path / f"{name}.key") for name in "abc"]
    assert cli.main(["keys", "root", *files, "--threshold", "2", *data]) == 0
    assert not (tmp_path / "data" / "keys" / "root.key").exists()
    assert cli.main(["keys", "rotate", "--root", files[0], *data]) == 1
    assert "not signed by enough of its root keys" in capsys.readouterr().err
    both = ("--root", files[0], "--root", files[2])
    assert cli.main(["keys", "rotate", *both, *data]) == 0
    assert cli.main(["keys", "show", *data]) == 0
    shown = capsys.readouterr().out
    assert "Charter 3" in shown
    assert "Root: 2 of 3 keys" in shown


async def test_two_machines_with_one_key_are_noticed_and_not_counted(tmp_path: Path) -> None:
    """Both speak by sessions that overlap; then what either sends is kept in quarantine."""
    clock = HandClock()
    async with house(tmp_path, clock=clock, heartbeat_s=1) as home, channel(home) as stub:
        caller = await enrolled(home)
        one, two = await greeted(stub, caller), await greeted(stub, caller)
        await told(lambda: len(home.intake.presence) == 2)
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
        await told(lambda: home.fleet.agents()[0].cloned_s is not None)
        await one.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(one, 1)
        (row,) = await home.rows(Kind.ENVELOPE)
        assert row.role is Role.QUARANTINE
        with elsewhere(home) as fleet:
            assert quarantine.clear(fleet, caller.id)
        await told(lambda: _voice(home, caller) == "volunteer")
        one.cancel()
        two.cancel()


def test_a_half_open_leftover_is_no_second_machine() -> None:
    """It is not heard any more once the new session is there, or but for what was on its way."""
    presence, beat_us = Presence(), 15_000_000
    older, newer = _visit(0), _visit(1_000_000)
    presence.arrive(older)
    presence.arrive(newer)
    older.heard_us = newer.came_us + 2 * beat_us
    assert presence.doubles(15) == []
    older.heard_us += 1
    assert presence.doubles(15) == [older, newer]
    assert presence.doubles(15) == [], "told once"


async def test_another_batch_under_a_number_that_was_used_is_kept_apart(tmp_path: Path) -> None:
    """One may be a power failure; the third marks the agent."""
    async with house(tmp_path) as home, channel(home) as stub:
        caller = await enrolled(home)
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(call, 1)
        for turn in range(1, quarantine.FORKS + 1):
            await call.write(pb.AgentMessage(envelope=caller.envelope(1)))
            (receipt,) = await receipts(call, 1)
            assert (receipt.status, receipt.reason) == (pb.STATUS_REJECTED, "forked")
            flagged = home.fleet.agents()[0].cloned_s is not None
            assert flagged is (turn == quarantine.FORKS)
        assert len(await home.rows(Kind.ENVELOPE)) == 1
        call.cancel()


async def test_one_network_cannot_take_every_place_in_quarantine(tmp_path: Path) -> None:
    """There are ten thousand, for all the world; an invite is not held up by who has none."""
    async with house(tmp_path, strangers=True) as home, channel(home) as stub:
        callers = [Caller(home.keyring) for _ in range(rate_limits.NEWCOMERS + 1)]
        for caller in callers[:-1]:
            await stub.Enrol(caller.enrol_request(b""), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Enrol(callers[-1].enrol_request(b""), timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(home.fleet.agents()) == rate_limits.NEWCOMERS
        await enrolled(home)


async def test_a_stranger_is_let_into_quarantine_where_that_is_open(tmp_path: Path) -> None:
    async with house(tmp_path / "shut") as home:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _knock(home)
        assert caught.value.details() == "invite_wanted"
    async with house(tmp_path / "open", strangers=True) as home, channel(home) as stub:
        caller = await _knock(home)
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(envelope=caller.envelope(1)))
        await receipts(call, 1)
        assert {row.role for row in await home.rows(Kind.ENVELOPE, Kind.ARRIVAL)} == {
            Role.QUARANTINE
        }
        agent = home.fleet.agents()[0]
        assert agent.trial_s is not None
        week_s = agent.trial_s + quarantine.TRIAL_S
        assert quarantine.agreed(home.fleet, {agent.id: 10}, week_s - 1) == 0, "too young"
        assert quarantine.agreed(home.fleet, {}, week_s) == 1
        home.intake.roll.reload(again=True)
        assert _voice(home, caller) == "volunteer"
        call.cancel()


async def test_a_lost_laptop_s_envelopes_count_no_more_and_old_ones_stay(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        caller = await enrolled(home)
        accept = home.intake.accept
        first = await accept(caller.seal(caller.batch(1)), "127.0.0.1")
        assert first.status == pb.STATUS_STORED
        with elsewhere(home) as fleet:
            fleet.revoke(caller.id, 1)
        await told(lambda: _voice(home, caller) == "revoked")
        second = await accept(caller.seal(caller.batch(2)), "127.0.0.1")
        assert (second.status, second.reason) == (pb.STATUS_REJECTED, "revoked")
        assert [row.sequence for row in await home.rows(Kind.ENVELOPE)] == [1]


async def told(true: Callable[[], bool]) -> None:
    async def asked() -> bool:
        return true()

    await until(asked)


async def refused(home: House, caller: Caller) -> str:
    async with channel(home) as stub:
        call = await greeted(stub, caller)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    return caught.value.details() or ""


async def _knock(home: House) -> Caller:
    caller = Caller(home.keyring)
    async with channel(home) as stub:
        await stub.Enrol(caller.enrol_request(b""), timeout=10)
    return caller


def _visit(came_us: int) -> Visit:
    import asyncio

    from heliograph_collector.fleet import Agent
    from heliograph_collector.ingest.geo.lookup import NOWHERE

    agent = Agent(id=b"a" * 16, public_key=b"", role="volunteer", version="", created_s=0)
    return Visit(
        agent=agent, place=NOWHERE, hello=pb.Hello(), heard_us=came_us, outbox=asyncio.Queue()
    )


def _voice(home: House, caller: Caller) -> str:
    agent = home.intake.roll.get(caller.id)
    assert agent is not None
    return agent.voice if agent.revoked_s is None else "revoked"


def _sealing_key(body: bytes) -> bytes:
    from heliograph import trust_chain

    return trust_chain.decode(body).sealing_key


def _parsed(sealed: bytes) -> envelope_pb2.Envelope:
    return envelope_pb2.Envelope.FromString(sealed)
