"""Features of lookups and addresses: bogons and forged or contradictory answers."""

import ipaddress
from collections.abc import Iterator
from functools import lru_cache

from heliograph.failure import Failure, Operation
from heliograph_collector.judge.deciding_failure import DecidingFailure
from heliograph_collector.judge.endpoint_view import (
    CACHE_SIZE,
    ENCRYPTED_ENGINES,
    ConnectionAttempt,
    EndpointView,
    ObservedStep,
    collect_addresses,
    has_near_pair,
)
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.fingerprints import is_refusal

ADDRESSES_ENOUGH = 2  # assumed: this many failed IPv4 addresses stand for all addresses of the name
OWN_PROXY = ipaddress.ip_network("198.18.0.0/15")  # RFC 2544; local proxies use it
NXDOMAIN = 3  # RFC 1035 section 4.1.1


def extract_lookup_features(vantage: EndpointView, control: EndpointView) -> Iterator[Feature]:
    """Yield features of the lookups, which hold whether or not a later step failed."""
    if collect_addresses(vantage.other_lookups):
        yield Feature.OTHERS_RESOLVED
    own_addresses = {a for a in vantage.own_addresses if ":" not in a}
    control_addresses = control.own_addresses
    if own_addresses and control_addresses and all(map(is_bogon, own_addresses)):
        if all(map(is_bogon, control_addresses)):
            yield Feature.BOGON_EVERYWHERE
        elif not any(map(is_bogon, control_addresses)):
            yield Feature.BOGON
    if _is_name_gone(vantage, control):
        yield Feature.NAME_GONE
    if _has_contradiction(vantage):
        yield Feature.CONTRADICTED
    if _has_split_answers(vantage, control_addresses):
        yield Feature.SPLIT_ANSWERS


def extract_address_features(
    vantage: EndpointView, control: EndpointView, deciding_failure: DecidingFailure | None
) -> Iterator[Feature]:
    """Yield features of the addresses used: their owner, and where others connect."""
    attempts = vantage.own_attempts if deciding_failure is None else deciding_failure.attempts
    used_addresses = {a.address for a in attempts if a.address}
    known_addresses = control.own_addresses | _select_independent_addresses(vantage, control)
    if used_addresses and known_addresses and not has_near_pair(used_addresses, known_addresses):
        yield Feature.UNKNOWN_ADDRESS
    if has_near_pair((a.address for a in _select_validated(vantage, control)), used_addresses):
        yield Feature.VALIDATED
    if deciding_failure is not None:
        yield from _extract_failure_features(vantage, control, deciding_failure, used_addresses)


def _extract_failure_features(
    vantage: EndpointView,
    control: EndpointView,
    deciding_failure: DecidingFailure,
    used_addresses: set[str],
) -> Iterator[Feature]:
    connected = [
        a.address
        for a in control.attempts
        if a.address and Operation.CONNECT in a.passed_operations
    ]
    if has_near_pair(used_addresses, connected):
        yield Feature.SHARED_ADDRESS
    if not connected and Operation.CONNECT in control.passed_operations:
        yield Feature.CONTROL_ADDRESS_UNKNOWN
    if _has_untried_address(vantage, control, used_addresses):
        yield Feature.UNTRIED_ADDRESS
    if any(deciding_failure.operation in a.passed_operations for a in vantage.other_attempts):
        yield Feature.OTHERS_WORK
    if deciding_failure.operation is Operation.TLS_HANDSHAKE and _is_false_address(
        used_addresses, vantage, control
    ):
        yield Feature.FALSE_ADDRESS


def _select_independent_addresses(vantage: EndpointView, control: EndpointView) -> frozenset[str]:
    """Return addresses from the vantage's other resolvers, without injected repeats.

    A plain lookup crosses the same path as the system's own lookup. Where the control or an
    encrypted resolver knows other addresses, a plain lookup that agrees with the system proves
    nothing.
    """
    encrypted = collect_addresses(_select_encrypted_lookups(vantage))
    others = collect_addresses(vantage.other_lookups)
    if not (encrypted or control.own_addresses):
        return others
    return others - vantage.own_addresses | encrypted


