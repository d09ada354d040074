"""Charters in fleet.db: which one is current and how the next is made.

Order of a key change: write new keys to disk, sign a charter that names them, offer it with the
plan. Agents that accepted it report so in their hello. Then the old keys may be deleted.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from heliograph import trust_chain as c
from heliograph.keys import CHARTER, SigningKey
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet.charter_draft import CharterDraft, sign_draft
from heliograph_collector.fleet.keyring import (
    Keyring,
    KeysError,
    create_next_pair,
    load_signing_key,
    names_next_pair,
    root_key_file,
)
from heliograph_collector.fleet.registry import Fleet

WARN_BEFORE_S = 60 * 86_400  # assumed; warning before a charter ends that cannot be renewed here


def load_charters(fleet: Fleet) -> list[pb.SignedCharter]:
    """Load charters, oldest first, as many as an agent reads."""
    sql = "SELECT signed FROM charters ORDER BY version DESC LIMIT ?"
    rows = fleet.read_rows(sql, c.MAX_CHAIN)
    return [pb.SignedCharter.FromString(signed) for (signed,) in reversed(rows)]


def load_current_charter(fleet: Fleet) -> c.TrustRoot | None:
    charters = load_charters(fleet)
    return c.decode_trust_root(charters[-1].charter) if charters else None


def load_charter_digest(fleet: Fleet) -> bytes:
    """Return the current charter's digest for an invite, b"" before the first charter."""
    charters = load_charters(fleet)
    return c.digest_trust_root(charters[-1]) if charters else b""


def add_charter(
    fleet: Fleet, charter: c.TrustRoot, signers: Sequence[SigningKey]
) -> pb.SignedCharter:
    """Sign and store a charter that follows the previous one. Raises KeysError."""
    signed = c.sign_trust_root(_name_origin(charter, load_charters(fleet)), signers)
    install_charter(fleet, signed)
    return signed


def install_charter(fleet: Fleet, signed: pb.SignedCharter) -> None:
    """Store a charter that follows the previous one, and has enough signatures.

    Raises KeysError.
    """
    charters = load_charters(fleet)
    trusted_charter = charters[-1].charter if charters else signed.charter
    try:
        charter = c.decode_trust_root(signed.charter)
        followed = c.follow_chain(trusted_charter, [signed])
    except c.TrustRootError as error:
        raise KeysError(
            f"The charter {error}: have it signed by more shares, or draft again."
        ) from error
    if followed != signed.charter:
        raise KeysError(
            f"The charter {charter.version} is not newer than the current one: draft again."
        )
    if not charter.root.is_signed(signed.signatures, CHARTER, signed.charter):
        raise KeysError("The charter is not signed by enough of its root keys.")
    sql = "INSERT INTO charters VALUES (?, ?) ON CONFLICT DO NOTHING"
    if not fleet.change_row(sql, charter.version, signed.SerializeToString()):
        raise KeysError("Another command made a charter meanwhile: try again.")


def draft_charter(fleet: Fleet, data: Path, charter: c.TrustRoot) -> CharterDraft:
    """Draft a charter for root shares; a root key of this machine signs at once."""
    charters = load_charters(fleet)
    unsigned = c.sign_trust_root(_name_origin(charter, charters), [])
    draft = CharterDraft(charters[-1] if charters else None, unsigned)
    if not root_key_file(data).exists():
        return draft
    root_key = load_signing_key(root_key_file(data))
    is_root = any(root_key.public in role.keys for role in draft.list_roles())
    return sign_draft(draft, root_key) if is_root else draft


def _name_origin(charter: c.TrustRoot, charters: Sequence[pb.SignedCharter]) -> c.TrustRoot:
    if charter.origin or not charters:
        return charter
    oldest = charters[0].charter
    return replace(charter, origin=c.find_origin(c.decode_trust_root(oldest), oldest))


def check_own_keys(charter: c.TrustRoot, data: Path, keyring: Keyring) -> None:
    """Check that this collector has the keys that the charter names. Raises KeysError."""
    signing_key = keyring.signing.public
    if names_next_pair(data, charter.sealing_key, charter.plan.keys):
        signing_key = create_next_pair(data)[0].public
    elif charter.sealing_key != keyring.sealing.public:
        raise KeysError("The charter names a sealing key that is not on this machine: draft again.")
    for role in (charter.plan, charter.receipts):
        if role.threshold != 1 or signing_key not in role.keys:
            raise KeysError("The charter names a signing key that is not on this machine.")


def build_first_charter(keyring: Keyring, root: c.KeyRole, now_s: int) -> c.TrustRoot:
    signing_role = c.KeyRole(1, (keyring.signing.public,))
    return c.TrustRoot(
        version=1,
        issued_s=now_s,
        expires_s=now_s + c.LIFE_S,
        root=root,
        plan=signing_role,
        receipts=signing_role,
        sealing_key=keyring.sealing.public,
    )


def ensure_charter(fleet: Fleet, data: Path, keyring: Keyring, now_s: int) -> c.TrustRoot:
    """Return the current charter; create the first, and renew one that is half over.

    Renewal needs the root key on this machine. Raises KeysError.
    """
    charter = load_current_charter(fleet)
    if charter is None:
        root_key = load_signing_key(root_key_file(data), make=True)
        charter = build_first_charter(keyring, c.KeyRole(1, (root_key.public,)), now_s)
        add_charter(fleet, charter, [root_key])
    elif charter.expires_s - now_s < c.LIFE_S // 2 and root_key_file(data).exists():
        root_key = load_signing_key(root_key_file(data))
        if charter.root.threshold == 1 and root_key.public in charter.root.keys:
            charter = build_renewal(charter, now_s)
            add_charter(fleet, charter, [root_key])
    return charter


def build_renewal(previous: c.TrustRoot, now_s: int) -> c.TrustRoot:
    """Copy a charter with the next version and another year of life."""
    return replace(
        previous, version=previous.version + 1, issued_s=now_s, expires_s=now_s + c.LIFE_S
    )
