"""Load trust anchors by name: "" for the public set, else a service with roots.

The roots of the signed list count in place of those of the list that came with this program, so
that a service may change its authority between two releases. "any" is for servers whose certificate
cannot verify: Tor's relays, which are self-signed, and a neutral server that receives another
server's name.
"""

import re
import ssl
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509 import Certificate

ANY = "any"
_MAX_FILE = 4 * 1024 * 1024
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.{1,65536}?-----END CERTIFICATE-----", re.DOTALL)


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Suppress the warnings about sloppy certificates, which would fill the log."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@suppress_warnings()
def load_certificate(der: bytes) -> "x509.Certificate | None":
    """Load a certificate; None when it cannot be read."""
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der)
    except parse_errors():
        return None


@cache
def parse_errors() -> tuple[type[Exception], ...]:
    """Return the errors that cryptography raises for a bad certificate.

    A certificate is bad when it, or a part of it, cannot be read or verified. TypeError: a
    signature by a type of key that cannot sign certificates. KeyError: a name whose type of string
    is unknown.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    return (
        ValueError,
        TypeError,
        KeyError,
        InvalidSignature,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    )


class Roots:
    """Index a set of anchors by subject."""

    def __init__(self, anchors: "tuple[Certificate, ...]") -> None:
        self.anchors = anchors
        self._by_subject: dict[bytes, list[Certificate]] = {}
        for anchor in anchors:
            self._by_subject.setdefault(anchor.subject.public_bytes(), []).append(anchor)

    def find_by_subject(self, subject: bytes) -> "list[Certificate]":
        """Return the anchors with this subject (DER of the name)."""
        return self._by_subject.get(subject, [])


class TrustStore:
    """Load each set on first use and keep it. `listed` are roots (DER) by service."""

    def __init__(
        self, ca_file: str = "", listed: Mapping[str, Sequence[bytes]] | None = None
    ) -> None:
        self._ca_file = ca_file
        self._listed = {name: roots for name, roots in (listed or {}).items() if roots}
        self._roots_by_name: dict[str, Roots] = {}

    def has_set(self, trust: str) -> bool:
        """Tell whether `select_roots` knows this name."""
        return trust in ("", ANY) or trust in self._list_sets()

    def _list_sets(self) -> dict[str, Sequence[bytes]]:
        return {**load_shipped_sets(), **self._listed}

    def select_roots(self, trust: str) -> Roots | None:
        """Load a set as `load_roots` does; None when nothing is verified."""
        return None if trust == ANY else self.load_roots(trust)

    def load_roots(self, trust: str) -> Roots:
        """Load a set. Raises ValueError, naming the sets, when none has this name."""
        if trust not in self._roots_by_name:
            own = _read_certificates(Path(self._ca_file)) if self._ca_file else []
            self._roots_by_name[trust] = Roots((*self._load_set(trust), *own))
        return self._roots_by_name[trust]

    def _load_set(self, trust: str) -> "list[Certificate]":
        if not trust:
            import certifi

            return _read_certificates(Path(certifi.where()))
        sets = self._list_sets()
        if trust not in sets:
            raise ValueError(
                f"trust: no CA set is named {trust!r}; the sets are: {', '.join(sorted(sets))}"
            )
        return [root for der in sets[trust] if (root := load_certificate(der)) is not None]


@cache
def load_shipped_sets() -> Mapping[str, Sequence[bytes]]:
    """Load the roots of the list that came with this program, by service."""
    from heliograph.services import load_shipped_services

    return {s.name: s.roots for s in load_shipped_services().services if s.roots}


def _read_certificates(file: Path) -> "list[Certificate]":
    """Read PEM certificates. Raises ValueError, naming the file, when it has none."""
    try:
        with file.open("rb") as pem:
            blocks = _BLOCK.findall(pem.read(_MAX_FILE))
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror}); see net.ca_file") from error
    certificates = [
        certificate
        for block in blocks
        if (certificate := load_certificate(_decode_pem(block))) is not None
    ]
    if not certificates:
        raise ValueError(f"{file}: holds no PEM certificate; see net.ca_file")
    return certificates


def _decode_pem(block: bytes) -> bytes:
    """Decode a PEM block; b"" when it is not Base64."""
    try:
        return ssl.PEM_cert_to_DER_cert(block.decode("ascii"))
    except ValueError:
        return b""
