"""Enrolment without a network: a request that goes out by any medium, and the answer to it.

The answer is believed by the charter that the invite names. Who reads the request on its way could
use up its token; who changes the answer changes nothing.
"""

import ssl
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from heliograph import __version__, keys
from heliograph import trust_chain as c
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_agent.net.tls.certificates import spki_sha256
from heliograph_agent.state import Collector
from heliograph_agent.uplink.invite import Invite
from heliograph_agent.uplink.signed_documents import chartered

REQUEST, RESPONSE = b"heliograph request 1\n", b"heliograph response 1\n"
MAX_BYTES = 4_194_304


class ByFileError(ValueError):
    """An answer that is none for this agent; str() is to follow the file's name."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    collector: Collector
    plan: plan_pb2.SignedPlan


def request(invite: Invite, signer: keys.SigningKey) -> bytes:
    return REQUEST + request_of(invite, signer).SerializeToString()


def request_of(invite: Invite, signer: keys.SigningKey) -> intake_pb2.EnrolRequest:
    return intake_pb2.EnrolRequest(
        token=invite.token,
        public_key=signer.public,
        proof=signer.sign(keys.ENROL, invite.token),
        agent_version=__version__,
    )


def begun(invite: Invite, plan: plan_pb2.SignedPlan) -> bytes:
    """The newest charter's body, from the one that the invite names. Raises CharterError."""
    return c.follow(c.begin(plan.charters, invite.charter), plan.charters)


def read_response(data: bytes, invite: Invite, signer: keys.SigningKey) -> Enrolled:
    """Raises ByFileError."""
    if not data.startswith(RESPONSE):
        what = "is a request" if data.startswith(REQUEST) else "holds no answer to one"
        raise ByFileError(f"{what}: name the file that `heliograph-collector enrol` wrote")
    try:
        signed = intake_pb2.SignedEnrolment.FromString(data[len(RESPONSE) :])
        answer = intake_pb2.EnrolResponse.FromString(signed.response)
        body = begun(invite, answer.plan)
        receipts = c.decode(body).receipts
        pem = answer.certificate.decode("ascii")
        pin = spki_sha256(ssl.PEM_cert_to_DER_cert(pem))
    except (DecodeError, c.CharterError, ValueError) as error:
        raise ByFileError(f"cannot be believed ({error}): have it copied again") from error
    if not receipts.signed([signed.signature], keys.ENROLLED, signed.response):
        raise ByFileError("was changed on the way, or is of another collector: copy it again")
    if answer.agent != keys.agent_id(signer.public) or pin != invite.pin:
        raise ByFileError("answers another agent's request: each has its own")
    known = Collector(
        endpoint=invite.endpoint,
        pin=invite.pin,
        certificate=pem,
        signing_key=b"",
        sealing_key=b"",
        agent=answer.agent,
        role=answer.role or "volunteer",
    )
    return Enrolled(chartered(known, body), answer.plan)
