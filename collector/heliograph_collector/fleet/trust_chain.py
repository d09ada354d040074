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
from heliograph_collector.fleet.keyring import Keyring, KeysError, load_signing_key, root_key_file
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
    charters = load_charters(fleet)
    signed = c.sign_trust_root(charter, signers)
    trusted_charter = charters[-1].charter if charters else signed.charter
    try:
        newest_charter = c.follow_chain(trusted_charter, [signed])
        # The first charter follows none, so it must be signed by its own root keys.
        is_self_signed = charter.root.is_signed(signed.signatures, CHARTER, signed.charter)
        if newest_charter != signed.charter or not is_self_signed:
            raise KeysError("The charter is not signed by enough of the root keys.")
    except c.TrustRootError as error:
        raise KeysError(f"The charter {error}: name every root key that is needed.") from error
    sql = "INSERT INTO charters VALUES (?, ?) ON CONFLICT DO NOTHING"
    if not fleet.change_row(sql, charter.version, signed.SerializeToString()):
        raise KeysError("Another command made a charter meanwhile: try again.")
    return signed


def ensure_charter(fleet: Fleet, data: Path, keyring: Keyring, now_s: int) -> c.TrustRoot:
    """Return the current charter; create the first, and renew one that is half over.

    Renewal needs the root key on this machine. Raises KeysError.
    """
    charter = load_current_charter(fleet)
    if charter is None:
        root_key = load_signing_key(root_key_file(data), make=True)
        signing_role = c.KeyRole(1, (keyring.signing.public,))
        charter = c.TrustRoot(
            version=1,
            issued_s=now_s,
            expires_s=now_s + c.LIFE_S,
            root=c.KeyRole(1, (root_key.public,)),
            plan=signing_role,
            receipts=signing_role,
            sealing_key=keyring.sealing.public,
        )
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
