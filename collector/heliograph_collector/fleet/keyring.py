"""Keyring: the collector's keys, one file each in DATA/keys, created on first use.

A file appears complete or not at all, so `invite` and `serve` may both be the first to start. Keys
that a charter has replaced are in DATA/keys/earlier, because envelopes sealed to them still come.
"""

import hashlib
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heliograph.durable_file import create_file, move_file, replace_file
from heliograph.keys import SealingKey, SigningKey
from heliograph_collector.fleet.certificate import encode_public_key, make_certificate, read_hosts

_MAX_FILE_BYTES = 65_536


class KeysError(Exception):
    """Error for unusable keys; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Keyring:
    signing: SigningKey  # signs plans and receipts by file
    sealing: SealingKey  # opens envelopes
    log: SigningKey  # signs alerts; never replaced, so that the log stays provable
    secret: bytes  # 32 bytes; keys pseudonyms, result ids and prefix hashes
    tls: bytes  # PEM, private key then certificate

    @property
    def tls_key(self) -> bytes:
        return self.tls[: self.tls.index(b"-----BEGIN CERTIFICATE")]

    @property
    def tls_certificate(self) -> bytes:
        return self.tls[self.tls.index(b"-----BEGIN CERTIFICATE") :]

    @property
    def pin(self) -> bytes:
        """Return the SHA-256 of the certificate's SubjectPublicKeyInfo, as in an invite."""
        return hashlib.sha256(encode_public_key(self.tls_certificate)).digest()


def open_keyring(data: Path, hosts: Sequence[str]) -> Keyring:
    """Open the keys in `data`; create missing ones with `hosts` in the certificate.

    Raises KeysError, OSError.
    """
    folder = _make_folder(data / "keys")
    try:
        return _load_keyring(folder, hosts)
    except ValueError as error:
        raise KeysError(
            f"A key in {folder} is damaged ({error}): restore the folder from a backup."
        ) from error


def read_secret(data: Path) -> bytes:
    """Read the secret of a collector that has one. Raises KeysError."""
    file = data / "keys" / "secret.key"
    try:
        return _read_file(file)
    except OSError as error:
        raise KeysError(
            f"{file} cannot be read ({error.strerror}): name the --data directory of a collector."
        ) from error


def root_key_file(data: Path) -> Path:
    """Return the file of the key that signs charters; it may be kept offline."""
    return data / "keys" / "root.key"


