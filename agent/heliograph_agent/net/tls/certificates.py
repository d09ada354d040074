"""Describe and verify a certificate chain.

The check is our own and lenient on form, because its result is evidence, not protection: a
strict library (RFC 5280 to the letter) rejects a sloppy but honest certificate, and it stops at
the first fault. The check covers a path of signatures to an anchor, in which each issuer below
the anchor is a CA within its path length and allowed to sign; the dates of the whole path; and
the server's name. It does not cover name constraints, policies and revocation.

Of several faults the most severe is reported: an unknown authority (another party answered)
before a date (an operator's mistake) before a name (a real certificate of another server). The
observation holds the whole chain, so that the collector can repeat the judgment.

A signature by SHA-1 or MD5 is not checked, as browsers stopped to in 2017: a chain that could lead
to an anchor by such signatures alone is of a kind that we do not support, and no sign of a forgery.
"""

import hashlib
import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from heliograph.failure import Failure
from heliograph.observation import Certificate
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.tls.trust_store import (
    Roots,
    load_certificate,
    parse_errors,
    suppress_warnings,
)

if TYPE_CHECKING:
    from cryptography import x509

_Extension = TypeVar("_Extension", bound="x509.ExtensionType")
_MAX_TEXT = 1_024
_REMEMBERED = 128  # certificates, and chains: about 2 kB each
_MAX_DEPTH = 8
_MAX_SIGNATURES = 64  # checked per chain: a hostile chain must not cost more


@lru_cache(maxsize=_REMEMBERED)  # the same hosts recur
@suppress_warnings()
def describe_certificate(der: bytes) -> Certificate:
    """Describe a certificate; one that cannot be read has only its digest."""
    digest = hashlib.sha256(der).hexdigest()
    certificate = load_certificate(der)
    if certificate is None:
        return _make_digest_only(digest)
    try:
        return Certificate(
            sha256=digest,
            spki_sha256=_spki_sha256(certificate).hex() if _has_key(certificate) else "",
            subject=certificate.subject.rfc4514_string()[:_MAX_TEXT],
            issuer=certificate.issuer.rfc4514_string()[:_MAX_TEXT],
            not_before_s=int(certificate.not_valid_before_utc.timestamp()),
            not_after_s=int(certificate.not_valid_after_utc.timestamp()),
        )
    except parse_errors():  # names and dates are parsed on access
        return _make_digest_only(digest)


def compute_spki_sha256(der: bytes) -> bytes:
    """Return the SHA-256 of a certificate's public key. Raises ValueError."""
    certificate = load_certificate(der)
    if certificate is None or not _has_key(certificate):
        raise ValueError("the server's certificate cannot be read")
    return _spki_sha256(certificate)


def find_fault(chain: list[bytes], roots: Roots, name: str, now_s: int) -> Failure | None:
    """Return why `chain` (leaf first) does not prove `name` at `now_s`, else None."""
    proof = _evaluate_chain(tuple(chain), roots, name)
    if proof.fault is not None:
        return proof.fault
    if not proof.not_before_s <= now_s <= proof.not_after_s:
        return Failure.SSL_INVALID_CERTIFICATE
    return None if proof.is_name_valid else Failure.SSL_INVALID_HOSTNAME


def check_chain(chain: list[bytes], roots: Roots | None, name: str, now_s: int) -> None:
    """Raise StepError if `chain` does not prove `name`; without `roots` each does."""
    fault = find_fault(chain, roots, name, now_s) if roots else None
    if fault is not None:
        raise StepError(fault)


@dataclass(frozen=True, slots=True)
class _ChainProof:
    """Hold the result of a chain's check, independent of the current time."""

    fault: Failure | None = None
    not_before_s: float = 0.0  # validity of the whole path
    not_after_s: float = 0.0
    is_name_valid: bool = False


@lru_cache(maxsize=_REMEMBERED)
@suppress_warnings()
def _evaluate_chain(chain: tuple[bytes, ...], roots: Roots, name: str) -> _ChainProof:
    certificates = [c for der in chain if (c := load_certificate(der)) is not None]
    if not certificates or len(certificates) < len(chain):
        return _ChainProof(Failure.SSL_INVALID_CERTIFICATE)
    try:
        leaf = certificates[:1]
        sent = certificates[1:]
        path = _PathSearch(sent, roots).find_path(leaf)
        if path is None and _PathSearch(sent, roots, passes_weak=True).find_path(leaf):
            return _ChainProof(Failure.SSL_UNSUPPORTED)
        if path is None:
            return _ChainProof(Failure.SSL_UNKNOWN_AUTHORITY)
        if not _is_server_certificate(certificates[0]):
            return _ChainProof(Failure.SSL_INVALID_CERTIFICATE)
        return _ChainProof(
            not_before_s=max(member.not_valid_before_utc.timestamp() for member in path),
            not_after_s=min(member.not_valid_after_utc.timestamp() for member in path),
            is_name_valid=_is_valid_for_name(certificates[0], name),
        )
    except parse_errors():  # an extension that cannot be parsed
        return _ChainProof(Failure.SSL_INVALID_CERTIFICATE)


