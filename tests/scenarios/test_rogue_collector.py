"""A rogue collector relays everything between an agent and another collector.

The agent of these tests is enrolled at both under one key, which is what a rogue collector wants:
with a session there it could make the agent fall silent, or appear where it is not.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from heliograph import keys
from heliograph.clock import SystemClock
from heliograph.v1 import intake_pb2
from heliograph_agent.enrolment import make_enrol_request
from heliograph_agent.runtime.signing import answer_renewal
from heliograph_agent.state import KEY, State
from heliograph_agent.state import Collector as Known
from heliograph_agent.uplink.invite import Invite
from heliograph_collector.fleet import agent_keys
from support.intake import (
    Caller,
    IngestServer,
    channel,
    enrolled,
    greeted,
    hear,
    ingest_server,
    receipts,
    refusal,
)
from support.results import open_spool
from support.scripted_intake import Collector, identity, intake
from support.uplink_agent import SECRET, SIGNER, Agent, UplinkSealer, running

AGENT = keys.agent_id(SIGNER.public)


@pytest_asyncio.fixture
async def honest(tmp_path: Path) -> AsyncIterator[IngestServer]:
    async with ingest_server(tmp_path / "honest") as server:
        yield server


@pytest_asyncio.fixture
async def rogue() -> AsyncIterator[Collector]:
    async with intake(who=identity()) as collector:
        collector.agents[AGENT] = SIGNER.public
        yield collector


def ask_for_proof(pin: bytes, token: bytes) -> intake_pb2.EnrolRequest:
    return make_enrol_request(Invite("collector.example:7443", pin, token), SIGNER)


async def test_a_relayed_challenge_opens_no_session_elsewhere(
    honest: IngestServer, rogue: Collector, tmp_path: Path
) -> None:
    await enrolled(honest, SIGNER)
    async with (
        channel(honest) as stub,
        open_spool(tmp_path / "spool.db", SystemClock(), sealer=UplinkSealer(rogue.who)) as spool,
    ):
        call = stub.Session()
        rogue.nonce = (await hear(call)).challenge.nonce
        async with running(Agent(State(tmp_path), spool, rogue.who), rogue):
            await rogue.until(lambda: bool(rogue.hellos))
        await call.write(intake_pb2.AgentMessage(hello=rogue.hellos[0]))
        assert (await refusal(call.read())).details() == "bad_signature"


async def test_a_relayed_invite_enrolls_nobody_elsewhere(
    honest: IngestServer, rogue: Collector
) -> None:
    token = honest.invite()
    async with channel(honest) as stub:
        call = stub.Enrol(ask_for_proof(rogue.who.pin, token))
        assert (await refusal(call)).details() == "bad_proof"
        assert not honest.fleet.list_agents()
        assert (await stub.Enrol(ask_for_proof(honest.keyring.pin, token))).agent == AGENT


async def test_a_relayed_renewal_changes_no_key_elsewhere(
    honest: IngestServer, rogue: Collector, tmp_path: Path
) -> None:
    caller = await enrolled(honest, SIGNER)
    state = State(tmp_path / "agent")
    state.prepare()
    state.write(KEY, SECRET)
    for who, count in ((rogue.who, 0), (honest.keyring, 1)):
        known = Known(
            endpoint="", pin=who.pin, certificate="", signing_key=b"", sealing_key=b"", agent=AGENT
        )
        renewal = answer_renewal(state, known, intake_pb2.Renewed(public_key=SIGNER.public))
        async with channel(honest) as stub:
            call = await greeted(stub, caller)
            await call.write(intake_pb2.AgentMessage(renewal=renewal))
            await call.write(intake_pb2.AgentMessage(envelope=caller.envelope(count + 1)))
            await receipts(call, 1)  # the renewal before it was dealt with
            call.cancel()
        assert len(agent_keys.list_other_keys(honest.fleet)) == count


async def test_an_agent_up_to_0_1_0_which_names_no_collector_still_delivers(
    honest: IngestServer,
) -> None:
    class OlderCaller(Caller):
        def bind(self, context: bytes) -> bytes:
            return context

    caller = OlderCaller(honest.keyring, SIGNER)
    async with channel(honest) as stub:
        await stub.Enrol(caller.enrol_request(honest.invite()), timeout=60)
        call = await greeted(stub, caller)
        await call.write(intake_pb2.AgentMessage(envelope=caller.envelope(1)))
        (receipt,) = await receipts(call, 1)
        assert receipt.status == intake_pb2.STATUS_STORED
        call.cancel()