def load_signing_key(file: Path, *, make: bool = False) -> SigningKey:
    """Load a 32-byte key; create a missing one if `make`. Raises KeysError."""
    try:
        secret = _read_or_create(file, secrets.token_bytes(32)) if make else file.read_bytes()
        return SigningKey(secret)
    except OSError as error:
        raise KeysError(f"{file} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise KeysError(f"{file} holds no key of ours: 32 bytes are wanted.") from error


def create_next_pair(data: Path) -> tuple[SigningKey, SealingKey]:
    """Create the next key pair, synced to disk before it is announced."""
    folder = _make_folder(data / "keys" / "next")
    signing = SigningKey(_read_or_create(folder / "signing.key", secrets.token_bytes(32)))
    return signing, SealingKey(_read_or_create(folder / "sealing.key", secrets.token_bytes(32)))


def names_next_pair(data: Path, sealing_key: bytes, plan_keys: Sequence[bytes]) -> bool:
    """Return whether a charter with these keys replaces the present pair by the next.

    After an interruption one of the two files may be the present one already.
    """
    folder = data / "keys" / "next"
    sealing_file = folder / "sealing.key"
    signing_file = folder / "signing.key"
    if sealing_file.exists():
        return SealingKey(sealing_file.read_bytes()).public == sealing_key
    return signing_file.exists() and load_signing_key(signing_file).public in plan_keys


def promote_next_pair(data: Path, number: int) -> None:
    """Make the next pair the present one, and keep the present one under `number`.

    The operation can be interrupted at any point and repeated; every key is always in some file.
    """
    folder = data / "keys"
    for name, suffix in (("sealing.key", "sealing"), ("signing.key", "signing")):
        next_file = folder / "next" / name
        current_file = folder / name
        if not next_file.exists():
            continue
        earlier_file = _make_folder(folder / "earlier") / f"{number:06}.{suffix}"
        create_file(earlier_file, current_file.read_bytes())
        move_file(next_file, current_file)


def load_replaced_pairs(data: Path) -> list[tuple[SealingKey, SigningKey]]:
    """Load replaced pairs, newest first. Raises KeysError."""
    files = sorted((data / "keys" / "earlier").glob("*.sealing"), reverse=True)
    try:
        return [
            (SealingKey(file.read_bytes()), load_signing_key(file.with_suffix(".signing")))
            for file in files
        ]
    except (OSError, ValueError) as error:
        raise KeysError(f"{data / 'keys' / 'earlier'} is damaged: restore it.") from error


def delete_replaced_pairs(data: Path) -> None:
    for suffix in ("sealing", "signing"):
        for file in (data / "keys" / "earlier").glob(f"*.{suffix}"):
            file.unlink()


class SealingKeys:
    """All keys that envelopes may be sealed to, by id. Safe from any thread.

    An unknown id reloads the files, because a command may have created a key since.
    """

    def __init__(self, data: Path) -> None:
        self._lock = threading.Lock()
        self._data = data
        self._keys: dict[bytes, SealingKey] = {}

    def find(self, key_id: bytes) -> SealingKey | None:
        if key_id not in self._keys:
            with self._lock:
                self._reload()
        return self._keys.get(key_id)

    def list_all(self) -> tuple[SealingKey, ...]:
        """List all keys, for data that does not name its key."""
        with self._lock:
            self._reload()
            return tuple(self._keys.values())

    def _reload(self) -> None:
        folder = self._data / "keys"
        files = (folder / "sealing.key", folder / "next" / "sealing.key")
        for file in (*files, *(folder / "earlier").glob("*.sealing")):
            try:
                key = SealingKey(file.read_bytes()[:_MAX_FILE_BYTES])
            except (OSError, ValueError):
                continue
            self._keys[key.id] = key


def tls_file(data: Path) -> Path:
    """Return the file of `Keyring.tls`, for libraries that read only files."""
    return data / "keys" / "tls.pem"


def _load_keyring(folder: Path, hosts: Sequence[str]) -> Keyring:
    signing = _read_or_create(folder / "signing.key", secrets.token_bytes(32))
    return Keyring(
        signing=SigningKey(signing),
        log=SigningKey(_read_or_create(folder / "log.key", signing)),
        sealing=SealingKey(_read_or_create(folder / "sealing.key", secrets.token_bytes(32))),
        secret=_read_or_create(folder / "secret.key", secrets.token_bytes(32)),
        tls=_load_tls(folder / "tls.pem", hosts),
    )


def _load_tls(file: Path, hosts: Sequence[str]) -> bytes:
    """Load the TLS key with a certificate that covers all `hosts`; the pin stays.

    Agents send a host's name only where the certificate contains it. A running `serve` keeps its
    certificate until its next start.
    """
    if not file.exists():
        create_file(file, make_certificate(hosts))
    pem = _read_file(file)
    certificate_at = pem.index(b"-----BEGIN CERTIFICATE")
    known_hosts = read_hosts(pem[certificate_at:])
    if all(host in known_hosts for host in hosts):
        return pem
    renewed = make_certificate([*known_hosts, *hosts], pem[:certificate_at])
    replace_file(file, renewed)
    return renewed


def ensure_password_file(data: Path) -> Path:
    """Return the file of the operator's password; create it if missing."""
    file = _make_folder(data / "keys") / "operator.password"
    _read_or_create(file, secrets.token_urlsafe(18).encode() + b"\n")
    return file


def _make_folder(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _read_or_create(file: Path, new_content: bytes) -> bytes:
    """Read a file, or create it with `new_content` if it is missing."""
    if not file.exists():
        create_file(file, new_content)
    return _read_file(file)


def _read_file(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_MAX_FILE_BYTES)
