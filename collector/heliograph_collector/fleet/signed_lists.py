"""Store signed lists of fingerprints in fleet.db: our own and other publishers'.

A bundle holds all lists of one publisher, and a version that rises. Keys of the role "plan" in the
publisher's charter sign it, as they sign its plans, so the lists are trusted as far as a plan is.
The exported file holds the publisher's chain of charters too: a reader who trusts one charter of a
publisher can follow the chain after its keys change. A bundle that is not signed by a trusted
publisher, or that is older than the stored one, is refused. Agents get no lists.

Example:
    issue_bundle(fleet, keyring.signing, [NamedList("isp.csv", content)], now_s)
    for name, content in SignedLists(data).read_lists():
        print(name, len(content))
"""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
from google.protobuf.message import DecodeError

from heliograph import keys
from heliograph import trust_chain as c
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet.registry import BUSY_TIMEOUT_S, Fleet
from heliograph_collector.fleet.trust_chain import load_charters

OWN = ""  # publisher of this collector's own lists
MAX_BYTES = 32 << 20  # of one signed bundle; OONI's two lists have 0.3 MB
MAX_PUBLISHERS = 8  # assumed

log = logging.getLogger("heliograph.lists")

_UNREADABLE = (ValueError, RecursionError)  # msgspec's, for bytes of another shape or no UTF-8
_Stamp = tuple[tuple[str, int], ...]


class ListsError(Exception):
    """Error for lists that are not usable; the message is a sentence."""


class NamedList(msgspec.Struct, frozen=True):
    """One list as it was imported; the ending of its name shows the format."""

    name: str
    content: bytes


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All lists of a publisher."""

    version: int
    issued_s: int
    lists: tuple[NamedList, ...]


class SignedBundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bundle's exact bytes, signatures over them, and charters, oldest first."""

    format: Literal["heliograph fingerprints 1"] = "heliograph fingerprints 1"
    bundle: bytes
    signatures: tuple[bytes, ...]
    charters: tuple[bytes, ...]

    @property
    def publisher(self) -> str:
        """Return the SHA-256 of the first charter, by which people compare a publisher."""
        return c.digest_trust_root(_read_charters(self)[0]).hex()


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A verified bundle and its publisher, OWN for this collector."""

    publisher: str
    bundle: Bundle


def is_signed_bundle(content: bytes) -> bool:
    """Return whether a file claims to be a signed bundle, and no plain list."""
    return content.lstrip()[:64].startswith(b'{"format":"heliograph fingerprints')


def parse_signed_bundle(content: bytes) -> SignedBundle:
    """Parse a file that another collector exported. Raises ListsError."""
    if len(content) > MAX_BYTES:
        raise ListsError(f"The file has more than {MAX_BYTES >> 20} MiB: ask for a smaller one.")
    try:
        signed = msgspec.json.decode(content, type=SignedBundle)
        _read_charters(signed)
    except (*_UNREADABLE, DecodeError) as error:
        raise ListsError(f"The signed lists cannot be read ({error}): copy them again.") from error
    return signed


def issue_bundle(
    fleet: Fleet, signer: keys.SigningKey, lists: Sequence[NamedList], now_s: int
) -> Bundle:
    """Sign and store the collector's own lists as the next version. Raises ListsError."""
    return _issue(fleet, signer, lists, now_s)[0]


def _issue(
    fleet: Fleet, signer: keys.SigningKey, lists: Sequence[NamedList], now_s: int
) -> tuple[Bundle, bytes]:
    """Return the lists, and the content that was stored for them."""
    charters = tuple(signed.SerializeToString() for signed in load_charters(fleet))
    previous = _read_row(fleet, OWN)
    version = 1 if previous is None else previous[0] + 1
    bundle = Bundle(version, now_s, tuple(lists))
    body = msgspec.json.encode(bundle)
    signed = SignedBundle(
        bundle=body, signatures=(signer.sign(keys.FINGERPRINTS, body),), charters=charters
    )
    return bundle, _write_row(fleet, OWN, version, signed, b"")


class ListCheck(Protocol):
    """Check that a list can be used; raises an error that names its place."""

    def __call__(self, name: str, content: bytes, /) -> None: ...