def _select_encrypted_lookups(vantage: EndpointView) -> list[ObservedStep]:
    engines = ((s, s.observation.dns.engine) for s in vantage.other_lookups if s.observation.dns)
    return [s for s, engine in engines if engine in ENCRYPTED_ENGINES]


def _has_split_answers(vantage: EndpointView, control_addresses: frozenset[str]) -> bool:
    """Return whether cleartext answers differ from those that bypass the path."""
    encrypted = collect_addresses(_select_encrypted_lookups(vantage))
    own = vantage.own_addresses
    plain = collect_addresses(vantage.other_lookups) - encrypted
    return (
        bool(own & plain)
        and bool(encrypted & control_addresses)
        and not has_near_pair(own | plain, encrypted | control_addresses)
    )


def _has_contradiction(vantage: EndpointView) -> bool:
    """Return whether a second reply or an encrypted denial contradicts an answer."""
    denied = any(
        s.observation.failure is Failure.DNS_NXDOMAIN_ERROR
        for s in _select_encrypted_lookups(vantage)
    )
    return (denied and bool(vantage.own_addresses)) or any(map(_is_contradicted, vantage.lookups))


def _is_contradicted(step: ObservedStep) -> bool:
    """Return whether one query got two replies that cannot both be true."""
    dns = step.observation.dns
    if dns is None or step.is_local:
        return False
    first = set(dns.addresses)
    for reply in dns.later:
        later = {a.data for a in reply.answers if a.type in ("A", "AAAA")}
        if bool(first) != bool(later) and (reply.rcode == NXDOMAIN or later):
            return True
        if first and later and not has_near_pair(first, later):
            return True
    return False


def _is_name_gone(vantage: EndpointView, control: EndpointView) -> bool:
    """Return whether the name no longer exists and a censor still gives it addresses.

    The name is gone if every lookup of the control denies it and no encrypted lookup here has
    addresses. A denial, encrypted or not, is no sign of a censor, because many providers answer
    every missing name with a search page. A second reply that contradicts is one, or a page that
    refuses access, which a site that no longer exists cannot do.
    """
    failures = {s.observation.failure for s in control.lookups}
    is_gone = failures == {Failure.DNS_NXDOMAIN_ERROR} and not collect_addresses(
        _select_encrypted_lookups(vantage)
    )
    if not is_gone or not vantage.own_addresses:
        return False
    is_refused = vantage.page is not None and is_refusal(vantage.page[1])
    return is_refused or any(map(_is_contradicted, vantage.lookups))


def _select_validated(vantage: EndpointView, control: EndpointView) -> list[ConnectionAttempt]:
    """Return attempts, here or at the control, that showed the right certificate."""
    tried = (*vantage.validations, *vantage.own_attempts, *control.attempts)
    return [a for a in tried if a.address and Operation.TLS_HANDSHAKE in a.passed_operations]


def _is_false_address(
    used_addresses: set[str], vantage: EndpointView, control: EndpointView
) -> bool:
    """Return whether a wrong certificate is the host's own and not a local problem.

    It is when the control's handshake fails at the same address too, or when the vantage verifies a
    certificate at another address. Both rule out the vantage's trust store and clock.
    """
    control_failed = any(
        a.failed_step and a.failed_step.operation is Operation.TLS_HANDSHAKE
        for a in control.attempts
        if a.address in used_addresses
    )
    return control_failed or any(
        Operation.TLS_HANDSHAKE in a.passed_operations for a in vantage.other_attempts
    )


def _has_untried_address(
    vantage: EndpointView, control: EndpointView, failed_addresses: set[str]
) -> bool:
    if control.lookups and not vantage.own_addresses:
        return True  # the name's addresses are unknown, so some may be untried
    known_addresses = {a for a in vantage.own_addresses if ":" not in a} or vantage.own_addresses
    return len(failed_addresses) < min(len(known_addresses), ADDRESSES_ENOUGH)


@lru_cache(CACHE_SIZE)
def is_bogon(address: str) -> bool:
    """Return whether no host on the Internet can have this address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not parsed.is_global and not (parsed.version == 4 and parsed in OWN_PROXY)
