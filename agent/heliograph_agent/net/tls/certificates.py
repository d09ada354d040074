"""What a certificate chain says, and whether it holds.

The check is our own and lenient on form, because its answer is evidence, not protection: a
library made to refuse (RFC 5280 to the letter) calls a sloppy but honest certificate invalid, and
it stops at the first fault. Checked are: a path of signatures to an anchor, each issuer below it a
CA within its path length and allowed to sign; the dates of the whole path; the server's name. Not
checked: name constraints, policies, revocation.

Of several faults the gravest is reported: an unknown authority (somebody else answered), before a
date (an operator's lapse), before a name (a real certificate of another server). The whole
chain is in the observation, so the collector can judge again.
"""

import hashlib
import ipaddress
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from heliograph.failure import Failure
from heliograph.observation import Certificate

if TYPE_CHECKING:
    from cryptography import x509

    from heliograph_agent.net.tls.trust_store import Roots

_MAX_TEXT = 1_024
_REMEMBERED = 128  # certificates, and chains: some 2 kB each
_MAX_DEPTH = 8
_MAX_SIGNATURES = 64  # checked per chain: a hostile chain must not cost more


@contextmanager
def _quietly() -> Iterator[None]:
    """Sloppy certificates are everywhere, and a warning for each would fill a volunteer's log."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@lru_cache(maxsize=_REMEMBERED)  # the same hosts are asked over and over
@_quietly()
def facts(der: bytes) -> Certificate:
    """What goes into an observation; a certificate that cannot be read keeps its digest."""
    digest = hashlib.sha256(der).hexdigest()
    certificate = load(der)
    if certificate is None:
        return _digest_only(digest)
    try:
        return Certificate(
            sha256=digest,
            spki_sha256=_spki_sha256(certificate).hex() if _has_key(certificate) else "",
            subject=certificate.subject.rfc4514_string()[:_MAX_TEXT],
            issuer=certificate.issuer.rfc4514_string()[:_MAX_TEXT],
            not_before_s=int(certificate.not_valid_before_utc.timestamp()),
            not_after_s=int(certificate.not_valid_after_utc.timestamp()),
        )
    except _unreadable():  # names and dates are parsed when they are asked for
        return _digest_only(digest)


def spki_sha256(der: bytes) -> bytes:
    """The SHA-256 of the public key a certificate carries. Raises ValueError."""
    certificate = load(der)
    if certificate is None or not _has_key(certificate):
        raise ValueError("the server's certificate cannot be read")
    return _spki_sha256(certificate)


def fault(chain: list[bytes], roots: "Roots", name: str, now_s: int) -> Failure | None:
    """Why `chain`, leaf first, does not prove `name` at `now_s`; None when it does."""
    proof = _proof(tuple(chain), roots, name)
    if proof.fault is not None:
        return proof.fault
    if not proof.from_s <= now_s <= proof.until_s:
        return Failure.SSL_INVALID_CERTIFICATE
    return None if proof.named else Failure.SSL_INVALID_HOSTNAME


@dataclass(frozen=True, slots=True)
class _Proof:
    """What a chain proves, but for the moment it is asked at."""

    fault: Failure | None = None
    from_s: float = 0.0  # in force, the whole path of it
    until_s: float = 0.0
    named: bool = False


@lru_cache(maxsize=_REMEMBERED)
@_quietly()
def _proof(chain: tuple[bytes, ...], roots: "Roots", name: str) -> _Proof:
    loaded = [certificate for der in chain if (certificate := load(der)) is not None]
    if not loaded or len(loaded) < len(chain):
        return _Proof(Failure.SSL_INVALID_CERTIFICATE)
    try:
        path = _path(loaded[0], loaded[1:], roots)
        if path is None:
            return _Proof(Failure.SSL_UNKNOWN_AUTHORITY)
        if not _serves(loaded[0]):
            return _Proof(Failure.SSL_INVALID_CERTIFICATE)
        return _Proof(
            from_s=max(each.not_valid_before_utc.timestamp() for each in path),
            until_s=min(each.not_valid_after_utc.timestamp() for each in path),
            named=_names(loaded[0], name),
        )
    except _unreadable():  # an extension that cannot be parsed
        return _Proof(Failure.SSL_INVALID_CERTIFICATE)


@_quietly()
def load(der: bytes) -> "x509.Certificate | None":
    """The certificate; None when it cannot be read."""
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der)
    except _unreadable():
        return None


@cache
def _unreadable() -> tuple[type[Exception], ...]:
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


def _digest_only(digest: str) -> Certificate:
    return Certificate(
        sha256=digest, spki_sha256="", subject="", issuer="", not_before_s=0, not_after_s=0
    )


def _has_key(certificate: "x509.Certificate") -> bool:
    """Whether its key is of a kind that can be read."""
    try:
        certificate.public_key()
    except _unreadable():
        return False
    return True


def _spki_sha256(certificate: "x509.Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).digest()


class _Search:
    """Depth first from the leaf to an anchor, over the certificates the peer sent."""

    def __init__(self, sent: "list[x509.Certificate]", roots: "Roots") -> None:
        self._sent = sent
        self._roots = roots
        self._signatures = 0

    def path(self, below: "list[x509.Certificate]") -> "list[x509.Certificate] | None":
        last = below[-1]
        if any(anchor == last for anchor in self._roots.named(last.subject.public_bytes())):
            return below
        if len(below) > _MAX_DEPTH:
            return None
        issuer = last.issuer.public_bytes()
        for anchor in self._roots.named(issuer):
            if self._signs(anchor, last):
                return [*below, anchor]
        for sent in self._sent:
            fits = sent.subject.public_bytes() == issuer and sent not in below
            if fits and _may_sign(sent, len(below) - 1) and self._signs(sent, last):
                found = self.path([*below, sent])
                if found is not None:
                    return found
        return None

    def _signs(self, issuer: "x509.Certificate", subject: "x509.Certificate") -> bool:
        self._signatures += 1
        if self._signatures > _MAX_SIGNATURES:
            return False
        try:
            subject.verify_directly_issued_by(issuer)
        except _unreadable():
            return False
        return True


def _path(
    leaf: "x509.Certificate", sent: "list[x509.Certificate]", roots: "Roots"
) -> "list[x509.Certificate] | None":
    return _Search(sent, roots).path([leaf])


def _may_sign(issuer: "x509.Certificate", cas_below: int) -> bool:
    """A CA, within its path length, whose key usage does not forbid it."""
    from cryptography import x509

    try:
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    if not basic.ca or (basic.path_length is not None and cas_below > basic.path_length):
        return False
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _serves(leaf: "x509.Certificate") -> bool:
    """Whether the leaf may stand for a server, as far as it says what it may."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID as Oid

    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return any(oid in (Oid.SERVER_AUTH, Oid.ANY_EXTENDED_KEY_USAGE) for oid in usage)


def _names(leaf: "x509.Certificate", name: str) -> bool:
    """RFC 6125: the subject alternative names alone; a wildcard is a whole leftmost label."""
    from cryptography import x509

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return any(_matches(each, name) for each in names.get_values_for_type(x509.DNSName))
    return address in names.get_values_for_type(x509.IPAddress)


def _matches(pattern: str, name: str) -> bool:
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if not pattern.startswith("*."):
        return pattern == name
    first, _, rest = name.partition(".")
    return bool(first) and rest == pattern[2:] and "." in rest
