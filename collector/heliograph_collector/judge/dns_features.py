"""Features of lookups and addresses: bogons and forged or contradictory answers."""

import ipaddress
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import lru_cache

from heliograph.address import FAKE_NETWORK
from heliograph.failure import Failure, Operation
from heliograph.observation import SYSTEM_ENGINES
from heliograph_collector.judge.deciding_failure import DecidingFailure
from heliograph_collector.judge.endpoint_view import (
    CACHE_SIZE,
    ENCRYPTED_ENGINES,
    EndpointView,
    ObservedStep,
    collect_addresses,
    has_near_pair,
)
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.fingerprints import is_refusal
from heliograph_collector.judge.measurement_steps import is_verified_for
from heliograph_collector.judge.sides import Sides

ADDRESSES_ENOUGH = 2  # assumed: this many failed IPv4 addresses stand for all addresses of the name
# RFC 4380; Windows dropped it in 2018 and no server has such an address. All AAAA answers that the
# GFW forges are of it (Hoang and others, USENIX Security 2021, section 5.1).
TEREDO = ipaddress.ip_network("2001::/32")
SYSTEM = "system"
NXDOMAIN = 3  # RFC 1035 section 4.1.1
# Refusals that a router nearby gives in everybody's place. Silence is none: a filter of addresses
# is silent to a site and to known resolvers alike.
REFUSALS = frozenset(
    {Failure.CONNECTION_REFUSED, Failure.HOST_UNREACHABLE, Failure.NETWORK_UNREACHABLE}
)
RESOLVERS_ENOUGH = 2  # one that refuses may be out of order itself; assumed
DENIALS = frozenset(  # of a name or of its address; who denies in other words denies alike
    {
        Failure.DNS_NXDOMAIN_ERROR,
        Failure.DNS_NO_ANSWER,
        Failure.DNS_REFUSED_ERROR,
        Failure.DNS_SERVFAIL_ERROR,
        Failure.DNS_BOGON_ERROR,
    }
)


def extract_lookup_features(sides: Sides) -> Iterator[Feature]:
    """Yield features of the lookups, which hold whether or not a later step failed."""
    vantage = sides.vantage
    own_addresses = _select_counted(vantage)
    control_addresses = sides.control.own_addresses
    yield from find_private_features(vantage, sides.control)
    if own_addresses and (all(map(is_fake, own_addresses)) or sides.profile.fake_addresses):
        yield Feature.FAKE_ADDRESS
    if _is_name_absent(sides):
        yield Feature.NAME_ABSENT
        if _is_gone_name_kept(vantage):
            yield Feature.NAME_GONE
    if any(map(is_contradicted, vantage.lookups)):
        yield Feature.CONTRADICTED
    if _has_split_answers(vantage, control_addresses):
        yield Feature.SPLIT_ANSWERS
    yield from _compare_resolvers(vantage)


def _select_counted(vantage: EndpointView) -> AbstractSet[str]:
    """Return the system's IPv4 addresses, or its IPv6 addresses if it gave no others."""
    return {a for a in vantage.own_addresses if ":" not in a} or vantage.own_addresses


def find_private_features(vantage: EndpointView, control: EndpointView) -> Iterator[Feature]:
    """Yield where addresses are private or reserved: here, elsewhere or everywhere."""
    own_addresses = _select_counted(vantage)
    control_addresses = control.own_addresses
    if not own_addresses and not control_addresses and not vantage.encrypted_addresses:
        return
    is_private_elsewhere = bool(control_addresses) and all(map(is_bogon, control_addresses))
    if is_private_elsewhere and all(map(is_bogon, own_addresses)):
        yield Feature.BOGON_EVERYWHERE  # also where a guard against DNS rebinding hides it
    if not own_addresses and any(map(is_bogon, control_addresses | vantage.encrypted_addresses)):
        yield Feature.PRIVATE_AMONG_OTHERS
    is_private_here = bool(own_addresses) and all(map(is_bogon, own_addresses))
    if is_private_here and control_addresses and not any(map(is_bogon, control_addresses)):
        yield Feature.BOGON


def _answers_other_names(sides: Sides) -> bool:
    """Return whether a plain resolver is silent on this name alone.

    A resolver that is silent on every name is broken or out of reach, and is no evidence.
    """
    silent_resolvers = {
        _get_plain_resolver(step)
        for step in sides.vantage.lookups
        if step.observation.failure is Failure.GENERIC_TIMEOUT_ERROR
    } - {""}
    if not silent_resolvers:
        return False
    if SYSTEM in silent_resolvers and sides.profile.sealed_disagrees is False:
        return True  # it gave true answers for neutral names
    return any(
        _get_plain_resolver(step) in silent_resolvers
        for name, steps in sides.vantage_steps.lookups_by_name.items()
        if name != sides.vantage.name
        for step in steps
        if step.has_succeeded or step.observation.failure in DENIALS
    )


def _get_plain_resolver(step: ObservedStep) -> str:
    """Return the resolver that was asked without encryption, "" if none was."""
    dns = step.observation.dns
    if dns is None or dns.engine in ENCRYPTED_ENGINES:
        return ""
    return SYSTEM if dns.engine in SYSTEM_ENGINES else dns.resolver or dns.engine


