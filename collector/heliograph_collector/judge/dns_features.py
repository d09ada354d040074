"""What the lookups and the addresses say: bogons, strangers, forged and contradictory answers."""

import ipaddress
from collections.abc import Iterator
from functools import lru_cache

from heliograph.failure import Failure, Operation
from heliograph_collector.judge.deciding_failure import Failing
from heliograph_collector.judge.endpoint_view import (
    MEMORY,
    SEALED_ENGINES,
    Attempt,
    Sight,
    Step,
    answers,
    any_near,
)
from heliograph_collector.judge.feature_names import Sign
from heliograph_collector.judge.signatures import refuses

ADDRESSES_ENOUGH = 2  # so many failed IPv4 addresses stand for all that the name has
OWN_PROXY = ipaddress.ip_network("198.18.0.0/15")  # where local proxies invent addresses
NXDOMAIN = 3  # RFC 1035 section 4.1.1


def lookup_signs(here: Sight, control: Sight) -> Iterator[Sign]:
    """What holds whether or not anything failed later."""
    if answers(here.other_lookups):
        yield Sign.OTHERS_RESOLVED
    own = {a for a in here.own_addresses if ":" not in a}
    theirs = control.own_addresses
    if own and all(bogon(a) for a in own) and theirs:
        lost = all(bogon(a) for a in theirs)
        if lost:
            yield Sign.BOGON_EVERYWHERE
        elif not any(bogon(a) for a in theirs):
            yield Sign.BOGON
    if _ghost(here, control):
        yield Sign.GHOST
    if _contradicted_here(here):
        yield Sign.CONTRADICTED
    if _split(here, theirs):
        yield Sign.SPLIT


def address_signs(here: Sight, control: Sight, stopped: Failing | None) -> Iterator[Sign]:
    """Of the addresses that were used: whose they are, and who else got somewhere."""
    used = _used(here, stopped)
    known = control.own_addresses | _independent(here, control)
    if used and known and not any_near(used, known):
        yield Sign.STRANGE_ADDRESS
    if any_near((a.address for a in _validated(here, control)), used):
        yield Sign.VALIDATED
    if stopped is not None:
        yield from _failed_signs(here, control, stopped, used)


def _failed_signs(here: Sight, control: Sight, stopped: Failing, used: set[str]) -> Iterator[Sign]:
    if any_near(used, _connected(control)):
        yield Sign.SHARED_ADDRESS
    if not _connected(control) and Operation.CONNECT in control.passed:
        yield Sign.UNSAID_ADDRESS
    if _untried(here, control, used):
        yield Sign.UNTRIED_ADDRESS
    if any(stopped.operation in a.passed for a in here.other_attempts):
        yield Sign.OTHERS_WORK
    if stopped.operation is Operation.TLS_HANDSHAKE and _false(used, here, control):
        yield Sign.FALSE_ADDRESS


def _used(here: Sight, stopped: Failing | None) -> set[str]:
    attempts = here.own_attempts if stopped is None else stopped.attempts
    return {a.address for a in attempts if a.address}


def _connected(control: Sight) -> list[str]:
    return [a.address for a in control.attempts if a.address and Operation.CONNECT in a.passed]


def _independent(here: Sight, control: Sight) -> frozenset[str]:
    """What other resolvers here gave, without those that only repeat what may be injected.

    A plain lookup crosses the same path as the system's own. Where the control, or a resolver
    that nobody can imitate, knows other addresses, a plain one that agrees proves nothing.
    """
    sealed = _sealed(here)
    others = answers(here.other_lookups)
    if not (sealed or control.own_addresses):
        return others
    return others - here.own_addresses | sealed


def _sealed(here: Sight) -> frozenset[str]:
    engines = ((s, s.seen.dns.engine) for s in here.other_lookups if s.seen.dns)
    return answers(s for s, engine in engines if engine in SEALED_ENGINES)


def _split(here: Sight, theirs: frozenset[str]) -> bool:
    """Whatever crosses the path in plain text says one thing, whatever does not says another."""
    sealed, own = _sealed(here), here.own_addresses
    plain = answers(s for s in here.other_lookups if s.seen.dns) - sealed
    agreed = own & plain
    if not agreed or not sealed & theirs:
        return False
    return not any_near(own | plain, sealed | theirs)


def _contradicted_here(here: Sight) -> bool:
    """By a second reply to the same query, or by a denial that nobody can forge."""
    sealed = [s for s in here.other_lookups if s.seen.dns and s.seen.dns.engine in SEALED_ENGINES]
    denied = any(s.seen.failure is Failure.DNS_NXDOMAIN_ERROR for s in sealed)
    return (denied and bool(here.own_addresses)) or any(_contradicted(s) for s in here.lookups)


def _contradicted(step: Step) -> bool:
    """Two replies to one query, of which at most one can be true."""
    dns = step.seen.dns
    if dns is None or step.local:
        return False
    first = set(dns.addresses)
    for reply in dns.later:
        later = {a.data for a in reply.answers if a.type in ("A", "AAAA")}
        if bool(first) != bool(later) and (reply.rcode == NXDOMAIN or later):
            return True
        if first and later and not any_near(first, later):
            return True
    return False


def _ghost(here: Sight, control: Sight) -> bool:
    """The name does not exist any more, and yet the system has addresses.

    That the control alone knows no such name is not enough: many a provider answers for every
    name that does not exist, with an offer to search. So a sealed lookup denies it as well, or a
    second reply does, or the page that is there refuses, which the site itself cannot do any more.
    """
    words = {s.seen.failure for s in control.counted_lookups}
    gone = words == {Failure.DNS_NXDOMAIN_ERROR} and not control.own_addresses
    refused = here.page is not None and refuses(here.page[1])
    return gone and bool(here.own_addresses) and (refused or _contradicted_here(here))


def _validated(here: Sight, control: Sight) -> list[Attempt]:
    """Attempts in which the right certificate was shown, from here or from the control."""
    tried = (*here.validations, *here.own_attempts, *control.attempts)
    return [a for a in tried if a.address and Operation.TLS_HANDSHAKE in a.passed]


def _false(used: set[str], here: Sight, control: Sight) -> bool:
    """The control's handshake fails there too, or the vantage's own trust proves itself next door.

    Either tells that the certificate is at fault and not the vantage's trust store or clock.
    """
    there = [a for a in control.attempts if a.address in used]
    failed = any(a.failed and a.failed.operation is Operation.TLS_HANDSHAKE for a in there)
    return failed or any(Operation.TLS_HANDSHAKE in a.passed for a in here.other_attempts)


def _untried(here: Sight, control: Sight, failed: set[str]) -> bool:
    if control.lookups and not here.own_addresses:
        return True  # the name's addresses are not known, so nobody can say that all were tried
    known = {a for a in here.own_addresses if ":" not in a} or here.own_addresses
    return len(failed) < min(len(known), ADDRESSES_ENOUGH)


@lru_cache(MEMORY)
def bogon(address: str) -> bool:
    """An address that nothing on the Internet can have."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not parsed.is_global and not (parsed.version == 4 and parsed in OWN_PROXY)
