"""Which charters stand in fleet.db, and how the next is made: keys first on disk, then named, then
offered with the plan. Agents that accepted say so in their hello; then the old keys may go."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from heliograph import trust_chain as c
from heliograph.keys import CHARTER, SigningKey
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet.keyring import Keyring, KeysError, root_file, signing_key
from heliograph_collector.fleet.registry import Fleet

WARN_S = 60 * 86_400  # before a charter ends, when nobody here can renew it


def chain(fleet: Fleet) -> list[pb.SignedCharter]:
    """Oldest first, as many as an agent would read; empty before the first."""
    with fleet.transaction() as db:
        rows = db.execute(
            "SELECT signed FROM charters ORDER BY version DESC LIMIT ?", (c.MAX_CHAIN,)
        ).fetchall()
    return [pb.SignedCharter.FromString(signed) for (signed,) in reversed(rows)]


def standing_charter(fleet: Fleet) -> c.Charter | None:
    found = chain(fleet)
    return c.decode(found[-1].charter) if found else None


def pin_of(fleet: Fleet) -> bytes:
    """What an invite of today names the charter by; nothing before the first."""
    found = chain(fleet)
    return c.digest(found[-1]) if found else b""


def add(fleet: Fleet, charter: c.Charter, signers: Sequence[SigningKey]) -> pb.SignedCharter:
    """Sign and keep it, if those who hold the one before would follow. Raises KeysError."""
    before, signed = chain(fleet), c.sign(charter, signers)
    held = before[-1].charter if before else signed.charter
    try:
        if c.follow(held, [signed]) != signed.charter or not _signed_by_itself(charter, signed):
            raise KeysError("The charter is not signed by enough of the root keys.")
    except c.CharterError as error:
        raise KeysError(f"The charter {error}: name every root key that is needed.") from error
    with fleet.transaction() as db:
        done = db.execute(
            "INSERT INTO charters VALUES (?, ?) ON CONFLICT DO NOTHING",
            (charter.version, signed.SerializeToString()),
        )
        if done.rowcount != 1:
            raise KeysError("Another command made a charter meanwhile: try again.")
    return signed


def keep_charter(fleet: Fleet, data: Path, keyring: Keyring, now_s: int) -> c.Charter:
    """The standing one: the first is made here, by a root key made here; one that is half over is
    renewed if the root key still lies here. Raises KeysError."""
    standing = standing_charter(fleet)
    if standing is None:
        root = signing_key(root_file(data), make=True)
        one = c.Role(1, (keyring.signing.public,))
        standing = c.Charter(
            version=1,
            issued_s=now_s,
            expires_s=now_s + c.LIFE_S,
            root=c.Role(1, (root.public,)),
            plan=one,
            receipts=one,
            sealing_key=keyring.sealing.public,
        )
        add(fleet, standing, [root])
    elif standing.expires_s - now_s < c.LIFE_S // 2 and root_file(data).exists():
        root = signing_key(root_file(data))
        if standing.root.threshold == 1 and root.public in standing.root.keys:
            standing = following(standing, now_s)
            add(fleet, standing, [root])
    return standing


def following(before: c.Charter, now_s: int) -> c.Charter:
    """The same again, for another year."""
    return replace(before, version=before.version + 1, issued_s=now_s, expires_s=now_s + c.LIFE_S)


def _signed_by_itself(charter: c.Charter, signed: pb.SignedCharter) -> bool:
    """The first has nobody before it that would look."""
    return charter.root.signed(signed.signatures, CHARTER, signed.charter)
