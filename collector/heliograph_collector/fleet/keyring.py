"""The collector's own keys, one file each in DATA/keys, made the first time they are wanted.

A file appears whole or not at all, so that `invite` and `serve` may both be the first to start.
Keys that a charter has replaced lie in DATA/keys/earlier: envelopes sealed to them still come.
"""

import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from heliograph.keys import SealingKey, SigningKey
from heliograph_collector.fleet.certificate import hosts_of, make_certificate, spki

_MAX_FILE = 65_536


class KeysError(Exception):
    """The keys are there and of no use; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Keyring:
    signing: SigningKey  # plans, receipts by file
    sealing: SealingKey  # what envelopes are sealed to
    log: SigningKey  # alerts; it stays when the others are replaced, so that the log stays provable
    secret: bytes  # 32 bytes: pseudonyms, result ids, prefix hashes
    tls: bytes  # PEM, private key then certificate

    @property
    def tls_key(self) -> bytes:
        return self.tls[: self.tls.index(b"-----BEGIN CERTIFICATE")]

    @property
    def tls_certificate(self) -> bytes:
        return self.tls[self.tls.index(b"-----BEGIN CERTIFICATE") :]

    @property
    def pin(self) -> bytes:
        """SHA-256 of the certificate's SubjectPublicKeyInfo, as it stands in an invite."""
        return hashlib.sha256(spki(self.tls_certificate)).digest()


def open_keyring(data: Path, hosts: Sequence[str]) -> Keyring:
    """The keys in `data`, made now where missing; `hosts` go into the certificate.

    Raises KeysError, OSError.
    """
    folder = data / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return _open(folder, hosts)
    except ValueError as error:
        raise KeysError(
            f"A key in {folder} is damaged ({error}): restore the folder from a backup."
        ) from error


def root_file(data: Path) -> Path:
    """The key that signs charters, as long as nobody has carried it away."""
    return data / "keys" / "root.key"


def signing_key(file: Path, *, make: bool = False) -> SigningKey:
    """Of 32 bytes in a file, drawn now where there are none and `make`. Raises KeysError."""
    try:
        secret = _kept(file, lambda: secrets.token_bytes(32)) if make else file.read_bytes()
        return SigningKey(secret)
    except OSError as error:
        raise KeysError(f"{file} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise KeysError(f"{file} holds no key of ours: 32 bytes are wanted.") from error


def draw_next(data: Path) -> tuple[SigningKey, SealingKey]:
    """The pair that is to replace the present one: on disk, synced, before anybody hears of it."""
    folder = _made(data / "keys" / "next")
    signing = SigningKey(_kept(folder / "signing.key", lambda: secrets.token_bytes(32)))
    return signing, SealingKey(_kept(folder / "sealing.key", lambda: secrets.token_bytes(32)))


def promote_next(data: Path, number: int) -> None:
    """The next pair becomes the present one, and the present one the earlier one of that number.

    It may be broken off anywhere and done again; at no point is a key nowhere.
    """
    folder = data / "keys"
    for name, suffix in (("sealing.key", "sealing"), ("signing.key", "signing")):
        following, present = folder / "next" / name, folder / name
        if not following.exists():
            continue
        _keep(_made(folder / "earlier") / f"{number:06}.{suffix}", present.read_bytes())
        following.replace(present)


def earlier(data: Path) -> list[tuple[SealingKey, SigningKey]]:
    """Replaced pairs, the newest first. Raises KeysError."""
    files = sorted((data / "keys" / "earlier").glob("*.sealing"), reverse=True)
    try:
        return [
            (SealingKey(file.read_bytes()), signing_key(file.with_suffix(".signing")))
            for file in files
        ]
    except (OSError, ValueError) as error:
        raise KeysError(f"{data / 'keys' / 'earlier'} is damaged: restore it.") from error


def forget_earlier(data: Path) -> None:
    for suffix in ("sealing", "signing"):
        for file in (data / "keys" / "earlier").glob(f"*.{suffix}"):
            file.unlink()


class Sealers:
    """Whatever envelopes may be sealed to, by key id. Safe from any thread.

    A key that is not known is looked for on disk again: a command may have drawn it meanwhile.
    """

    def __init__(self, data: Path) -> None:
        self._data, self._lock = data, threading.Lock()
        self._keys: dict[bytes, SealingKey] = {}

    def get(self, key_id: bytes) -> SealingKey | None:
        found = self._keys.get(key_id)
        if found is not None:
            return found
        with self._lock:
            self._look()
            return self._keys.get(key_id)

    def all(self) -> tuple[SealingKey, ...]:
        """Every one, for what does not say which it is sealed to."""
        with self._lock:
            self._look()
            return tuple(self._keys.values())

    def _look(self) -> None:
        folder = self._data / "keys"
        files = (folder / "sealing.key", folder / "next" / "sealing.key")
        for file in (*files, *(folder / "earlier").glob("*.sealing")):
            try:
                key = SealingKey(file.read_bytes()[:_MAX_FILE])
            except (OSError, ValueError):
                continue
            self._keys[key.id] = key


def tls_file(data: Path) -> Path:
    """Where `Keyring.tls` lies, for libraries that read files alone."""
    return data / "keys" / "tls.pem"


def _open(folder: Path, hosts: Sequence[str]) -> Keyring:
    signing = _kept(folder / "signing.key", lambda: secrets.token_bytes(32))
    return Keyring(
        signing=SigningKey(signing),
        log=SigningKey(_kept(folder / "log.key", lambda: signing)),
        sealing=SealingKey(_kept(folder / "sealing.key", lambda: secrets.token_bytes(32))),
        secret=_kept(folder / "secret.key", lambda: secrets.token_bytes(32)),
        tls=_tls(folder / "tls.pem", hosts),
    )


def _tls(file: Path, hosts: Sequence[str]) -> bytes:
    """With a certificate that stands for all of `hosts` too; the key, and so the pin, stays.

    Agents send a host's own name only where the certificate has it. A `serve` under way shows the
    one it began with until its next start.
    """
    found = _kept(file, lambda: make_certificate(hosts))
    at = found.index(b"-----BEGIN CERTIFICATE")
    known = hosts_of(found[at:])
    if all(host in known for host in hosts):
        return found
    renewed = make_certificate([*known, *hosts], found[:at])
    _create(file, renewed, replacing=True)
    return renewed


def open_password(data: Path) -> Path:
    """The file that holds the operator's password, made with a fresh one where missing."""
    file = data / "keys" / "operator.password"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _kept(file, lambda: secrets.token_urlsafe(18).encode() + b"\n")
    return file


def _keep(file: Path, content: bytes) -> None:
    _kept(file, lambda: content)


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _kept(file: Path, make: Callable[[], bytes]) -> bytes:
    if not file.exists():
        _create(file, make())
    with file.open("rb") as stream:
        return stream.read(_MAX_FILE)


def _create(file: Path, content: bytes, *, replacing: bool = False) -> None:
    """Write beside, sync, then link into place: whoever comes second takes the first one's."""
    with NamedTemporaryFile(dir=file.parent, prefix=".new-") as new:  # 0600 by its maker
        new.write(content)
        new.flush()
        os.fsync(new.fileno())
        try:
            if replacing:
                beside = file.with_name(f".renewed-{os.getpid()}")
                os.link(new.name, beside)
                beside.replace(file)
            else:
                os.link(new.name, file)
        except FileExistsError:
            return
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
