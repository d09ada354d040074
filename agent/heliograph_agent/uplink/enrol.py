"""Enrolment: this machine's new key is shown to the collector together with the invite's token."""

from typing import TYPE_CHECKING

from heliograph import __version__, keys
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_agent.state import Collector
from heliograph_agent.uplink.door import DoorError, Reason, open_channel, reason_of
from heliograph_agent.uplink.invite import Invite

if TYPE_CHECKING:
    import grpc

    from heliograph.v1.intake_pb2_grpc import IntakeAsyncStub

ENROL_S = 15.0


async def enrol(
    invite: Invite, certificate: str, signer: keys.SigningKey
) -> tuple[Collector, plan_pb2.SignedPlan]:
    """What the collector answered, unchecked but for its form. Raises DoorError."""
    from heliograph.v1 import intake_pb2_grpc

    async with open_channel(invite.endpoint, certificate) as channel:
        answer = await _ask(intake_pb2_grpc.IntakeStub(channel), invite, signer)
    if answer.agent != keys.agent_id(signer.public) or len(answer.sealing_key) != 32:
        raise DoorError(Reason.REFUSED)
    collector = Collector(
        endpoint=invite.endpoint,
        pin=invite.pin,
        certificate=certificate,
        signing_key=answer.signing_key,
        sealing_key=answer.sealing_key,
        agent=answer.agent,
        role=answer.role or "volunteer",
    )
    return collector, answer.plan


async def _ask(
    stub: "IntakeAsyncStub", invite: Invite, signer: keys.SigningKey
) -> intake_pb2.EnrolResponse:
    import grpc

    request = intake_pb2.EnrolRequest(
        token=invite.token,
        public_key=signer.public,
        proof=signer.sign(keys.ENROL, invite.token),
        agent_version=__version__,
    )
    try:
        return await stub.Enrol(request, timeout=ENROL_S)
    except grpc.aio.AioRpcError as error:
        raise DoorError(_reason_of(error)) from error


def _reason_of(error: "grpc.aio.AioRpcError") -> Reason:
    """At enrolment every refusal but a lack of room is about the token."""
    reason = reason_of(error)
    return Reason.BAD_INVITE if reason in (Reason.UNKNOWN_AGENT, Reason.REFUSED) else reason
