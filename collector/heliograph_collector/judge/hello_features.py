"""Features of TLS hellos that were cut, refused or lost."""

from collections.abc import Iterator

from heliograph.failure import HELLO_CUTS, Failure, Operation
from heliograph_collector.judge.deciding_failure import DecidingFailure
from heliograph_collector.judge.endpoint_view import ConnectionAttempt, EndpointView
from heliograph_collector.judge.failure_semantics import NEGOTIATION_ALERTS
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.sides import Sides
from heliograph_collector.model.control_look import ALL_NAMES, HelloSize, VantageProfile

# Bytes of a hello that fits into the smallest packets of IPv6 (1,280, RFC 8200 section 5) beside
# the headers of IP and TCP and the time stamps.
ANY_PATH = 1_208


def extract_hello_features(
    sides: Sides, deciding_failure: DecidingFailure | None
) -> Iterator[Feature]:
    """Extract whether the hello itself explains the failure."""
    if deciding_failure is None:
        return
    hellos = [s.observation.tls for s in deciding_failure.steps]
    alerts = {tls.alert if tls else None for tls in hellos}
    if alerts and alerts <= NEGOTIATION_ALERTS:
        yield Feature.NEGOTIATION_REFUSED
    if deciding_failure.operation is not Operation.TLS_HANDSHAKE:
        return
    if _is_own_hello_filtered(sides, deciding_failure):
        yield Feature.OWN_HELLO_FILTERED
    passed = sides.profile.passed_hellos
    if (
        passed is not None
        and deciding_failure.failure is Failure.GENERIC_TIMEOUT_ERROR
        and all(_may_be_lost(a, passed) for a in deciding_failure.deciding_attempts)
    ):
        yield Feature.HELLO_MAY_BE_LOST


def find_browser_features(
    vantage: EndpointView, profile: VantageProfile, *, is_for_browsers: bool
) -> Iterator[Feature]:
    """Yield whether browsers' hellos are dropped for a name with which ours passed.

    An app's endpoint is then in doubt: its hello is neither ours nor a browser's.
    """
    if not profile.dropped_browsers and not profile.doubted_browsers:
        return
    names = {
        fold_name(s.observation.tls.server_name)
        for s in vantage.find_steps(Operation.TLS_HANDSHAKE)
        if s.has_succeeded and s.observation.tls is not None and not s.observation.tls.profile
    }
    is_dropped = not names.isdisjoint(profile.dropped_browsers)
    if is_dropped and is_for_browsers:
        yield Feature.BROWSERS_DROPPED
    if is_dropped or not names.isdisjoint(profile.doubted_browsers):
        yield Feature.BROWSERS_IN_DOUBT


def _is_own_hello_filtered(sides: Sides, deciding_failure: DecidingFailure) -> bool:
    """Return whether a filter cut our own hello, as comparisons by `hello` showed."""
    filtered = sides.profile.filtered_hellos
    names = {
        fold_name(s.observation.tls.server_name)
        for s in deciding_failure.steps
        if s.observation.tls is not None and not s.observation.tls.profile
    }
    is_cut = deciding_failure.failure in HELLO_CUTS
    return is_cut and bool(names) and (ALL_NAMES in filtered or names <= filtered)


def _may_be_lost(attempt: ConnectionAttempt, passed: frozenset[HelloSize]) -> bool:
    """Return whether no hello as large is known to have passed on this vantage's path.

    A path that loses large packets (PPPoE or a tunnel, and ICMP is filtered: RFC 2923 section 2.1)
    loses a large hello, and the certificates that answer a small one, without an error.
    """
    sizes = [
        s.observation.tls.hello_bytes
        for s in attempt.steps
        if s.operation is Operation.TLS_HANDSHAKE and s.observation.tls is not None
    ]
    if not all(sizes) or not sizes:
        return False
    is_ipv6 = attempt.is_ipv6
    telling = {HelloSize(is_ipv6, True)}
    if min(sizes) <= ANY_PATH:
        telling.add(HelloSize(is_ipv6, False))
    return passed.isdisjoint(telling)


def fold_name(name: str) -> str:
    return name.lower().rstrip(".")
