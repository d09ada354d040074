"""Recognize filters that the vantage's user chose, as advert blockers do.

Such a filter blocks for one household, by the wish of its owner. It denies names, or answers with
an address that leads nowhere. A state's resolver can do the same, so the judge finds out who
answered: the machine's own table of hosts, a public resolver that its users choose, or a resolver
that the vantage's profile knows. If that is unknown, "0.0.0.0" counts as a filter's answer, because
Pi-hole and AdGuard Home give it by default, and so does the machine's own address.

A filter answers in the system's place alone. If a plain query to another resolver is forged as
well, a machine on the path forges it, and no filter of the vantage does. The two answers need not
be equal: the GFW answers each query with another stranger's address (Hoang and others, USENIX
Security 2021, section 5.1), and lists differ in whether they deny a name or misdirect it. A plain
answer is forged if it is the system's odd one, if it denies a name or makes it private that a
sealed lookup or a control resolves, if two replies to the query contradict each other, or if the
certificate at its address is for another name. A different address alone is geography.

An office's resolver gives the names of the office's zone private addresses (split DNS, RFC 6950
section 4 and RFC 8244), and its machines may be silent to a guest. Such a resolver has a private
address itself. So a private answer of one vantage accuses the provider if the agent reports that
the system's resolver has a public address, or if a page at the private address refuses access in
words that are no office's. No other observation of one vantage distinguishes the two; other lines
of the network do, which an office does not answer (`VantageProfile.shared_answers`).
"""

import ipaddress
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache

from heliograph.observation import PUBLIC_RESOLVER, SYSTEM_ENGINES, Dns, Observation
from heliograph_collector.judge.dns_features import (
    DENIALS,
    is_bogon,
    is_contradicted,
    is_false_address,
)
from heliograph_collector.judge.endpoint_view import CACHE_SIZE, ENCRYPTED_ENGINES
from heliograph_collector.judge.fingerprints import (
    is_refusal,
    match_look_alike,
    speaks_to_visitor,
)
from heliograph_collector.judge.sides import Sides
from heliograph_collector.model.private_networks import (
    HOME_NETWORKS,
    is_in,
    is_office_address,
)

# Public resolvers that filter at their users' wish, by their manuals: AdGuard DNS, CleanBrowsing,
# Quad9, OpenDNS (FamilyShield and accounts), NextDNS, Control D, Comodo, Yandex (Safe and Family),
# Cloudflare for Families, Norton ConnectSafe, Mullvad (but for its resolver without a filter).
FILTERING_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("94.140.14.0/24", "94.140.15.0/24", "185.228.168.0/24", "185.228.169.0/24"),
        *("9.9.9.0/24", "149.112.112.0/24", "208.67.220.0/22", "45.90.28.0/22"),
        *("76.76.2.0/24", "76.76.10.0/24", "8.26.56.0/24", "8.20.247.0/24"),
        *("77.88.8.2/31", "77.88.8.7/32", "77.88.8.88/32"),
        *("1.1.1.2/31", "1.0.0.2/31", "199.85.126.0/24", "199.85.127.0/24"),
        *("194.242.2.3/32", "194.242.2.4/30", "194.242.2.9/32"),
        *("2a10:50c0::/32", "2620:fe::/48", "2620:119:35::/48", "2620:119:53::/48"),
        *("2a07:a8c0::/29", "2606:1a40::/32", "2a0d:2a00::/32", "2606:4700:4700::1112/127"),
    )
)
# Networks of the makers of public resolvers: AdGuard, NextDNS, Quad9, OpenDNS, CleanBrowsing,
# Mullvad, Yandex. Their users chose their answers. Google's and Cloudflare's are not among
# them: the resolvers that most people use there filter nothing, and censors forge their answers.
PUBLIC_ASNS = frozenset(
    ("AS212772", "AS34939", "AS19281", "AS36692", "AS205157", "AS39351", "AS13238")
)
HOSTS_ENGINE = "hosts"  # the machine's own table
# Where homes, overlays such as Tailscale (100.64/10, by its manual on DNS) and providers for their
# own services (RFC 6598 section 4) have machines; no list has an address to block by in them.
OWN_NETWORKS = (*HOME_NETWORKS, ipaddress.ip_network("100.64.0.0/10"))
PLAIN_ENGINES = ("udp", "tcp")


def has_own_filter(sides: Sides) -> bool:
    """Return whether the system's answer is, or may be, from a filter the user chose.

    If the system asks a resolver outside its provider's network, its user may have chosen that. If
    a plain query to another resolver is not forged, nothing on the path forges answers, and an odd
    answer is of that resolver alone. The same holds if no other resolver can be reached at all:
    households and offices let queries pass to their chosen one only.
    """
    profile = sides.profile
    if profile.own_filter is not None:
        return profile.own_filter
    lookups = [s.observation for s in sides.vantage.own_lookups if s.observation.dns]
    others = [s.observation for s in sides.vantage.other_lookups if s.observation.dns]
    false_addresses = _find_false_addresses(sides)
    known_addresses = sides.control.own_addresses
    is_told_on_path = _is_told_on_path(lookups, others, known_addresses, false_addresses)
    is_chosen = is_filtering_resolver(profile.resolver_network) or (
        sides.has_foreign_resolver
        and (any(dns.addresses for dns in _list_plain(others)) or _is_none_reached(others))
    )
    if is_chosen and not is_told_on_path:
        return True
    return _is_filters_answer(
        lookups,
        is_told_on_path=is_told_on_path,
        shared_answers=profile.shared_answers,
        is_refused=_is_refused_there(sides),
    )


