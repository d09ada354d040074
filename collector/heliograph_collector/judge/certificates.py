"""Extract features from certificates that did not verify."""

from collections.abc import Iterable, Iterator

from heliograph.failure import Failure, Operation
from heliograph.observation import Certificate, Tls
from heliograph_collector.judge.chain_signatures import (
    find_signed_kind,
    proves_name,
    select_bytes,
)
from heliograph_collector.judge.deciding_failure import DecidingFailure
from heliograph_collector.judge.endpoint_view import ObservedStep
from heliograph_collector.judge.failure_semantics import CERTIFICATE_FAILURES
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.fingerprints import find_interceptor, match_issuer
from heliograph_collector.judge.public_roots import ChainKind, find_chain_kind, is_valid_at
from heliograph_collector.judge.sides import Sides
from heliograph_collector.model.control_look import VantageProfile

HANDSHAKES = frozenset({Operation.TLS_HANDSHAKE, Operation.QUIC_HANDSHAKE})


def extract_certificate_features(
    sides: Sides, deciding_failure: DecidingFailure | None, clock_us: int
) -> Iterator[Feature]:
    """Yield features of the certificates that failed; `clock_us` is the vantage's own clock."""
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
    if verified and not any(is_valid_at(chain[:1], clock_us) for chain in verified):
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
    """Find whose a chain is by its signatures where its bytes were kept, else by its names."""
    content = select_bytes(chain, sides.vantage_steps.certificates)
    return find_chain_kind(chain) if content is None else find_signed_kind(content)


def _is_proven(step: ObservedStep, sides: Sides) -> bool:
    """Return whether the chain that the agent refused proves the name after all."""
    tls = step.observation.tls
    content = tls and select_bytes(tls.chain, sides.vantage_steps.certificates)
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
    seen: list[Tls] = [s.observation.tls for s in steps if s.observation.tls]
    return [tls.chain for tls in seen if tls.chain and tls.chain[0].sha256]


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
