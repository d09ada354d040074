"""Report the service status by DNS, sealed in the name of a query.

The query name is 88 sealed bytes in base32, followed by the operator's zone. A resolver on the
way sees a query for a random name below that zone. The answer is an IPv6 address that leads
nowhere; it is the collector's proof that it accepted the report. A report is valid as long as a
voice code: see `voice_code.PAST_MIN`. Pure.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass

from heliograph import envelope, keys, voice_code
from heliograph.keys import SealingKey
from heliograph.voice_code import CLASSES, PAST_MIN, StatusReport

INFO = b"heliograph beacon v1"
VERSION = 1
SEALED = 88  # bytes: 48 of HPKE and 40 of the report
MAX_ZONE = 100  # characters of a zone; the sealed labels fit in front of it within 253
_LABEL = 63
_TEXT = 141  # characters of base32
_ID = 16
_MINUTE = 4
_LIVES = 3
_MAC = 16
_ANSWER = b"\x2a"  # global unicast: resolvers may drop a private address in an answer


class BeaconError(ValueError):
    """Report a query name that carries no valid report."""


@dataclass(frozen=True, slots=True)
class OpenedBeacon:
    """Hold a report that is decrypted and not verified yet."""

    agent: bytes
    minute: int
    packed_states: int
    proof: bytes

    def verify_report(self, key: bytes, now_min: int) -> StatusReport | None:
        """Return the report, or None when the proof or the time is wrong.

        `key` is the key that `make_query_name` used.
        """
        body = _encode_body(self.agent, self.minute, self.packed_states)
        if not hmac.compare_digest(self.proof, _compute_mac(key, body)):
            return None
        if not now_min - PAST_MIN <= self.minute <= now_min + voice_code.AHEAD_MIN:
            return None
        return StatusReport(self.minute, voice_code.decode_states(self.packed_states))


def make_query_name(
    report: StatusReport, key: bytes, agent: bytes, collector: bytes, zone: str
) -> str:
    """Build the name to query, with its final dot.

    `key` comes from `SigningKey.derive_shared_key` for keys.BEACON, `collector` is the sealing
    key's 32 public bytes. Raises ValueError when the zone is empty or longer than MAX_ZONE.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    if not 0 < len(zone) <= MAX_ZONE:
        raise ValueError("no such zone")
    body = _encode_body(agent, report.minute, voice_code.encode_states(report))
    public = X25519PublicKey.from_public_bytes(collector)
    sealed = envelope.hpke_suite().encrypt(body + _compute_mac(key, body), public, INFO)
    encoded = base64.b32encode(sealed).decode().rstrip("=").lower()
    labels = [encoded[at : at + _LABEL] for at in range(0, len(encoded), _LABEL)]
    return ".".join((*labels, zone.strip("."), ""))


def extract_sealed(name: str, zone: str) -> bytes | None:
    """Return the sealed bytes in a name of any case; None outside the zone."""
    prefix = name.lower().rstrip(".").removesuffix("." + zone.lower().strip("."))
    encoded = prefix.replace(".", "")
    if prefix == name.lower().rstrip(".") or len(encoded) != _TEXT:
        return None
    try:
        return base64.b32decode(encoded.upper() + "=" * (-len(encoded) % 8))
    except binascii.Error:
        return None


def open_beacon(sealed: bytes, key: SealingKey) -> OpenedBeacon:
    """Decrypt the sealed bytes of a query name. Raises BeaconError."""
    from cryptography.exceptions import InvalidTag

    if len(sealed) != SEALED:
        raise BeaconError("another size")
    try:
        body = envelope.hpke_suite().decrypt(sealed, key.private, INFO)
    except (InvalidTag, ValueError) as error:
        raise BeaconError("not sealed to us") from error
    offset = 1 + _ID
    minute = int.from_bytes(body[offset : offset + _MINUTE], "big")
    packed_states = int.from_bytes(body[offset + _MINUTE : -_MAC], "big")
    if body[0] != VERSION or packed_states >= 3 ** len(CLASSES):
        raise BeaconError("of another edition")
    return OpenedBeacon(body[1:offset], minute, packed_states, body[-_MAC:])


def make_answer(key: bytes, sealed: bytes) -> str:
    """Build the confirming address, which only collector and agent can recognize."""
    proof = hmac.digest(key, keys.BEACON + b"taken" + sealed, hashlib.sha256)
    return str(ipaddress.IPv6Address(_ANSWER + proof[:15]))


def _encode_body(agent: bytes, minute: int, packed_states: int) -> bytes:
    head = bytes([VERSION]) + agent
    return head + minute.to_bytes(_MINUTE, "big") + packed_states.to_bytes(_LIVES, "big")


def _compute_mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, keys.BEACON + body, hashlib.sha256)[:_MAC]
