"""Enrolment: this machine's new key is shown to the collector together with the invite's token."""

import asyncio
import ssl
from typing import TYPE_CHECKING

from heliograph import keys
from heliograph.plan import Carrier
from heliograph.trust_chain import CharterError
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_agent.enrolment.by_file import begun, request_of
from heliograph_agent.net.trace import Trace
from heliograph_agent.state import Collector
from heliograph_agent.uplink.channel import DoorError, Reason, open_channel, reason_of
from heliograph_agent.uplink.dial_context import Ways
from heliograph_agent.uplink.invite import Invite
from heliograph_agent.uplink.proxy_bridge import target_of
from heliograph_agent.uplink.signed_documents import chartered
from heliograph_agent.uplink.transports import Rung, rungs

if TYPE_CHECKING:
    import grpc

    from heliograph.v1.intake_pb2_grpc import IntakeAsyncStub

ENROL_S = 15.0
FIND_S = 40.0


async def enrol(
    invite: Invite, ways: Ways, signer: keys.SigningKey
) -> tuple[Collector, plan_pb2.SignedPlan]:
    """What the collector answered, unchecked but for its form. Raises DoorError.

    Each session of the invite is tried, without the user's proxy and by it, as the uplink would.
    """
    failed = DoorError(Reason.UNREACHABLE)
    for rung in rungs(invite.endpoint, invite.entrances, ways.proxy_use):
        if rung.entrance.carrier is not Carrier.STREAM:
            continue
        try:
            certificate, answer = await _enrol_by(rung, invite, ways, signer)
        except DoorError as error:
            if error.reason not in (Reason.UNREACHABLE, Reason.PIN_MISMATCH):
                raise
            failed = error if failed.reason is Reason.UNREACHABLE else failed
        else:
            return _collector(invite, certificate, answer, signer), answer.plan
    raise failed


async def _enrol_by(
    rung: Rung, invite: Invite, ways: Ways, signer: keys.SigningKey
) -> tuple[str, intake_pb2.EnrolResponse]:
    """The certificate that was shown, and what was answered."""
    from heliograph.v1 import intake_pb2_grpc

    finder = ways.finder(rung, invite.pin, Trace(ways.clock))
    try:
        async with asyncio.timeout(FIND_S):
            found = await finder.find(rung.entrance)
    except TimeoutError as error:
        raise DoorError(Reason.UNREACHABLE) from error
    found.stream.close()
    certificate = ssl.DER_cert_to_PEM_cert(found.certificate)
    async with (
        target_of(rung, found.place, ways, invite.pin) as target,
        open_channel(target, certificate, found.name) as channel,
    ):
        stub = intake_pb2_grpc.IntakeStub(channel)
        return certificate, await _ask(stub, invite, signer)


def _collector(
    invite: Invite, certificate: str, answer: intake_pb2.EnrolResponse, signer: keys.SigningKey
) -> Collector:
    """Raises DoorError."""
    if answer.agent != keys.agent_id(signer.public) or len(answer.sealing_key) != 32:
        raise DoorError(Reason.REFUSED)
    known = Collector(
        endpoint=invite.endpoint,
        pin=invite.pin,
        certificate=certificate,
        signing_key=answer.signing_key,
        sealing_key=answer.sealing_key,
        agent=answer.agent,
        role=answer.role or "volunteer",
    )
    if not invite.charter:
        return known
    try:
        return chartered(known, begun(invite, answer.plan))
    except CharterError as error:
        raise DoorError(Reason.CHARTER) from error


async def _ask(
    stub: "IntakeAsyncStub", invite: Invite, signer: keys.SigningKey
) -> intake_pb2.EnrolResponse:
    import grpc

    try:
        return await stub.Enrol(request_of(invite, signer), timeout=ENROL_S)
    except grpc.aio.AioRpcError as error:
        raise DoorError(_reason_of(error)) from error


def _reason_of(error: "grpc.aio.AioRpcError") -> Reason:
    """At enrolment every refusal but a lack of room is about the token."""
    reason = reason_of(error)
    return Reason.BAD_INVITE if reason in (Reason.UNKNOWN_AGENT, Reason.REFUSED) else reason
