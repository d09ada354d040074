"""Enroll this machine's new key with the invite's collector, online or by file.

    invite = parse_invite(line)
    result = await enrol(invite, dial_context, signer)  # online
    request = make_request_file(invite, signer)  # or by file
    result = read_response(response, invite, signer)

A request by file travels on any medium, and a response comes back. The trust root that the invite
names verifies the response. A person who reads the request on its way could use up its token. A
person who changes the response achieves nothing.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from heliograph import __version__, keys
from heliograph import trust_chain as c
from heliograph.enrolment_file import REQUEST, RESPONSE
from heliograph.trust_chain import TrustRootError
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_agent.net.tls.certificates import compute_spki_sha256
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.state import Collector
from heliograph_agent.uplink.channel import classify_call_error, open_channel, open_target
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.invite import Invite
from heliograph_agent.uplink.signed_documents import apply_charter
from heliograph_agent.uplink.transports import Reason, Transport, UplinkError, list_transports

if TYPE_CHECKING:
    from heliograph.v1.intake_pb2_grpc import IntakeAsyncStub

ENROL_S = 15.0
FIND_S = 40.0
MAX_BYTES = 4_194_304


class ByFileError(ValueError):
    """Report a file that is no response to this agent; str() follows the file's name."""


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """Hold the collector, verified by the invite, and its plan, not yet verified."""

    collector: Collector
    plan: plan_pb2.SignedPlan


async def enrol(
    invite: Invite, dial_context: DialContext, signer: keys.SigningKey
) -> EnrolmentResult:
    """Enroll online.

    Each session entrance of the invite is tried, without and with the user's proxy, as by the
    uplink; without gRPC each entrance for POST.

    Raises:
        UplinkError: `no_entrance` if the invite has none to use, `unreachable` or `pin_mismatch`
            if none works, `bad_invite` for a token that is refused, `charter` for a wrong trust
            root, or another reason of the collector.
    """
    has_streams = dial_context.has_streams
    transports = list_transports(
        invite.endpoint, invite.entrances, dial_context.proxy_use, has_streams=has_streams
    )
    sessions = [transport for transport in transports if transport.is_session]
    failure = UplinkError(Reason.UNREACHABLE if sessions else Reason.NO_ENTRANCE)
    for transport in sessions:
        try:
            certificate, answer = await _enrol_over(transport, invite, dial_context, signer)
        except UplinkError as error:
            if error.reason not in (Reason.UNREACHABLE, Reason.PIN_MISMATCH):
                raise
            failure = error if failure.reason is Reason.UNREACHABLE else failure
        else:
            collector = _make_collector(invite, certificate, answer, signer)
            return EnrolmentResult(collector, answer.plan)
    raise failure


async def _enrol_over(
    transport: Transport, invite: Invite, dial_context: DialContext, signer: keys.SigningKey
) -> tuple[str, intake_pb2.EnrolResponse]:
    """Enroll over one transport; return the server's certificate and response."""
    if transport.is_polled:
        return await _enrol_by_post(transport, invite, dial_context, signer)
    from heliograph.v1 import intake_pb2_grpc

    dialer = dial_context.make_dialer(transport, invite.pin, StepTrace(dial_context.clock))
    try:
        async with asyncio.timeout(FIND_S):
            connection = await dialer.connect(transport.entrance)
    except TimeoutError as error:
        raise UplinkError(Reason.UNREACHABLE) from error
    connection.stream.close()
    certificate = ssl.DER_cert_to_PEM_cert(connection.certificate)
    async with (
        open_target(transport, connection.address, dial_context, invite.pin) as target,
        open_channel(target, certificate, connection.name) as channel,
    ):
        stub = intake_pb2_grpc.IntakeStub(channel)
        return certificate, await _send_request(stub, invite, signer)


async def _enrol_by_post(
    transport: Transport, invite: Invite, dial_context: DialContext, signer: keys.SigningKey
) -> tuple[str, intake_pb2.EnrolResponse]:
    from heliograph_agent.uplink.poll_transport import LineOpener, enrol_by_post

    opener = LineOpener(dial_context, transport, invite.pin)
    request = make_enrol_request(invite, signer)
    try:
        return await enrol_by_post(opener, request, StepTrace(dial_context.clock))
    except UplinkError as error:
        raise _explain_refusal(error.reason) from error


