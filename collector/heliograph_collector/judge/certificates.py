"""What a certificate that did not verify says of who sits in between."""

from collections.abc import Iterator

from heliograph.failure import Failure, Operation
from heliograph.observation import Certificate
from heliograph_collector.judge.deciding_failure import Failing
from heliograph_collector.judge.endpoint_view import Sight, Step
from heliograph_collector.judge.failure_semantics import CERTIFICATE
from heliograph_collector.judge.feature_names import Sign
from heliograph_collector.judge.signatures import own_interceptor

HANDSHAKES = (Operation.TLS_HANDSHAKE, Operation.QUIC_HANDSHAKE)


def certificate_signs(control: Sight, stopped: Failing | None) -> Iterator[Sign]:
    if stopped is None or stopped.failure not in CERTIFICATE:
        return
    leaves = [leaf for s in stopped.steps if (leaf := leaf_of(s)) is not None]
    shown = [s for operation in HANDSHAKES for s in control.find(operation) if s.ok]
    good = [leaf for s in shown if (leaf := leaf_of(s)) is not None]
    if not leaves:
        yield Sign.NO_CHAIN
    if any(a.spki_sha256 == b.spki_sha256 for a in leaves for b in good):
        yield Sign.SAME_KEY
    if any(_one_issuer(a.issuer, b.issuer) for a in leaves for b in good):
        yield Sign.SAME_ISSUER
    strange = stopped.failure is Failure.SSL_UNKNOWN_AUTHORITY
    if strange and any(_in_its_name(step) for step in stopped.steps):
        yield Sign.IN_ITS_NAME
    if any(own_interceptor(leaf.issuer) for leaf in leaves):
        yield Sign.OWN_INTERCEPTOR


def _one_issuer(one: str, other: str) -> bool:
    """The same, or of one organisation: an authority signs with several keys in turn."""
    return one == other or bool(_named("O", one) & _named("O", other))


def issuer_of(stopped: Failing | None) -> str:
    """Who signed the certificate that did not verify, "" when that is not known."""
    if stopped is None or stopped.failure not in CERTIFICATE:
        return ""
    leaves = (leaf_of(s) for s in stopped.steps)
    return next((leaf.issuer for leaf in leaves if leaf and leaf.issuer), "")


def leaf_of(step: Step) -> Certificate | None:
    return step.seen.tls.chain[0] if step.seen.tls and step.seen.tls.chain else None


def _in_its_name(step: Step) -> bool:
    """Whether the forged leaf names the very host that was asked for: made to pass for it."""
    leaf, tls = leaf_of(step), step.seen.tls
    if leaf is None or tls is None or not tls.server_name:
        return False
    wanted = tls.server_name.lower().rstrip(".")
    wild = "*." + wanted.partition(".")[2]
    return any(name in (wanted, wild) for name in _named("CN", leaf.subject))


def _named(kind: str, subject: str) -> set[str]:
    """The values of this kind, as CN or O, in a name written as RFC 4514 has it."""
    parts = (part.strip() for part in subject.replace("\\,", " ").replace("+", ",").split(","))
    found = (part.partition("=") for part in parts)
    return {value.lower() for key, _, value in found if key.upper() == kind and value}
