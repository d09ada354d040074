"""Load trust anchors by name: "" is the public set, others are shipped files.

"any" is for those whose certificate cannot fit: Tor's relays, which sign for themselves, and a
neutral server that is shown a stranger's name.
"""

import re
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509 import Certificate

ANY = "any"
_SHIPPED = Path(__file__).parent / "trust"
_MAX_FILE = 4 * 1024 * 1024
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.{1,65536}?-----END CERTIFICATE-----", re.DOTALL)


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Sloppy certificates are everywhere, and a warning for each would fill a volunteer's log."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@suppress_warnings()
def load_certificate(der: bytes) -> "x509.Certificate | None":
    """The certificate; None when it cannot be read."""
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der)
    except parse_errors():
        return None


@cache
def parse_errors() -> tuple[type[Exception], ...]:
    """What cryptography raises on a certificate, or a part of one, that it cannot read or believe.

    TypeError: a signature by a kind of key that signs no certificates.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    return (
        ValueError,
        TypeError,
        InvalidSignature,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    )


class Roots:
    """A set of anchors, found by subject."""

    def __init__(self, anchors: "tuple[Certificate, ...]") -> None:
        self.anchors = anchors
        self._by_subject: dict[bytes, list[Certificate]] = {}
        for anchor in anchors:
            self._by_subject.setdefault(anchor.subject.public_bytes(), []).append(anchor)

    def find_by_subject(self, subject: bytes) -> "list[Certificate]":
        """The anchors with this subject (DER of the name)."""
        return self._by_subject.get(subject, [])


class TrustStore:
    """Loads a set when it is first asked for and keeps it."""

    def __init__(self, ca_file: str = "") -> None:
        self._ca_file = ca_file
        self._roots_by_name: dict[str, Roots] = {}

    def select_roots(self, trust: str) -> Roots | None:
        """As `load_roots`; None when nothing is to be verified."""
        return None if trust == ANY else self.load_roots(trust)

    def load_roots(self, trust: str) -> Roots:
        """Raises ValueError, naming the sets there are, when none has this name."""
        if trust not in self._roots_by_name:
            files = [_find_file(trust), *([Path(self._ca_file)] if self._ca_file else [])]
            self._roots_by_name[trust] = Roots(
                tuple(c for file in files for c in _read_certificates(file))
            )
        return self._roots_by_name[trust]


@cache
def shipped_sets() -> tuple[str, ...]:
    """The names `trust` may have beside ""."""
    return tuple(sorted(file.stem for file in _SHIPPED.glob("*.pem")))


def _find_file(trust: str) -> Path:
    if not trust:
        import certifi

        return Path(certifi.where())
    if trust not in shipped_sets():
        raise ValueError(
            f"trust: no CA set is named {trust!r}; the sets are: {', '.join(shipped_sets())}"
        )
    return _SHIPPED / f"{trust}.pem"


def _read_certificates(file: Path) -> "list[Certificate]":
    """Raises ValueError, naming the file, when it holds no certificate."""
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
    """The bytes in the armour; b"" when they are not Base64."""
    try:
        return ssl.PEM_cert_to_DER_cert(block.decode("ascii"))
    except ValueError:
        return b""