def accept_bundle(
    fleet: Fleet, signed: SignedBundle, trusted: str, now_s: int, check_list: ListCheck
) -> StoredBundle:
    """Verify another publisher's bundle, and store it unless the stored one is newer.

    Args:
        trusted: Publisher whom the operator trusts from now on, as `SignedBundle.publisher` names
            it; "" if one that is stored already must have signed.
        check_list: Called with each list before anything is stored.

    Raises:
        ListsError: The bundle is not by a trusted publisher, changed on its way, or is too old.
    """
    publisher, charter = _find_publisher(fleet, signed, trusted)
    if c.decode_trust_root(charter).expires_s <= now_s:
        raise ListsError("The charter of the publisher has ended: ask for newly signed lists.")
    bundle = _open_bundle(signed, [charter])
    for named in bundle.lists:
        check_list(named.name, named.content)
    stored = _read_row(fleet, publisher)
    # A thief of keys that were replaced could block all later lists by a high version (TUF's
    # fast-forward attack).
    is_superseded = stored is not None and not _is_signed(_decode(stored[1]), [charter])
    if is_superseded:
        stored = None
    if stored is not None and bundle.version < stored[0]:
        raise ListsError(
            f"The lists have version {bundle.version}, and version {stored[0]} of this publisher "
            "is stored: ask for the newest."
        )
    if stored is not None and bundle.version == stored[0]:
        if _decode(stored[1]).bundle != signed.bundle:
            raise ListsError(
                f"The publisher signed two different lists as version {bundle.version}: ask which "
                "of them counts, and for a newer one."
            )
        return StoredBundle(publisher, bundle)
    _write_row(fleet, publisher, bundle.version, signed, charter, replaces_any=is_superseded)
    return StoredBundle(publisher, bundle)


def export_bundle(fleet: Fleet, signer: keys.SigningKey, now_s: int) -> bytes:
    """Return the own lists as a file for other collectors, signed by the present key.

    Raises ListsError.
    """
    own_lists = load_own_lists(fleet)
    if not own_lists:
        raise ListsError("There are no own lists to export: import one first.")
    charters = tuple(signed.SerializeToString() for signed in load_charters(fleet))
    row = _read_row(fleet, OWN)
    if row is None or _decode(row[1]).charters != charters:  # others go by the newest charter
        return _issue(fleet, signer, own_lists, now_s)[1]
    return row[1]


def load_own_lists(fleet: Fleet) -> tuple[NamedList, ...]:
    """Load the collector's own lists; log and drop them if the file was altered."""
    row = _read_row(fleet, OWN)
    try:
        return () if row is None else _open_own(_decode(row[1]), load_charters(fleet)).lists
    except ListsError as error:
        log.error("The own lists are dropped, import them again: %s", error)
        return ()


def has_own_bundle(fleet: Fleet) -> bool:
    """Return whether the collector ever signed lists, or that it has none."""
    return _read_row(fleet, OWN) is not None


def remove_publisher(fleet: Fleet, publisher: str) -> bool:
    """Remove a publisher and its lists; return False if it is unknown."""
    sql = "DELETE FROM fingerprint_bundles WHERE publisher = ? AND publisher <> ''"
    return fleet.change_row(sql, publisher)


