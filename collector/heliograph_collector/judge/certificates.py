"""Extract features from certificates that did not verify."""

from collections.abc import Iterator

from heliograph.failure import Failure, Operation
from heliograph.observation import Certificate
from heliograph_collector.judge.deciding_failure import DecidingFailure
from heliograph_collector.judge.endpoint_view import EndpointView, ObservedStep
from heliograph_collector.judge.failure_semantics import CERTIFICATE_FAILURES
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.signatures import find_interceptor

HANDSHAKES = (Operation.TLS_HANDSHAKE, Operation.QUIC_HANDSHAKE)


def extract_certificate_features(
    control: EndpointView, deciding_failure: DecidingFailure | None
) -> Iterator[Feature]:
    if deciding_failure is None or deciding_failure.failure not in CERTIFICATE_FAILURES:
        return
    leaves = [leaf for s in deciding_failure.steps if (leaf := get_leaf(s)) is not None]
    control_steps = [
        s for operation in HANDSHAKES for s in control.find_steps(operation) if s.has_succeeded
    ]
    control_leaves = [leaf for s in control_steps if (leaf := get_leaf(s)) is not None]
    if not leaves:
        yield Feature.NO_CHAIN
    if any(a.spki_sha256 == b.spki_sha256 for a in leaves for b in control_leaves):
        yield Feature.SAME_KEY
    if any(_is_same_issuer(a.issuer, b.issuer) for a in leaves for b in control_leaves):
        yield Feature.SAME_ISSUER
    is_untrusted = deciding_failure.failure is Failure.SSL_UNKNOWN_AUTHORITY
    if is_untrusted and any(_names_requested_host(step) for step in deciding_failure.steps):
        yield Feature.FORGED_FOR_HOST
    if any(find_interceptor(leaf.issuer) for leaf in leaves):
        yield Feature.OWN_INTERCEPTOR


def _is_same_issuer(issuer: str, other_issuer: str) -> bool:
    """Return whether both issuers, whose keys may differ, share an organization."""
    return issuer == other_issuer or bool(
        _get_name_values("O", issuer) & _get_name_values("O", other_issuer)
    )


def get_issuer(deciding_failure: DecidingFailure | None) -> str:
    """Return the issuer of the certificate that did not verify, "" if unknown."""
    if deciding_failure is None or deciding_failure.failure not in CERTIFICATE_FAILURES:
        return ""
    leaves = (get_leaf(s) for s in deciding_failure.steps)
    return next((leaf.issuer for leaf in leaves if leaf and leaf.issuer), "")


def get_leaf(step: ObservedStep) -> Certificate | None:
    return (
        step.observation.tls.chain[0]
        if step.observation.tls and step.observation.tls.chain
        else None
    )


def _names_requested_host(step: ObservedStep) -> bool:
    """Return whether the forged leaf certificate names the requested host."""
    leaf = get_leaf(step)
    tls = step.observation.tls
    if leaf is None or tls is None or not tls.server_name:
        return False
    host = tls.server_name.lower().rstrip(".")
    wildcard = "*." + host.partition(".")[2]
    return any(name in (host, wildcard) for name in _get_name_values("CN", leaf.subject))


def _get_name_values(kind: str, subject: str) -> set[str]:
    """Return the lower-case values of one attribute, as CN or O, in an RFC 4514 name."""
    parts = (part.strip() for part in subject.replace("\\,", " ").replace("+", ",").split(","))
    attributes = (part.partition("=") for part in parts)
    return {value.lower() for key, _, value in attributes if key.upper() == kind and value}
