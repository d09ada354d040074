"""The collector's own keys, one file each in DATA/keys, made the first time they are wanted.

A file appears whole or not at all, so that `invite` and `serve` may both be the first to start.
"""

import hashlib
import os
import secrets
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
    signing: SigningKey  # plans
    sealing: SealingKey  # what envelopes are sealed to
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


def tls_file(data: Path) -> Path:
    """Where `Keyring.tls` lies, for libraries that read files alone."""
    return data / "keys" / "tls.pem"


def _open(folder: Path, hosts: Sequence[str]) -> Keyring:
    return Keyring(
        signing=SigningKey(_kept(folder / "signing.key", lambda: secrets.token_bytes(32))),
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
