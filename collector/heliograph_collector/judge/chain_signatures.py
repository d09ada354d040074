"""Signatures of chains, checked again by the bytes of their certificates.

An agent keeps the bytes of certificates that did not verify (`Measurement.certificates`). Its own
judgment may be wrong: its list of authorities may be old, its clock may be off. And a name alone
proves nothing: an interceptor may call an issuer by the name of a public authority.
"""

import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache, lru_cache
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from heliograph.observation import Certificate
from heliograph_collector.judge.public_roots import ChainKind

MAX_DEPTH = 8  # signatures on the way to a root; more are not followed, so a chain costs little
CACHE_SIZE = 512  # chains; one interceptor shows few; assumed
# What the parser and the signatures raise for hostile bytes.
_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound)


def select_bytes(
    chain: Sequence[Certificate], by_digest: Mapping[str, bytes]
) -> tuple[bytes, ...] | None:
    """Return the bytes of a whole chain, None where some were not kept."""
    found = tuple(by_digest[c.sha256] for c in chain[: MAX_DEPTH + 1] if c.sha256 in by_digest)
    return found if found and len(found) == len(chain) else None


@lru_cache(CACHE_SIZE)
def find_signed_kind(chain: tuple[bytes, ...]) -> ChainKind:
    """Find whose a chain is by its signatures, leaf first."""
    try:
        current, *others = _parse_chain(chain)
        for _ in range(MAX_DEPTH):
            roots = _index_roots().get(current.issuer.public_bytes(), ())
            if any(_is_signed_by(current, root) for root in roots):
                return ChainKind.PUBLIC
            if current.issuer == current.subject:
                return ChainKind.PRIVATE
            issuer = next((o for o in others if _is_signed_by(current, o)), None)
            if issuer is None:
                # A public authority's name, and not its signature.
                return ChainKind.PRIVATE if roots else ChainKind.UNDETERMINED
            current = issuer
    except _ERRORS:
        pass
    return ChainKind.UNDETERMINED


@lru_cache(CACHE_SIZE)
def proves_name(chain: tuple[bytes, ...], name: str) -> bool:
    """Return whether a chain proves a name by the public roots, at a time when its leaf was valid.

    The agent's clock may be why it did not verify, so the present time is not asked for.
    """
    try:
        leaf, *others = _parse_chain(chain)
        # certificates of servers live 398 days at most: the others were valid at their beginning
        policy = PolicyBuilder().store(_build_store()).max_chain_depth(MAX_DEPTH)
        valid_at = leaf.not_valid_before_utc.replace(tzinfo=None) + timedelta(hours=1)
        verifier = policy.time(valid_at).build_server_verifier(x509.DNSName(name))
        verifier.verify(leaf, others)
    except (VerificationError, *_ERRORS):
        return False
    return True


def _parse_chain(chain: Sequence[bytes]) -> list[x509.Certificate]:
    with warnings.catch_warnings():  # what is odd about a certificate is no news for the operator
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return [x509.load_der_x509_certificate(der) for der in chain]


def _is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_ERRORS):
        return False
    return True


@cache
def _load_roots() -> list[x509.Certificate]:
    with warnings.catch_warnings():  # some roots have serial numbers of an older fashion
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return x509.load_pem_x509_certificates(Path(certifi.where()).read_bytes())


@cache
def _index_roots() -> Mapping[bytes, list[x509.Certificate]]:
    roots: dict[bytes, list[x509.Certificate]] = {}
    for root in _load_roots():
        roots.setdefault(root.subject.public_bytes(), []).append(root)
    return roots


@cache
def _build_store() -> Store:
    return Store(_load_roots())