def _make_digest_only(digest: str) -> Certificate:
    return Certificate(
        sha256=digest, spki_sha256="", subject="", issuer="", not_before_s=0, not_after_s=0
    )


def _has_key(certificate: "x509.Certificate") -> bool:
    """Tell whether the key is of a kind that can be read."""
    try:
        certificate.public_key()
    except parse_errors():
        return False
    return True


def _spki_sha256(certificate: "x509.Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).digest()


class _PathSearch:
    """Search depth first from the leaf to an anchor, over the peer's certificates.

    With `passes_weak` a signature by SHA-1 or MD5 passes unchecked.
    """

    def __init__(
        self, sent: "list[x509.Certificate]", roots: Roots, *, passes_weak: bool = False
    ) -> None:
        self._sent = sent
        self._roots = roots
        self._passes_weak = passes_weak
        self._signatures = 0

    def find_path(self, path: "list[x509.Certificate]") -> "list[x509.Certificate] | None":
        lowest = path[-1]
        if lowest in self._roots.find_by_subject(lowest.subject.public_bytes()):
            return path
        if len(path) > _MAX_DEPTH:
            return None
        issuer = lowest.issuer.public_bytes()
        for anchor in self._roots.find_by_subject(issuer):
            if self._is_issued_by(anchor, lowest):
                return [*path, anchor]
        named = [c for c in self._sent if c.subject.public_bytes() == issuer and c not in path]
        for candidate in named:
            if _may_sign(candidate, len(path) - 1) and self._is_issued_by(candidate, lowest):
                complete_path = self.find_path([*path, candidate])
                if complete_path is not None:
                    return complete_path
        return None

    def _is_issued_by(self, issuer: "x509.Certificate", subject: "x509.Certificate") -> bool:
        self._signatures += 1
        if self._signatures > _MAX_SIGNATURES:
            return False
        if _has_weak_signature(subject):
            return self._passes_weak
        try:
            subject.verify_directly_issued_by(issuer)
        except parse_errors():
            return False
        return True


def _has_weak_signature(certificate: "x509.Certificate") -> bool:
    from cryptography.hazmat.primitives import hashes

    return isinstance(certificate.signature_hash_algorithm, (hashes.SHA1, hashes.MD5))


def _find_extension(certificate: "x509.Certificate", kind: type[_Extension]) -> _Extension | None:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _may_sign(issuer: "x509.Certificate", cas_below: int) -> bool:
    """Tell whether a CA is within its path length and may sign by its key usage."""
    from cryptography import x509

    basic = _find_extension(issuer, x509.BasicConstraints)
    if basic is None or not basic.ca:
        return False
    if basic.path_length is not None and cas_below > basic.path_length:
        return False
    usage = _find_extension(issuer, x509.KeyUsage)
    return usage is None or usage.key_cert_sign


def _is_server_certificate(leaf: "x509.Certificate") -> bool:
    """Tell whether the leaf's extended key usage, if any, allows a server."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID as Oid

    usage = _find_extension(leaf, x509.ExtendedKeyUsage)
    return usage is None or Oid.SERVER_AUTH in usage or Oid.ANY_EXTENDED_KEY_USAGE in usage


def _is_valid_for_name(leaf: "x509.Certificate", name: str) -> bool:
    """Match subject alternative names (RFC 6125); a wildcard is one whole label."""
    from cryptography import x509

    names = _find_extension(leaf, x509.SubjectAlternativeName)
    if names is None:
        return False
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return any(_matches_pattern(p, name) for p in names.get_values_for_type(x509.DNSName))
    return address in names.get_values_for_type(x509.IPAddress)


def _matches_pattern(pattern: str, name: str) -> bool:
    pattern = pattern.lower().rstrip(".")
    name = name.lower().rstrip(".")
    if not pattern.startswith("*."):
        return pattern == name
    first, _, rest = name.partition(".")
    return bool(first) and rest == pattern[2:] and "." in rest
