"""Extract features from certificates that did not verify.

Observations hold the facts of a chain. The agent checked its signatures and named the fault. Its
names and keys show whether it ends at a root that browsers trust, and its dates whether they
include a time.

An agent keeps the bytes of certificates that did not verify (`Measurement.certificates`), so that
signatures are checked again here. Its own judgment may be wrong: its list of authorities may be
old, its clock may be off. And a name alone proves nothing: an interceptor may call an issuer by the
name of a public authority.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache, lru_cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from heliograph.failure import CERTIFICATE_FAILURES, HANDSHAKES, Failure
from heliograph.observation import Certificate, Tls
from heliograph_collector.judge.deciding_failure import DecidingFailure
from heliograph_collector.judge.endpoint_view import ObservedStep
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.fingerprints import find_interceptor, match_issuer
from heliograph_collector.judge.sides import Sides
from heliograph_collector.model.control_look import VantageProfile

MAX_DEPTH = 8  # signatures on the way to a root; more are not followed, so a chain costs little
CACHE_SIZE = 512  # chains; one interceptor shows few; assumed
# Errors of the parser and the signatures for hostile bytes.
_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound)


class ChainKind(StrEnum):
    """Kind of a chain's issuer, as far as the chain is stored."""

    PUBLIC = "public"  # it ends at a public root
    PRIVATE = "private"  # it ends at an authority that is no public root
    UNDETERMINED = "undetermined"  # it ends before any root


@dataclass(frozen=True, slots=True)
class _PublicRoots:
    """Names and keys of the public roots."""

    subjects: frozenset[str]  # RFC 4514
    keys: frozenset[str]  # SHA-256 of the public key


def extract_certificate_features(
    sides: Sides, deciding_failure: DecidingFailure | None, clock_us: int
) -> Iterator[Feature]:
    """Yield features of the certificates that failed.

    `clock_us` is the time by the vantage's clock.
    """
    if deciding_failure is None or deciding_failure.failure not in CERTIFICATE_FAILURES:
        return
    chains = _list_chains(deciding_failure.steps)
    verified = _list_verified(sides)
    leaves = [chain[0] for chain in chains]
    if not leaves:
        yield Feature.NO_CHAIN
    if leaves and all(_is_proven(step, sides) for step in deciding_failure.steps):
        yield Feature.CHAIN_PROVEN
    if any(a.spki_sha256 == chain[0].spki_sha256 for a in leaves for chain in verified):
        yield Feature.SAME_KEY
    yield from _compare_issuers(leaves, verified)
    if verified and not any(_is_valid_at(chain[:1], clock_us) for chain in verified):
        yield Feature.CLOCK_OFF
    is_untrusted = deciding_failure.failure is Failure.SSL_UNKNOWN_AUTHORITY
    if is_untrusted and any(_names_requested_host(step) for step in deciding_failure.steps):
        yield Feature.FORGED_FOR_HOST
    # OONI's probe checks the name first, as Go does (crypto/x509, Certificate.Verify), and then
    # says nothing of the issuer. Our agent checks the chain first, as OpenSSL does.
    is_other_name = deciding_failure.failure is Failure.SSL_INVALID_HOSTNAME
    is_unproven = is_untrusted or (is_other_name and sides.is_imported)
    yield from _find_issuer_features(sides, chains, is_unproven=is_unproven)


def _compare_issuers(
    leaves: list[Certificate], verified: list[tuple[Certificate, ...]]
) -> Iterator[Feature]:
    namesakes = [c for c in verified if any(_is_same_issuer(a.issuer, c[0].issuer) for a in leaves)]
    if namesakes:
        yield Feature.SAME_ISSUER
    if any(find_chain_kind(chain) is not ChainKind.PUBLIC for chain in namesakes):
        yield Feature.OWN_AUTHORITY_NAMED


def _find_issuer_features(
    sides: Sides, chains: list[tuple[Certificate, ...]], *, is_unproven: bool
) -> Iterator[Feature]:
    issuers = [chain[0].issuer for chain in chains]
    own_issuer = sides.profile.own_interceptor_issuer
    if any(find_interceptor(i) or (own_issuer and _is_same_issuer(i, own_issuer)) for i in issuers):
        yield Feature.OWN_INTERCEPTOR
    elif any(_is_state_issuer(i, sides.profile) for i in issuers):
        yield Feature.STATE_ISSUER
    kinds = {_find_kind(chain, sides) for chain in chains}
    if ChainKind.PRIVATE in kinds or (is_unproven and chains and ChainKind.PUBLIC not in kinds):
        yield Feature.PRIVATE_ISSUER


