"""Define the trust root (charter): the keys that may sign, and the sealing key.

This is a small part of TUF (specification 1.0.33): its root role and one document below it, the
plan. Enough of a charter's root keys and enough of the previous root keys must sign it. A holder
of any charter can therefore follow the chain to the newest one, however old the first one is.

Two collectors may have the same root keys. Each charter therefore names its collector's first one
(`origin`), so that neither a relay nor a thief of one collector leads the agents of the other away.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from heliograph import keys
from heliograph.v1 import plan_pb2 as pb

MAX_KEYS = 16  # of one role
MAX_BYTES = 16_384  # of one charter
MAX_CHAIN = 64  # one a year, and more after accidents
LIFE_S = 366 * 86_400
_ED25519 = _X25519 = 32


class TrustRootError(ValueError):
    """Report a refused charter; str() is the reason, to print after "its charter"."""


@dataclass(frozen=True, slots=True)
class KeyRole:
    """Require signatures of `threshold` different `keys` (Ed25519, 32 bytes)."""

    threshold: int
    keys: tuple[bytes, ...]

    def is_signed(self, signatures: Iterable[bytes], context: bytes, message: bytes) -> bool:
        """Tell whether enough keys signed; a key that signed twice counts once."""
        candidates = tuple(signatures)[:MAX_KEYS]
        signer_keys = {
            k for k in self.keys if any(keys.verify(k, s, context, message) for s in candidates)
        }
        return len(signer_keys) >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRoot:
    """Hold the keys of each role and the sealing key; times are in Unix seconds."""

    version: int  # from 1, rising by one
    issued_s: int
    expires_s: int  # after this time its keys authorize nothing new
    root: KeyRole
    plan: KeyRole
    receipts: KeyRole
    sealing_key: bytes  # X25519
    origin: bytes = b""  # SHA-256 of the collector's first charter; b"" in that, and up to 0.1.0


def encode_trust_root(charter: TrustRoot) -> bytes:
    return pb.Charter(
        version=charter.version,
        issued_s=charter.issued_s,
        expires_s=charter.expires_s,
        root=_role_to_pb(charter.root),
        plan=_role_to_pb(charter.plan),
        receipts=_role_to_pb(charter.receipts),
        sealing_key=charter.sealing_key,
        origin=charter.origin,
    ).SerializeToString(deterministic=True)


def decode_trust_root(body: bytes) -> TrustRoot:
    """Decode a charter. Raises TrustRootError."""
    if len(body) > MAX_BYTES:
        raise TrustRootError("is too large")
    try:
        message = pb.Charter.FromString(body)
    except DecodeError as error:
        raise TrustRootError("cannot be read by this version") from error
    if message.version < 1 or len(message.sealing_key) != _X25519:
        raise TrustRootError("has no version or no sealing key")
    return TrustRoot(
        version=message.version,
        issued_s=message.issued_s,
        expires_s=message.expires_s,
        root=_role_from_pb(message.root),
        plan=_role_from_pb(message.plan),
        receipts=_role_from_pb(message.receipts),
        sealing_key=message.sealing_key,
        origin=message.origin,
    )


def sign_trust_root(charter: TrustRoot, signers: Iterable[keys.SigningKey]) -> pb.SignedCharter:
    body = encode_trust_root(charter)
    return pb.SignedCharter(charter=body, signatures=[s.sign(keys.CHARTER, body) for s in signers])


def digest_trust_root(signed: pb.SignedCharter) -> bytes:
    """Return the SHA-256 by which an invite names a charter."""
    return hashlib.sha256(signed.charter).digest()


def find_pinned_root(chain: Sequence[pb.SignedCharter], pinned: bytes) -> bytes:
    """Return the body that an invite names, from the chain. Raises TrustRootError."""
    for signed in chain[:MAX_CHAIN]:
        if digest_trust_root(signed) == pinned:
            decode_trust_root(signed.charter)
            return signed.charter
    raise TrustRootError("is not the one that the invite names")


def follow_chain(trusted_body: bytes, chain: Sequence[pb.SignedCharter]) -> bytes:
    """Return the newest body that `trusted_body` leads to, itself without a newer one.

    Expired charters on the way are accepted, so that an agent can follow after a long absence;
    only the date of the last one matters, and its user checks that. Raises TrustRootError when a
    newer one breaks the chain.
    """
    body = trusted_body
    current = decode_trust_root(trusted_body)
    for signed in chain[:MAX_CHAIN]:
        following = decode_trust_root(signed.charter)
        if following.version <= current.version:
            continue
        if following.version != current.version + 1:
            raise TrustRootError(f"{following.version} cannot follow {current.version}")
        for role in (current.root, following.root):
            if not role.is_signed(signed.signatures, keys.CHARTER, signed.charter):
                raise TrustRootError(
                    f"{following.version} is not signed by enough of its root keys"
                )
        _check_origin(following, current, body)
        body = signed.charter
        current = following
    return body


def find_origin(charter: TrustRoot, body: bytes) -> bytes:
    """Return the digest that names this charter's collector; b"" if unknown."""
    is_first = charter.version == 1
    return charter.origin or (hashlib.sha256(body).digest() if is_first else b"")


def _check_origin(following: TrustRoot, current: TrustRoot, body: bytes) -> None:
    """Check the origin: a charter without one must follow one without it, `body`."""
    origin = find_origin(current, body) if following.origin else current.origin
    if origin and following.origin != origin:
        raise TrustRootError(f"{following.version} is another collector's")


def plan_is_signed(charter: TrustRoot, signed: pb.SignedPlan) -> bool:
    return charter.plan.is_signed((signed.signature, *signed.further), keys.PLAN, signed.plan)


def _role_to_pb(role: KeyRole) -> pb.KeyRole:
    return pb.KeyRole(threshold=role.threshold, keys=role.keys)


def _role_from_pb(role: pb.KeyRole) -> KeyRole:
    """Decode a role; raise TrustRootError for a threshold that cannot work."""
    distinct_keys = tuple(dict.fromkeys(role.keys))
    if len(distinct_keys) > MAX_KEYS or any(len(key) != _ED25519 for key in distinct_keys):
        raise TrustRootError("names keys that are none")
    if not 1 <= role.threshold <= len(distinct_keys):
        raise TrustRootError("has a threshold that its keys cannot reach")
    return KeyRole(role.threshold, distinct_keys)