def _is_refused_there(sides: Sides) -> bool:
    """Return whether a page refuses access in words of no household, office or portal."""
    page = sides.vantage.page
    return (
        page is not None
        and is_refusal(page[1])
        and match_look_alike(page[1]) is None
        and not speaks_to_visitor(page[1])
    )


def is_own_answer(
    lookups: Sequence[Observation],
    others: Sequence[Observation],
    known_addresses: AbstractSet[str],
) -> bool:
    """Return whether the lookups themselves show a filter of the vantage's own.

    Args:
        lookups: The system's lookups.
        others: The vantage's lookups by other resolvers.
        known_addresses: Addresses from sealed lookups and controls.
    """
    is_told_on_path = _is_told_on_path(lookups, others, known_addresses)
    return _is_filters_answer(lookups, is_told_on_path=is_told_on_path)


def _is_filters_answer(
    lookups: Sequence[Observation],
    *,
    is_told_on_path: bool,
    shared_answers: AbstractSet[str] = frozenset(),
    is_refused: bool = False,
) -> bool:
    """Return whether a filter of the vantage's own gave the answer.

    Args:
        shared_answers: Private addresses that the network gives to most of its vantages.
        is_refused: Access is refused at the address that the answer leads to.
    """
    dns = [x.dns for x in lookups if x.dns]
    is_of_provider = is_refused or has_public_resolver(dns)
    addresses = [address for answer in dns for address in answer.addresses]
    if addresses and all(map(is_unspecified, addresses)):
        return True
    if any(x.engine == HOSTS_ENGINE and any(map(is_null, x.addresses)) for x in dns):
        return True
    is_null_answer = bool(addresses) and all(
        x not in shared_answers
        and (_is_null_or_of_a_house(x) or (not is_of_provider and is_office_address(x)))
        for x in addresses
    )
    is_filtering = any(is_filtering_resolver(x.resolver) for x in dns)
    return (is_null_answer or is_filtering) and not is_told_on_path


def _find_false_addresses(sides: Sides) -> frozenset[str]:
    """Return addresses of plain lookups that are forged by replies or certificates."""
    return frozenset(
        address
        for step in sides.vantage.other_lookups
        if step.observation.dns and step.observation.dns.engine in PLAIN_ENGINES
        for address in step.observation.dns.addresses
        if is_contradicted(step) or is_false_address(address, sides)
    )


def _is_none_reached(others: Sequence[Observation]) -> bool:
    """Return whether others were asked, plainly and sealed, and none answered."""
    engines = {x.dns.engine for x in others if x.dns}
    is_asked = bool(engines & {*PLAIN_ENGINES}) and bool(engines & {*ENCRYPTED_ENGINES})
    return is_asked and all(x.failure is not None and x.failure not in DENIALS for x in others)


def _list_plain(others: Sequence[Observation]) -> list[Dns]:
    return [x.dns for x in others if x.dns and x.dns.engine in PLAIN_ENGINES]


def _is_told_on_path(
    lookups: Sequence[Observation],
    others: Sequence[Observation],
    known_addresses: AbstractSet[str],
    false_addresses: AbstractSet[str] = frozenset(),
) -> bool:
    """Return whether a plain query to another resolver got a forged answer too.

    The answer need not be the system's.

    Args:
        known_addresses: Addresses to which controls resolve the name.
        false_addresses: Addresses of plain lookups that are proven to be forged.
    """
    plain = [
        x for x in others if x.dns and x.dns.engine in PLAIN_ENGINES and x.dns.query_type != "AAAA"
    ]
    sealed = {
        address
        for x in others
        if x.dns and x.dns.engine in ENCRYPTED_ENGINES
        for address in x.dns.addresses
    }
    is_public = any(not is_bogon(address) for address in sealed | known_addresses)
    denials = {x.failure for x in plain if x.dns and not is_filtering_resolver(x.dns.resolver)}
    denials -= {None}  # Quad9's own denial is no evidence on the path
    if denials & {x.failure for x in lookups} or (is_public and denials & DENIALS):
        return True
    addresses = {a for x in plain if x.dns for a in x.dns.addresses}
    own_addresses = {a for x in lookups if x.dns for a in x.dns.addresses}
    is_private = is_public and bool(addresses) and all(map(is_bogon, addresses))
    return is_private or bool(addresses & (own_addresses | false_addresses))


@lru_cache(CACHE_SIZE)
def is_filtering_resolver(resolver: str) -> bool:
    """Return whether a resolver filters by its users' choice.

    It is named by address, address:port, network or ASN.
    """
    if not resolver:
        return False
    if resolver in PUBLIC_ASNS:
        return True
    for text in (resolver, resolver.rpartition(":")[0].strip("[]")):
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        return any(
            network.version == listed.version and network.network_address in listed
            for listed in FILTERING_NETWORKS
        )
    return False


def is_unspecified(address: str) -> bool:
    return address in ("0.0.0.0", "::")  # noqa: S104 an answer, and no address to listen on


@lru_cache(CACHE_SIZE)
def _is_null_or_of_a_house(address: str) -> bool:
    """Return whether a filter or resolver in the vantage's home may give this address."""
    return is_null(address) or is_in(address, OWN_NETWORKS)


def has_public_resolver(lookups: Sequence[Dns]) -> bool:
    """Return whether the agent reports a public address of the system's resolver."""
    resolvers = {x.resolver for x in lookups if x.engine in SYSTEM_ENGINES}
    return resolvers == {PUBLIC_RESOLVER}


def is_null(address: str) -> bool:
    """Return whether an address leads to the machine itself or nowhere."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_unspecified or parsed.is_loopback