def _find_kind(chain: tuple[Certificate, ...], sides: Sides) -> ChainKind:
    """Find the kind of a chain's issuer.

    It is decided by signatures if the chain's bytes were kept, else by names.
    """
    content = _select_bytes(chain, sides.vantage_steps.certificates)
    return find_chain_kind(chain) if content is None else find_signed_kind(content)


def _is_proven(step: ObservedStep, sides: Sides) -> bool:
    """Return whether the chain that the agent refused proves the name after all."""
    tls = step.observation.tls
    content = tls and _select_bytes(tls.chain, sides.vantage_steps.certificates)
    name = tls.server_name.lower().rstrip(".") if tls else ""
    return bool(content and name) and proves_name(content or (), name)


def _is_state_issuer(issuer: str, profile: VantageProfile) -> bool:
    fingerprint = match_issuer(issuer)
    is_known = fingerprint is not None and fingerprint.is_blocking
    return is_known or issuer in profile.shared_issuers


def _is_same_issuer(issuer: str, other_issuer: str) -> bool:
    """Return whether both issuers, whose keys may differ, share an organization."""
    return issuer == other_issuer or bool(
        _get_name_values("O", issuer) & _get_name_values("O", other_issuer)
    )


def get_issuer(deciding_failure: DecidingFailure | None) -> str:
    """Return the issuer of the certificate that did not verify, "" if unknown."""
    if deciding_failure is None or deciding_failure.failure not in CERTIFICATE_FAILURES:
        return ""
    chains = _list_chains(deciding_failure.steps)
    return next((chain[0].issuer for chain in chains if chain[0].issuer), "")


def _list_chains(steps: Iterable[ObservedStep]) -> list[tuple[Certificate, ...]]:
    """List the chains that were stored; a leaf without a digest stands for none."""
    handshakes: list[Tls] = [s.observation.tls for s in steps if s.observation.tls]
    return [tls.chain for tls in handshakes if tls.chain and tls.chain[0].sha256]


def _list_verified(sides: Sides) -> list[tuple[Certificate, ...]]:
    """List the chains of the name that verified for the control."""
    steps = [s for operation in HANDSHAKES for s in sides.control.find_steps(operation)]
    return _list_chains(s for s in steps if s.has_succeeded)


def _names_requested_host(step: ObservedStep) -> bool:
    tls = step.observation.tls
    if tls is None or not tls.chain or not tls.server_name:
        return False
    host = tls.server_name.lower().rstrip(".")
    wildcard = "*." + host.partition(".")[2]
    return not _get_name_values("CN", tls.chain[0].subject).isdisjoint((host, wildcard))


def _get_name_values(kind: str, subject: str) -> set[str]:
    """Return the lower-case values of one attribute, as CN or O, in an RFC 4514 name."""
    parts = (part.strip() for part in subject.replace("\\,", " ").replace("+", ",").split(","))
    attributes = (part.partition("=") for part in parts)
    return {value.lower() for key, _, value in attributes if key.upper() == kind and value}


def _select_bytes(
    chain: Sequence[Certificate], by_digest: Mapping[str, bytes]
) -> tuple[bytes, ...] | None:
    """Return the bytes of a whole chain, None where some were not kept."""
    certificates = tuple(
        by_digest[c.sha256] for c in chain[: MAX_DEPTH + 1] if c.sha256 in by_digest
    )
    return certificates if certificates and len(certificates) == len(chain) else None


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
    """Return whether a chain proved a name by public roots while its leaf was valid.

    The agent's clock may be why it did not verify, so the present time is not used.
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


@cache
def _load_public_roots() -> _PublicRoots:
    """Load the roots of Mozilla's list, which certifi ships."""
    roots = _load_roots()
    with warnings.catch_warnings():  # some roots have serial numbers of an older fashion
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        subjects = frozenset(root.subject.rfc4514_string() for root in roots)
    return _PublicRoots(subjects, frozenset(map(_hash_key, roots)))


def _hash_key(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(key).hexdigest()


def find_chain_kind(chain: Sequence[Certificate]) -> ChainKind:
    """Find whose a chain is, leaf first; a chain without certificates is undetermined."""
    if not chain or not chain[0].sha256:
        return ChainKind.UNDETERMINED
    roots = _load_public_roots()
    if any(certificate.spki_sha256 in roots.keys for certificate in chain):
        return ChainKind.PUBLIC
    top = chain[-1]
    if top.issuer in roots.subjects:
        return ChainKind.PUBLIC
    is_linked = all(a.issuer == b.subject for a, b in pairwise(chain))
    is_complete = is_linked and top.issuer == top.subject
    return ChainKind.PRIVATE if is_complete else ChainKind.UNDETERMINED


def _is_valid_at(chain: Sequence[Certificate], at_us: int) -> bool:
    """Return whether the dates of every certificate include a time."""
    at_s = at_us // 1_000_000
    return all(c.not_before_s <= at_s <= c.not_after_s for c in chain)
