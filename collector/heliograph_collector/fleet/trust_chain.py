"""Which charters stand in fleet.db, and how the next is made: keys first on disk, then named, then
offered with the plan. Agents that accepted say so in their hello; then the old keys may go."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from heliograph import trust_chain as c
from heliograph.keys import CHARTER, SigningKey
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet.keyring import Keyring, KeysError, load_signing_key, root_key_file
from heliograph_collector.fleet.registry import Fleet

WARN_BEFORE_S = 60 * 86_400  # before a charter ends, when nobody here can renew it


def load_charters(fleet: Fleet) -> list[pb.SignedCharter]:
    """Oldest first, as many as an agent would read; empty before the first."""
    with fleet.transaction() as db:
        rows = db.execute(
            "SELECT signed FROM charters ORDER BY version DESC LIMIT ?", (c.MAX_CHAIN,)
        ).fetchall()
    return [pb.SignedCharter.FromString(signed) for (signed,) in reversed(rows)]


def load_current_charter(fleet: Fleet) -> c.TrustRoot | None:
    charters = load_charters(fleet)
    return c.decode_trust_root(charters[-1].charter) if charters else None


def load_charter_digest(fleet: Fleet) -> bytes:
    """What an invite of today names the charter by; nothing before the first."""
    charters = load_charters(fleet)
    return c.digest_trust_root(charters[-1]) if charters else b""


def add_charter(
    fleet: Fleet, charter: c.TrustRoot, signers: Sequence[SigningKey]
) -> pb.SignedCharter:
    """Sign and keep it, if those who hold the one before would follow. Raises KeysError."""
    charters = load_charters(fleet)
    signed = c.sign_trust_root(charter, signers)
    trusted_charter = charters[-1].charter if charters else signed.charter
    try:
        if c.follow_chain(trusted_charter, [signed]) != signed.charter or not _is_self_signed(
            charter, signed
        ):
            raise KeysError("The charter is not signed by enough of the root keys.")
    except c.TrustRootError as error:
        raise KeysError(f"The charter {error}: name every root key that is needed.") from error
    with fleet.transaction() as db:
        cursor = db.execute(
            "INSERT INTO charters VALUES (?, ?) ON CONFLICT DO NOTHING",
            (charter.version, signed.SerializeToString()),
        )
        if cursor.rowcount != 1:
            raise KeysError("Another command made a charter meanwhile: try again.")
    return signed


def ensure_charter(fleet: Fleet, data: Path, keyring: Keyring, now_s: int) -> c.TrustRoot:
    """The standing one: the first is made here, by a root key made here; one that is half over is
    renewed if the root key still lies here. Raises KeysError."""
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
    """The same again, for another year."""
    return replace(
        previous, version=previous.version + 1, issued_s=now_s, expires_s=now_s + c.LIFE_S
    )


def _is_self_signed(charter: c.TrustRoot, signed: pb.SignedCharter) -> bool:
    """The first has nobody before it that would look."""
    return charter.root.is_signed(signed.signatures, CHARTER, signed.charter)
