"""A last word by DNS: what is said over the telephone, sealed, in the name that is asked for.

88 sealed bytes in base32 before the operator's zone. Whoever passes it on sees that somebody asked
for a strange name there; the answer, an IPv6 address that is none, is the collector's proof that
it took the word in. Nothing here is longer lived than a code by voice: see `spoken.PAST_MIN`. Pure.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass

from heliograph import envelope, keys, voice_code
from heliograph.keys import SealingKey
from heliograph.voice_code import CLASSES, PAST_MIN, Report

INFO = b"heliograph beacon v1"
VERSION = 1
SEALED = 88  # bytes: 48 of HPKE, 40 of ours
MAX_ZONE = 100  # characters of a zone, so that every resolver has room for the rest
_LABEL = 63
_TEXT = 141  # characters of base32
_ID, _MINUTE, _LIVES, _MAC = 16, 4, 3, 16
_ANSWER = b"\x2a"  # of global unicast: a private address in an answer would be dropped on the way


class BeaconError(ValueError):
    """A name that says nothing to us."""


@dataclass(frozen=True, slots=True)
class Said:
    """Opened, and not proven yet."""

    agent: bytes
    minute: int
    lives: int
    proof: bytes

    def report(self, key: bytes, now_min: int) -> Report | None:
        """None when it was not this agent that said it, or not in time. `key` as for `name_of`."""
        body = _body(self.agent, self.minute, self.lives)
        if not hmac.compare_digest(self.proof, _mac(key, body)):
            return None
        if not now_min - PAST_MIN <= self.minute <= now_min + voice_code.AHEAD_MIN:
            return None
        return Report(self.minute, voice_code.unfolded(self.lives))


def name_of(report: Report, key: bytes, agent: bytes, collector: bytes, zone: str) -> str:
    """The name to ask for, with its final dot. `key` by `SigningKey.shared_with` for keys.BEACON,
    `collector` the sealing key's 32 public bytes. Raises ValueError: no room before that zone."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    if not 0 < len(zone) <= MAX_ZONE:
        raise ValueError("no such zone")
    body = _body(agent, report.minute, voice_code.folded(report))
    public = X25519PublicKey.from_public_bytes(collector)
    sealed = envelope.suite().encrypt(body + _mac(key, body), public, INFO)
    text = base64.b32encode(sealed).decode().rstrip("=").lower()
    labels = [text[at : at + _LABEL] for at in range(0, len(text), _LABEL)]
    return ".".join((*labels, zone.strip("."), ""))


def sealed_in(name: str, zone: str) -> bytes | None:
    """The sealed bytes in a name below the zone, whatever case it came in; None for other names."""
    said = name.lower().rstrip(".").removesuffix("." + zone.lower().strip("."))
    text = said.replace(".", "")
    if said == name.lower().rstrip(".") or len(text) != _TEXT:
        return None
    try:
        return base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except binascii.Error:
        return None


def opened(sealed: bytes, key: SealingKey) -> Said:
    """Raises BeaconError."""
    from cryptography.exceptions import InvalidTag

    if len(sealed) != SEALED:
        raise BeaconError("another size")
    try:
        body = envelope.suite().decrypt(sealed, key.private, INFO)
    except (InvalidTag, ValueError) as error:
        raise BeaconError("not sealed to us") from error
    at = 1 + _ID
    minute = int.from_bytes(body[at : at + _MINUTE], "big")
    lives = int.from_bytes(body[at + _MINUTE : -_MAC], "big")
    if body[0] != VERSION or lives >= 3 ** len(CLASSES):
        raise BeaconError("of another edition")
    return Said(body[1:at], minute, lives, body[-_MAC:])


def answer(key: bytes, sealed: bytes) -> str:
    """The address that says: taken in. Only the collector and this agent can tell it."""
    proof = hmac.digest(key, keys.BEACON + b"taken" + sealed, hashlib.sha256)
    return str(ipaddress.IPv6Address(_ANSWER + proof[:15]))


def _body(agent: bytes, minute: int, lives: int) -> bytes:
    head = bytes([VERSION]) + agent
    return head + minute.to_bytes(_MINUTE, "big") + lives.to_bytes(_LIVES, "big")


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, keys.BEACON + body, hashlib.sha256)[:_MAC]