@dataclass(frozen=True, slots=True)
class SignedLists:
    """Reader of a collector's lists, which may be sent to another process.

    Signatures are checked at each reading, so that lists that somebody changed in the file are
    left out.
    """

    data: Path  # the collector's directory

    def read_stamp(self) -> _Stamp:
        """Return a value that changes with the lists. Raises OSError."""
        rows = self._query("SELECT publisher, version, rowid FROM fingerprint_bundles")
        return tuple(sorted((f"{publisher}/{row}", version) for publisher, version, row in rows))

    def read_lists(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents; log unsigned lists. Raises OSError."""
        for stored in self.read_bundles():
            prefix = f"{stored.publisher[:8]}/" if stored.publisher else ""
            for named in stored.bundle.lists:
                yield prefix + named.name, named.content

    def read_bundles(self) -> Iterator[StoredBundle]:
        """Yield verified bundles, the own one first. Raises OSError."""
        sql = "SELECT publisher, signed, charter FROM fingerprint_bundles ORDER BY publisher"
        for publisher, content, charter in self._query(sql):
            try:
                signed = _decode(content)
                bundle = (
                    _open_bundle(signed, [charter])
                    if publisher
                    else _open_own(signed, self._read_own_charters())
                )
            except (ListsError, c.TrustRootError) as error:
                name = f"The lists of {publisher[:8]}" if publisher else "The own lists"
                log.error("%s are left out, and must be imported again: %s", name, error)
                continue
            yield StoredBundle(publisher, bundle)

    def _read_own_charters(self) -> list[pb.SignedCharter]:
        rows = self._query("SELECT signed FROM charters ORDER BY version")
        return [pb.SignedCharter.FromString(signed) for (signed,) in rows]

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        """Read rows, none where there is no such file or table. Raises OSError."""
        file = self.data / "fleet.db"
        if not file.exists():
            return []
        try:
            # Read only: a judging process must not wait for the registry's writers.
            uri = f"{file.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as db:
                return db.execute(sql).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # written by an earlier version
                return []
            raise OSError(f"{file} cannot be read ({error})") from error
        except sqlite3.DatabaseError as error:
            raise OSError(f"{file} cannot be read ({error})") from error


def _find_publisher(fleet: Fleet, signed: SignedBundle, trusted: str) -> tuple[str, bytes]:
    """Find the signer among stored publishers and `trusted`, and its newest charter."""
    rows = fleet.read_rows(
        "SELECT publisher, charter FROM fingerprint_bundles WHERE publisher <> '' LIMIT ?",
        MAX_PUBLISHERS,
    )
    chain = _read_charters(signed)
    candidates = {str(publisher): bytes(charter) for publisher, charter in rows}
    own = {c.digest_trust_root(charter) for charter in load_charters(fleet)}
    if any(c.digest_trust_root(charter) in own for charter in chain):
        raise ListsError("The lists are this collector's own: there is nothing to import.")
    if trusted and trusted == signed.publisher and trusted not in candidates:
        if len(candidates) >= MAX_PUBLISHERS:
            raise ListsError(f"{MAX_PUBLISHERS} publishers are trusted already: remove one.")
        candidates[trusted] = chain[0].charter
    for publisher, charter in candidates.items():
        if publisher == signed.publisher or _continues(chain, charter):
            try:
                return publisher, c.follow_chain(charter, chain)
            except c.TrustRootError as error:
                raise ListsError(
                    f"The publisher's charter {error}: ask for the file again."
                ) from error
    raise ListsError(
        f"The lists are by a publisher that is not trusted here: {signed.publisher}. Compare this "
        "with the publisher by another way, and give it as --publisher."
    )


def _continues(chain: Sequence[pb.SignedCharter], charter: bytes) -> bool:
    """Return whether a chain has this very charter, whatever it begins with."""
    return any(signed.charter == charter for signed in chain)


def _open_own(signed: SignedBundle, charters: Sequence[pb.SignedCharter]) -> Bundle:
    """Open our own lists, signed under any of our charters: keys change, lists stay."""
    return _open_bundle(signed, [charter.charter for charter in charters])


def _open_bundle(signed: SignedBundle, charters: Sequence[bytes]) -> Bundle:
    """Verify and decode a bundle. Raises ListsError."""
    if not _is_signed(signed, charters):
        raise ListsError("The signature of the lists is not valid: ask for the file again.")
    try:
        return msgspec.json.decode(signed.bundle, type=Bundle)
    except _UNREADABLE as error:
        raise ListsError(f"The lists need another version of this program ({error}).") from error


def _is_signed(signed: SignedBundle, charters: Sequence[bytes]) -> bool:
    """Return whether enough keys of one of these charters signed a bundle."""
    roles = [c.decode_trust_root(charter).plan for charter in charters]
    return any(r.is_signed(signed.signatures, keys.FINGERPRINTS, signed.bundle) for r in roles)


def _read_charters(signed: SignedBundle) -> list[pb.SignedCharter]:
    """Read the chain of a bundle. Raises DecodeError, TrustRootError."""
    charters = [pb.SignedCharter.FromString(body) for body in signed.charters[: c.MAX_CHAIN]]
    if not charters:
        raise c.TrustRootError("no charter is in the file")
    for charter in charters:
        c.decode_trust_root(charter.charter)
    return charters


def _decode(content: bytes) -> SignedBundle:
    try:
        return msgspec.json.decode(content, type=SignedBundle)
    except _UNREADABLE as error:
        raise ListsError(f"They cannot be read ({error}).") from error


def _read_row(fleet: Fleet, publisher: str) -> tuple[int, bytes] | None:
    sql = "SELECT version, signed FROM fingerprint_bundles WHERE publisher = ?"
    rows = fleet.read_rows(sql, publisher)
    return (int(rows[0][0]), bytes(rows[0][1])) if rows else None


def _write_row(
    fleet: Fleet,
    publisher: str,
    version: int,
    signed: SignedBundle,
    charter: bytes,
    *,
    replaces_any: bool = False,
) -> bytes:
    """Write a bundle in place of an older one, or of any; return its content.

    Raises ListsError.
    """
    content = msgspec.json.encode(signed)
    if len(content) > MAX_BYTES:
        raise ListsError(f"The lists have more than {MAX_BYTES >> 20} MiB in all: remove one.")
    sql = (
        "INSERT INTO fingerprint_bundles VALUES (?, ?, ?, ?) ON CONFLICT (publisher) DO UPDATE SET "
        "version = excluded.version, signed = excluded.signed, charter = excluded.charter "
        "WHERE ? OR excluded.version > version"
    )
    if not fleet.change_row(sql, publisher, version, content, charter, int(replaces_any)):
        raise ListsError("Another command changed the lists meanwhile: try again.")
    return content
