"""Trust anchors by name: "" is the public set, "any" none, others are the PEM files in net/trust.

"any" is for those whose certificate cannot fit: Tor's relays, which sign for themselves, and a
neutral server that is shown a stranger's name.
"""

import re
import ssl
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph_agent.net.tls.certificates import load

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

ANY = "any"
_SHIPPED = Path(__file__).parent / "trust"
_MAX_FILE = 4 * 1024 * 1024
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.{1,65536}?-----END CERTIFICATE-----", re.DOTALL)


class Roots:
    """A set of anchors, found by subject."""

    def __init__(self, anchors: "tuple[Certificate, ...]") -> None:
        self.anchors = anchors
        self._by_subject: dict[bytes, list[Certificate]] = {}
        for anchor in anchors:
            self._by_subject.setdefault(anchor.subject.public_bytes(), []).append(anchor)

    def named(self, subject: bytes) -> "list[Certificate]":
        """The anchors with this subject (DER of the name)."""
        return self._by_subject.get(subject, [])


class TrustStore:
    """Loads a set when it is first asked for and keeps it."""

    def __init__(self, ca_file: str = "") -> None:
        self._ca_file = ca_file
        self._loaded: dict[str, Roots] = {}

    def chosen(self, trust: str) -> Roots | None:
        """As `roots`; None when anybody is to be believed."""
        return None if trust == ANY else self.roots(trust)

    def roots(self, trust: str) -> Roots:
        """Raises ValueError, naming the sets there are, when none has this name."""
        if trust not in self._loaded:
            files = [_file_of(trust), *([Path(self._ca_file)] if self._ca_file else [])]
            self._loaded[trust] = Roots(tuple(c for file in files for c in _read(file)))
        return self._loaded[trust]


@cache
def shipped() -> tuple[str, ...]:
    """The names `trust` may have beside ""."""
    return tuple(sorted(file.stem for file in _SHIPPED.glob("*.pem")))


def _file_of(trust: str) -> Path:
    if not trust:
        import certifi

        return Path(certifi.where())
    if trust not in shipped():
        raise ValueError(
            f"trust: no CA set is named {trust!r}; the sets are: {', '.join(shipped())}"
        )
    return _SHIPPED / f"{trust}.pem"


def _read(file: Path) -> "list[Certificate]":
    """Raises ValueError, naming the file, when it holds no certificate."""
    try:
        with file.open("rb") as pem:
            blocks = _BLOCK.findall(pem.read(_MAX_FILE))
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror}); see net.ca_file") from error
    found = [certificate for block in blocks if (certificate := load(_der(block))) is not None]
    if not found:
        raise ValueError(f"{file}: holds no PEM certificate; see net.ca_file")
    return found


def _der(block: bytes) -> bytes:
    """The bytes in the armour; b"" when they are not Base64."""
    try:
        return ssl.PEM_cert_to_DER_cert(block.decode("ascii"))
    except ValueError:
        return b""
