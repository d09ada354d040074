"""Agree on one upload: how long each side waits, and which agent sends it. Pure.

The collector waits REQUEST_S for a request and answers within ANSWER_S of its end. `upload_s` is
longer than the answer to an envelope of this size may take at MIN_BYTES_PER_S, so that no agent
sends again what the collector still works on.

An envelope shows its sender only once it is whole and opened. So that strangers do not take the
places of known agents until then, an agent proves itself before: it signs the envelope's digest
for this collector. The proof travels beside the envelope, inside the TLS connection that the agent
pinned to the collector. A relay, which ends that connection, gets none.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from heliograph import keys

REQUEST_S = 30.0  # the largest envelope arrives in time at MIN_BYTES_PER_S
ANSWER_S = 8.0  # assumed; an answer takes some milliseconds
MIN_BYTES_PER_S = 8_750  # 70 kbit/s; assumed
_ROUND_TRIPS_S = 3.0  # assumed; a handshake and the answer's way back
SENDER_HEADER = "heliograph-sender"  # an HTTP header, and gRPC metadata
_AGENT_BYTES = 16
_DIGEST_BYTES = 32
_SIGNATURE_BYTES = 64


def upload_s(size: int) -> float:
    """Return the seconds that an agent waits for an envelope's receipt."""
    return min(REQUEST_S, size / MIN_BYTES_PER_S) + ANSWER_S + _ROUND_TRIPS_S


@dataclass(frozen=True, slots=True)
class SenderProof:
    """An agent's signature under the digest of the one envelope that it sends."""

    agent: bytes
    digest: bytes
    signature: bytes = b""

    @property
    def message(self) -> bytes:
        """Return the bytes to sign, in the context UPLOAD."""
        return self.agent + self.digest

    def covers(self, envelope: bytes) -> bool:
        return self.digest == hashlib.sha256(envelope).digest()

    def is_signed_by(self, public_key: bytes, pin: bytes) -> bool:
        """Tell whether this key signed it for the collector with this pin."""
        context = keys.bind_context(keys.UPLOAD, pin)
        return keys.verify(public_key, self.signature, context, self.message)

    def format(self) -> str:
        """Return the value of SENDER_HEADER."""
        return base64.b64encode(self.agent + self.digest + self.signature).decode()


def begin_proof(agent: bytes, envelope: bytes) -> SenderProof:
    """Return a proof that still has to be signed."""
    return SenderProof(agent, hashlib.sha256(envelope).digest())


def parse_proof(value: str) -> SenderProof | None:
    """Parse the value of SENDER_HEADER; return None for anything else."""
    try:
        proof = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(proof) != _AGENT_BYTES + _DIGEST_BYTES + _SIGNATURE_BYTES:
        return None
    signature = proof[-_SIGNATURE_BYTES:]
    return SenderProof(proof[:_AGENT_BYTES], proof[_AGENT_BYTES:-_SIGNATURE_BYTES], signature)
