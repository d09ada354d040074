"""The charter: which keys may sign what, and which key envelopes are sealed to.

A small part of TUF (specification 1.0.33): its root role, one document below it (the plan), no
others. A charter is signed by enough of its own root keys and by enough of those of the one before;
so who holds any of them can follow to the newest, however long it was away.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from heliograph import keys
from heliograph.v1 import plan_pb2 as pb

MAX_KEYS = 16  # of one role
MAX_BYTES = 16_384  # of one charter
MAX_CHAIN = 64  # one a year, and what an accident adds
LIFE_S = 366 * 86_400
_ED25519 = _X25519 = 32


class CharterError(ValueError):
    """A charter that may not be followed; str() is the reason, to stand after "its charter"."""


@dataclass(frozen=True, slots=True)
class Role:
    """`threshold` different ones of `keys` (Ed25519, 32 bytes) must have signed."""

    threshold: int
    keys: tuple[bytes, ...]

    def signed(self, signatures: Iterable[bytes], context: bytes, message: bytes) -> bool:
        """Whether enough did. A key that signed twice counts once."""
        given = tuple(signatures)[:MAX_KEYS]
        found = {k for k in self.keys if any(keys.verify(k, s, context, message) for s in given)}
        return len(found) >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    version: int  # from 1, rising by one
    issued_s: int
    expires_s: int  # after this nothing new is taken on its word
    root: Role
    plan: Role
    receipts: Role
    sealing_key: bytes  # X25519


def encode(charter: Charter) -> bytes:
    return pb.Charter(
        version=charter.version,
        issued_s=charter.issued_s,
        expires_s=charter.expires_s,
        root=_role_to_pb(charter.root),
        plan=_role_to_pb(charter.plan),
        receipts=_role_to_pb(charter.receipts),
        sealing_key=charter.sealing_key,
    ).SerializeToString(deterministic=True)


def decode(body: bytes) -> Charter:
    """Raises CharterError."""
    if len(body) > MAX_BYTES:
        raise CharterError("is too large")
    try:
        message = pb.Charter.FromString(body)
    except DecodeError as error:
        raise CharterError("cannot be read by this version") from error
    if message.version < 1 or len(message.sealing_key) != _X25519:
        raise CharterError("has no version or no sealing key")
    return Charter(
        version=message.version,
        issued_s=message.issued_s,
        expires_s=message.expires_s,
        root=_role_from_pb(message.root),
        plan=_role_from_pb(message.plan),
        receipts=_role_from_pb(message.receipts),
        sealing_key=message.sealing_key,
    )


def sign(charter: Charter, signers: Iterable[keys.SigningKey]) -> pb.SignedCharter:
    body = encode(charter)
    return pb.SignedCharter(charter=body, signatures=[s.sign(keys.CHARTER, body) for s in signers])


def digest(signed: pb.SignedCharter) -> bytes:
    """What an invite names it by."""
    return hashlib.sha256(signed.charter).digest()


def begin(chain: Sequence[pb.SignedCharter], pinned: bytes) -> bytes:
    """The body that an invite names, out of the chain that came. Raises CharterError."""
    for signed in chain[:MAX_CHAIN]:
        if digest(signed) == pinned:
            decode(signed.charter)
            return signed.charter
    raise CharterError("is not the one that the invite names")


def follow(held: bytes, chain: Sequence[pb.SignedCharter]) -> bytes:
    """The newest body that `held` leads to, itself when nothing newer came.

    Only the last one's date matters, and that when something is taken on its word: who was away
    follows over expired ones. Raises CharterError when a newer one breaks the chain.
    """
    body, present = held, decode(held)
    for signed in chain[:MAX_CHAIN]:
        following = decode(signed.charter)
        if following.version <= present.version:
            continue
        if following.version != present.version + 1:
            raise CharterError(f"{following.version} cannot follow {present.version}")
        for role in (present.root, following.root):
            if not role.signed(signed.signatures, keys.CHARTER, signed.charter):
                raise CharterError(f"{following.version} is not signed by enough of its root keys")
        body, present = signed.charter, following
    return body


def plan_is_signed(charter: Charter, signed: pb.SignedPlan) -> bool:
    return charter.plan.signed((signed.signature, *signed.further), keys.PLAN, signed.plan)


def _role_to_pb(role: Role) -> pb.KeyRole:
    return pb.KeyRole(threshold=role.threshold, keys=role.keys)


def _role_from_pb(role: pb.KeyRole) -> Role:
    """A threshold that nobody or everybody reaches is no threshold."""
    found = tuple(dict.fromkeys(role.keys))
    if len(found) > MAX_KEYS or any(len(key) != _ED25519 for key in found):
        raise CharterError("names keys that are none")
    if not 1 <= role.threshold <= len(found):
        raise CharterError("has a threshold that its keys cannot reach")
    return Role(role.threshold, found)