def _explain_refusal(reason: Reason) -> UplinkError:
    """Return the error of a refused enrollment; most refusals concern the token."""
    is_refusal = reason in (Reason.UNKNOWN_AGENT, Reason.REFUSED)
    return UplinkError(Reason.BAD_INVITE if is_refusal else reason)


def _make_collector(
    invite: Invite, certificate: str, answer: intake_pb2.EnrolResponse, signer: keys.SigningKey
) -> Collector:
    """Check the response and make the collector from it. Raises UplinkError."""
    if answer.agent != keys.agent_id(signer.public) or len(answer.sealing_key) != 32:
        raise UplinkError(Reason.REFUSED)
    collector = _collector_from_answer(invite, certificate, answer)
    if not invite.charter:
        return collector
    try:
        return apply_charter(collector, follow_invited_chain(invite, answer.plan))
    except TrustRootError as error:
        raise UplinkError(Reason.CHARTER) from error


def _collector_from_answer(
    invite: Invite, certificate: str, answer: intake_pb2.EnrolResponse
) -> Collector:
    return Collector(
        endpoint=invite.endpoint,
        pin=invite.pin,
        certificate=certificate,
        signing_key=answer.signing_key,
        sealing_key=answer.sealing_key,
        agent=answer.agent,
        role=answer.role or "volunteer",
    )


async def _send_request(
    stub: "IntakeAsyncStub", invite: Invite, signer: keys.SigningKey
) -> intake_pb2.EnrolResponse:
    import grpc

    try:
        return await stub.Enrol(make_enrol_request(invite, signer), timeout=ENROL_S)
    except grpc.aio.AioRpcError as error:
        raise _explain_refusal(classify_call_error(error)) from error


def make_request_file(invite: Invite, signer: keys.SigningKey) -> bytes:
    return REQUEST + make_enrol_request(invite, signer).SerializeToString()


def make_enrol_request(invite: Invite, signer: keys.SigningKey) -> intake_pb2.EnrolRequest:
    return intake_pb2.EnrolRequest(
        token=invite.token,
        public_key=signer.public,
        proof=signer.sign(keys.bind_context(keys.ENROL, invite.pin), invite.token),
        agent_version=__version__,
    )


def follow_invited_chain(invite: Invite, plan: plan_pb2.SignedPlan) -> bytes:
    """Return the newest trust root's body, from the invite's. Raises TrustRootError."""
    return c.follow_chain(c.find_pinned_root(plan.charters, invite.charter), plan.charters)


def read_response(data: bytes, invite: Invite, signer: keys.SigningKey) -> EnrolmentResult:
    """Verify the response in a file. Raises ByFileError."""
    if not data.startswith(RESPONSE):
        problem = "is a request" if data.startswith(REQUEST) else "holds no answer to one"
        raise ByFileError(f"{problem}: name the file that `heliograph-collector enrol` wrote")
    try:
        signed = intake_pb2.SignedEnrolment.FromString(data[len(RESPONSE) :])
        answer = intake_pb2.EnrolResponse.FromString(signed.response)
        body = follow_invited_chain(invite, answer.plan)
        receipts = c.decode_trust_root(body).receipts
        pem = answer.certificate.decode("ascii")
        pin = compute_spki_sha256(ssl.PEM_cert_to_DER_cert(pem))
    except (DecodeError, c.TrustRootError, ValueError) as error:
        raise ByFileError(f"cannot be believed ({error}): have it copied again") from error
    if not receipts.is_signed([signed.signature], keys.ENROLLED, signed.response):
        raise ByFileError("was changed on the way, or is of another collector: copy it again")
    if answer.agent != keys.agent_id(signer.public) or pin != invite.pin:
        raise ByFileError("answers another agent's request: each has its own")
    collector = _collector_from_answer(invite, pem, answer)
    return EnrolmentResult(apply_charter(collector, body), answer.plan)
