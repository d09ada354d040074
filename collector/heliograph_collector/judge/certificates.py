"""Extract features from certificates that did not verify."""

from collections.abc import Iterable, Iterator

from heliograph.failure import Failure, Operation
from heliograph.observation import Certificate
from heliograph_collector.judge.deciding_failure import DecidingFailure
from heliograph_collector.judge.endpoint_view import EndpointView, ObservedStep
from heliograph_collector.judge.failure_semantics import CERTIFICATE_FAILURES
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.fingerprints import find_interceptor

HANDSHAKES = (Operation.TLS_HANDSHAKE, Operation.QUIC_HANDSHAKE)


def extract_certificate_features(
    control: EndpointView, deciding_failure: DecidingFailure | None
) -> Iterator[Feature]:
    if deciding_failure is None or deciding_failure.failure not in CERTIFICATE_FAILURES:
        return
    leaves = _list_leaves(deciding_failure.steps)
    control_steps = [s for operation in HANDSHAKES for s in control.find_steps(operation)]
    control_leaves = _list_leaves(s for s in control_steps if s.has_succeeded)
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
    leaves = _list_leaves(deciding_failure.steps)
    return next((leaf.issuer for leaf in leaves if leaf.issuer), "")


def _list_leaves(steps: Iterable[ObservedStep]) -> list[Certificate]:
    return [
        s.observation.tls.chain[0] for s in steps if s.observation.tls and s.observation.tls.chain
    ]


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
