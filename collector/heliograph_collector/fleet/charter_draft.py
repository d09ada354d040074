"""Draft charters: the collector proposes one, and root shares sign it elsewhere.

A draft is a text of three lines, some 1,200 characters, which fits a stick, a letter or a QR code:
the charter before it with its signatures, and the new charter with those that it has so far. A
holder of a share can therefore check what changes, without the collector. Pure.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from heliograph import keys
from heliograph import trust_chain as c
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet.keyring import KeysError

MAX_BYTES = 65_536  # two charters in base 64 with their signatures
_HEAD = "heliograph charter draft 1"


@dataclass(frozen=True, slots=True)
class CharterDraft:
    """A charter that is being signed; `previous` is None for the first of a collector."""

    previous: pb.SignedCharter | None
    signed: pb.SignedCharter

    @property
    def charter(self) -> c.TrustRoot:
        return c.decode_trust_root(self.signed.charter)

    @property
    def previous_charter(self) -> c.TrustRoot | None:
        return None if self.previous is None else c.decode_trust_root(self.previous.charter)

    def list_roles(self) -> list[c.KeyRole]:
        """List the root roles that must sign: the new one, and the one before it."""
        previous = self.previous_charter
        return [self.charter.root] if previous is None else [self.charter.root, previous.root]

    def count_signers(self, role: c.KeyRole) -> int:
        """Count the keys of a role that have signed."""
        body = self.signed.charter
        return sum(
            any(keys.verify(key, s, keys.CHARTER, body) for s in self.signed.signatures)
            for key in role.keys
        )


def format_draft(draft: CharterDraft) -> str:
    previous = _encode(draft.previous) if draft.previous is not None else "none"
    return f"{_HEAD}\nprevious {previous}\ncharter {_encode(draft.signed)}\n"


def parse_draft(content: bytes) -> CharterDraft:
    """Parse a draft, and check that it follows a charter with valid signatures.

    Raises KeysError.
    """
    fields = content[:MAX_BYTES].decode("ascii", "replace").split()
    head = _HEAD.split()
    if len(content) > MAX_BYTES or fields[: len(head)] != head or len(fields) != len(head) + 4:
        raise KeysError("This is no draft of a charter: copy the whole file again.")
    _, previous_code, _, charter_code = fields[len(head) :]
    previous = None if previous_code == "none" else _decode(previous_code)
    draft = CharterDraft(previous, _decode(charter_code))
    try:
        _check_order(draft)
    except c.TrustRootError as error:
        raise KeysError(f"The draft's charter {error}: make another by `keys root`.") from error
    return draft


def sign_draft(draft: CharterDraft, key: keys.SigningKey) -> CharterDraft:
    """Add a signature by a root key of the charter or of the previous one.

    Raises KeysError.
    """
    if not any(key.public in role.keys for role in draft.list_roles()):
        raise KeysError("This share is no root key of the charter, nor of the one before it.")
    signature = key.sign(keys.CHARTER, draft.signed.charter)
    return _with_signatures(draft, [*draft.signed.signatures, signature])


def combine_drafts(drafts: Sequence[CharterDraft]) -> CharterDraft:
    """Join the signatures of several copies of one draft. Raises KeysError."""
    first = drafts[0]
    if any(draft.signed.charter != first.signed.charter for draft in drafts):
        raise KeysError("These are drafts of different charters: combine copies of one.")
    return _with_signatures(first, [s for draft in drafts for s in draft.signed.signatures])


def _with_signatures(draft: CharterDraft, signatures: Sequence[bytes]) -> CharterDraft:
    """Keep each valid signature once, because readers of charters check only 16."""
    body = draft.signed.charter
    signers = {key for role in draft.list_roles() for key in role.keys}
    valid_signatures = [
        signature
        for signature in dict.fromkeys(signatures)
        if any(keys.verify(key, signature, keys.CHARTER, body) for key in signers)
    ]
    signed = pb.SignedCharter(charter=body, signatures=valid_signatures)
    return CharterDraft(draft.previous, signed)


def _check_order(draft: CharterDraft) -> None:
    """Raises TrustRootError."""
    charter = draft.charter
    previous = draft.previous_charter
    if previous is None or draft.previous is None:
        if charter.version != 1:
            raise c.TrustRootError(f"{charter.version} lacks the one before it")
        return
    if charter.version != previous.version + 1:
        raise c.TrustRootError(f"{charter.version} cannot follow {previous.version}")
    if not previous.root.is_signed(draft.previous.signatures, keys.CHARTER, draft.previous.charter):
        raise c.TrustRootError("follows one that its own root keys did not sign")
    origin = c.find_origin(previous, draft.previous.charter)
    if origin and charter.origin != origin:
        raise c.TrustRootError("does not name its collector's first one")


def _encode(signed: pb.SignedCharter) -> str:
    return base64.b64encode(signed.SerializeToString(deterministic=True)).decode()


def _decode(code: str) -> pb.SignedCharter:
    try:
        return pb.SignedCharter.FromString(base64.b64decode(code, validate=True))
    except (binascii.Error, ValueError, DecodeError) as error:
        raise KeysError("The draft was cut short or changed: copy the whole file again.") from error