def _compare_resolvers(vantage: EndpointView) -> Iterator[Feature]:
    """Yield whether the vantage's other lookups contradict its system, or agree."""
    sealed = vantage.encrypted_lookups
    sealed_addresses = {a for a in vantage.encrypted_addresses if not is_bogon(a)}
    others = sealed_addresses or {a for a in vantage.other_addresses if not is_bogon(a)}
    if sealed_addresses:
        yield Feature.SEALED_RESOLVED
    plain = [s for s in vantage.other_lookups if s not in sealed]
    if any(not is_bogon(a) for a in collect_addresses(plain)):
        yield Feature.PLAIN_RESOLVED
    if vantage.other_lookups and all(s.is_local for s in vantage.other_lookups):
        yield Feature.NO_ROUTE
    if any(_agrees(step, vantage) for step in sealed):
        yield Feature.SEALED_AGREES
    is_outside = Failure.DNS_BOGON_ERROR in vantage.failures and any(
        _is_outside_service(step) for step in vantage.counted_lookups
    )
    if is_outside or (others and not has_near_pair(others, vantage.own_addresses)):
        yield Feature.OTHERS_CONTRADICT


def _is_outside_service(step: ObservedStep) -> bool:
    """Return whether the agent found a public answer outside the service's networks.

    The agent calls that a bogon. OONI's test of Facebook's Messenger knows the networks of its
    hosts.
    """
    is_bogon_error = step.observation.failure is Failure.DNS_BOGON_ERROR
    return is_bogon_error and any(not is_bogon(a) for a in collect_addresses((step,)))


def _agrees(step: ObservedStep, vantage: EndpointView) -> bool:
    """Return whether an encrypted lookup agrees with the vantage's system."""
    if step.observation.dns is not None and step.observation.dns.query_type == "AAAA":
        return False
    own_addresses = vantage.own_addresses
    if own_addresses:
        addresses = collect_addresses((step,))
        if has_near_pair(addresses, own_addresses):
            return True
        return bool(addresses) and all(map(is_bogon, (*addresses, *own_addresses)))
    own_failures = {s.observation.failure for s in vantage.counted_lookups if s.method}
    failure = step.observation.failure
    return bool(own_failures) and (failure in DENIALS or failure in own_failures)


def extract_address_features(
    sides: Sides, deciding_failure: DecidingFailure | None
) -> Iterator[Feature]:
    """Yield features of the addresses used: their owner, and where others connect."""
    vantage = sides.vantage
    attempts = vantage.own_attempts if deciding_failure is None else deciding_failure.attempts
    used_addresses = {a.address for a in attempts if a.address}
    known_addresses = sides.control.own_addresses | sides.looks.list_addresses(vantage.name)
    known_addresses |= _select_independent_addresses(vantage, known_addresses)
    if used_addresses and known_addresses and not has_near_pair(used_addresses, known_addresses):
        yield Feature.UNKNOWN_ADDRESS
    if used_addresses and has_near_pair(_iter_validated(sides), used_addresses):
        yield Feature.VALIDATED
    if used_addresses and all(is_false_address(address, sides) for address in used_addresses):
        yield Feature.FALSE_ADDRESS
    shared_leaves = sides.profile.shared_leaves
    if shared_leaves and not shared_leaves.isdisjoint(_iter_leaves(vantage, used_addresses)):
        yield Feature.SHARED_LEAF
    if deciding_failure is not None:
        if _answers_other_names(sides):
            yield Feature.RESOLVER_ANSWERS
        yield from _extract_failure_features(sides, deciding_failure, used_addresses)


def _accepts_others(sides: Sides, deciding_failure: DecidingFailure) -> bool:
    """Return whether an address and port that failed accepted another connection here.

    A SYN carries no name, so a filter of connections treats the hosts of an address alike.
    """
    if deciding_failure.operation is not Operation.CONNECT:
        return False
    by_address = sides.vantage_steps.attempts_by_address
    return any(
        Operation.CONNECT in other.passed_operations and other.port == attempt.port
        for attempt in deciding_failure.deciding_attempts
        if attempt.address
        for other in by_address.get(attempt.address, ())
    )


def _is_everything_refused(sides: Sides, deciding_failure: DecidingFailure) -> bool:
    """Return whether the site and all resolvers refuse with the same failure.

    A router at bedtime or one whose tunnel fell refuses every host, so it is no evidence on this
    one.
    """
    refusal = deciding_failure.failure
    if deciding_failure.operation is not Operation.CONNECT or refusal not in REFUSALS:
        return False
    lookups = [s.observation for s in sides.vantage.other_lookups]
    resolvers = {(x.dns.engine, x.dns.resolver) for x in lookups if x.dns}
    is_connected = any(
        Operation.CONNECT in attempt.passed_operations for attempt in sides.vantage_steps.attempts
    )
    return (
        len(resolvers) >= RESOLVERS_ENOUGH
        and all(x.failure is refusal for x in lookups)
        and not is_connected
    )


