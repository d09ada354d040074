"""Certificate chains against the public roots that browsers trust.

Observations hold the facts of a chain. The agent checked its signatures and named the fault. Its
names and keys tell whether it ends at a public root, and its dates whether they include a time.
`certificates.py` checks signatures again where the bytes were kept.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from heliograph.observation import Certificate


class ChainKind(StrEnum):
    """Whose a chain is, as far as it is stored."""

    PUBLIC = "public"  # it ends at a public root
    PRIVATE = "private"  # it ends at an authority that is no public root
    UNDETERMINED = "undetermined"  # it ends before any root


@dataclass(frozen=True, slots=True)
class PublicRoots:
    """Names and keys of the public roots."""

    subjects: frozenset[str]  # RFC 4514
    keys: frozenset[str]  # SHA-256 of the public key


@cache
def load_public_roots() -> PublicRoots:
    """Load the roots of Mozilla's list, which certifi ships."""
    bundle = Path(certifi.where()).read_bytes()
    with warnings.catch_warnings():  # some roots have serial numbers of an older fashion
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        roots = x509.load_pem_x509_certificates(bundle)
        subjects = frozenset(root.subject.rfc4514_string() for root in roots)
    return PublicRoots(subjects, frozenset(map(_hash_key, roots)))


def _hash_key(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(key).hexdigest()


def find_chain_kind(chain: Sequence[Certificate]) -> ChainKind:
    """Find whose a chain is, leaf first; a chain without certificates is undetermined."""
    if not chain or not chain[0].sha256:
        return ChainKind.UNDETERMINED
    roots = load_public_roots()
    if any(certificate.spki_sha256 in roots.keys for certificate in chain):
        return ChainKind.PUBLIC
    top = chain[-1]
    if top.issuer in roots.subjects:
        return ChainKind.PUBLIC
    is_linked = all(a.issuer == b.subject for a, b in pairwise(chain))
    is_complete = is_linked and top.issuer == top.subject
    return ChainKind.PRIVATE if is_complete else ChainKind.UNDETERMINED


def is_valid_at(chain: Sequence[Certificate], at_us: int) -> bool:
    """Return whether the dates of every certificate include a time."""
    at_s = at_us // 1_000_000
    return all(c.not_before_s <= at_s <= c.not_after_s for c in chain)