def _iter_leaves(vantage: EndpointView, addresses: set[str]) -> Iterator[str]:
    """Yield the digests of the certificates that did not verify at these addresses."""
    for attempt in (*vantage.validations, *vantage.own_attempts):
        for step in attempt.steps if attempt.address in addresses else ():
            tls = step.observation.tls
            if tls is not None and tls.chain and not step.has_succeeded:
                yield tls.chain[0].sha256


def _extract_failure_features(
    sides: Sides, deciding_failure: DecidingFailure, used_addresses: set[str]
) -> Iterator[Feature]:
    others = [a.passed_operations for a in sides.vantage.other_attempts]
    if _has_untried_address(sides.vantage, sides.control, used_addresses):
        yield Feature.UNTRIED_ADDRESS
    if _accepts_others(sides, deciding_failure):
        yield Feature.ACCEPTS_OTHERS
    if _is_everything_refused(sides, deciding_failure):
        yield Feature.ALL_REFUSED
    if any(deciding_failure.operation in passed for passed in others):
        yield Feature.OTHERS_WORK
    is_connected = deciding_failure.operation is not Operation.RESOLVE
    if is_connected and any(Operation.TLS_HANDSHAKE in passed for passed in others):
        yield Feature.NAME_WORKS


def _select_independent_addresses(
    vantage: EndpointView, known_addresses: frozenset[str]
) -> frozenset[str]:
    """Return addresses from the vantage's other resolvers, without injected repeats.

    A plain lookup crosses the same path as the system's own lookup. Where the control or an
    encrypted resolver knows other addresses, a plain lookup that agrees with the system proves
    nothing.
    """
    encrypted = vantage.encrypted_addresses
    others = vantage.other_addresses
    if not (encrypted or known_addresses):
        return others
    return others - vantage.own_addresses | encrypted


def _has_split_answers(vantage: EndpointView, control_addresses: frozenset[str]) -> bool:
    """Return whether cleartext answers differ from those that bypass the path."""
    encrypted = vantage.encrypted_addresses
    own = vantage.own_addresses
    plain = vantage.other_addresses - encrypted
    return (
        bool(own & plain)
        and bool(encrypted & control_addresses)
        and not has_near_pair(own | plain, encrypted | control_addresses)
    )


def is_contradicted(step: ObservedStep) -> bool:
    """Return whether one query got two replies that cannot both be true."""
    dns = step.observation.dns
    if dns is None or not dns.later or step.is_local:
        return False
    first = set(dns.addresses)
    for reply in dns.later:
        later = {a.data for a in reply.answers if a.type in ("A", "AAAA")}
        if bool(first) != bool(later) and (reply.rcode == NXDOMAIN or later):
            return True
        if first and later and not has_near_pair(first, later):
            return True
    return False


def _is_name_absent(sides: Sides) -> bool:
    """Return whether only the vantage's system resolves a name that does not exist.

    Every lookup of the control denies it, and no encrypted lookup here has addresses.
    """
    failures = {s.observation.failure for s in sides.control.lookups}
    if failures != {Failure.DNS_NXDOMAIN_ERROR} or sides.vantage.encrypted_addresses:
        return False
    return bool(sides.vantage.own_addresses)


def _is_gone_name_kept(vantage: EndpointView) -> bool:
    """Return whether a censor still answers for a name that no longer exists.

    An address alone is no sign of a censor, because many providers answer every missing name with a
    search page. A second reply that contradicts is one, or a page that refuses access, which a site
    that no longer exists cannot do.
    """
    is_refused = vantage.page is not None and is_refusal(vantage.page[1])
    return is_refused or any(map(is_contradicted, vantage.lookups))


def _iter_validated(sides: Sides) -> Iterator[str]:
    """Yield addresses that showed the right certificate, here or to a control."""
    name = sides.vantage.name
    for attempt in (*sides.vantage.validations, *sides.vantage.own_attempts):
        if attempt.address and any(is_verified_for(step, name) for step in attempt.steps):
            yield attempt.address
    for source in sides.looks.sources:
        yield from source.steps.list_verified(name)


def is_false_address(address: str, sides: Sides) -> bool:
    """Return whether a certificate of somebody else was shown at this address.

    To a control it was the host's own, whatever decrypts TLS here. The vantage's may be of a
    machine in between, unless it is made out to another name, as only a real host's is.
    """
    seen_here = Failure.SSL_INVALID_HOSTNAME in sides.vantage.failures and any(
        step.observation.failure is Failure.SSL_INVALID_HOSTNAME
        for attempt in sides.vantage.attempts
        if attempt.address == address
        for step in attempt.steps
    )
    return seen_here or sides.looks.has_foreign_certificate(address, sides.vantage.name)


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
    return not parsed.is_global and not is_fake(address)


@lru_cache(CACHE_SIZE)
def is_fake(address: str) -> bool:
    """Return whether an address is in the range of answers made up by local tunnels.

    Such a tunnel resolves the name elsewhere.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.version == 4 and parsed in FAKE_NETWORK


@lru_cache(CACHE_SIZE)
def is_teredo(address: str) -> bool:
    """Return whether an address is of the tunnel that only forged answers still give."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.version == 6 and parsed in TEREDO
