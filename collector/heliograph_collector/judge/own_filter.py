"""Answers of a filter that the vantage's user or house chose: advert blockers, family resolvers.

Such a filter blocks for one house, by the wish of its owner. It denies names, or answers with an
address that leads nowhere. A state's resolver can do the same, so the judge asks who answered: the
machine's own table of hosts, a public resolver that its users choose, or a resolver that the
vantage's profile knows. Where nobody knows, "0.0.0.0" counts as a filter's answer, because Pi-hole
and AdGuard Home give it by default, and so does the machine's own address.

A filter answers in the system's place alone. Where a plain query to another resolver gets the same
lie, a machine on the path tells it, and no filter of the vantage does.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from heliograph.observation import Observation
from heliograph_collector.judge.endpoint_view import CACHE_SIZE, EndpointView
from heliograph_collector.model.control_look import VantageProfile

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
# Mullvad, Yandex. What they answer is their users' choice. Google's and Cloudflare's are not among
# them: the resolvers that most people use there filter nothing, and censors forge their answers.
PUBLIC_ASNS = frozenset(
    ("AS212772", "AS34939", "AS19281", "AS36692", "AS205157", "AS39351", "AS13238")
)
HOSTS_ENGINE = "hosts"  # the machine's own table
PLAIN_ENGINES = ("udp", "tcp")


def has_own_filter(
    vantage: EndpointView, profile: VantageProfile, *, has_foreign_resolver: bool = False
) -> bool:
    """Return whether the system's answer is, or may be, of a filter of the vantage's own.

    Args:
        has_foreign_resolver: The system asks a resolver outside its provider's network, which its
            user may have chosen. Where a plain query to another one gets the truth, nobody on the
            path lies, and an odd answer is of that resolver alone.
    """
    if profile.own_filter is not None:
        return profile.own_filter
    lookups = [s.observation for s in vantage.own_lookups if s.observation.dns]
    others = [s.observation for s in vantage.other_lookups if s.observation.dns]
    is_chosen = is_filtering_resolver(profile.resolver_network) or (
        has_foreign_resolver and _has_plain_answer(others)
    )
    if is_chosen and not _is_repeated(lookups, others):
        return True
    return is_own_answer(lookups, others)


def is_own_answer(lookups: Sequence[Observation], others: Sequence[Observation]) -> bool:
    """Return whether the lookups themselves show a filter of the vantage's own.

    Args:
        lookups: The system's lookups.
        others: The vantage's lookups by other resolvers.
    """
    dns = [x.dns for x in lookups if x.dns]
    addresses = [address for answer in dns for address in answer.addresses]
    if addresses and all(map(is_unspecified, addresses)):
        return True
    if any(x.engine == HOSTS_ENGINE and any(map(is_null, x.addresses)) for x in dns):
        return True
    is_null_answer = bool(addresses) and all(map(is_null, addresses))
    is_filtering = any(is_filtering_resolver(x.resolver) for x in dns)
    return (is_null_answer or is_filtering) and not _is_repeated(lookups, others)


def _has_plain_answer(others: Sequence[Observation]) -> bool:
    return any(x.dns and x.dns.engine in PLAIN_ENGINES and x.dns.addresses for x in others)


def _is_repeated(lookups: Sequence[Observation], others: Sequence[Observation]) -> bool:
    """Return whether a plain query to another resolver got the same lie."""
    plain = [
        x for x in others if x.dns and x.dns.engine in PLAIN_ENGINES and x.dns.query_type != "AAAA"
    ]
    failures = {x.failure for x in lookups if x.failure} & {x.failure for x in plain}
    addresses = {a for x in lookups if x.dns for a in x.dns.addresses}
    plain_addresses = {a for x in plain if x.dns for a in x.dns.addresses}
    return bool(failures or addresses & plain_addresses)


@lru_cache(CACHE_SIZE)
def is_filtering_resolver(resolver: str) -> bool:
    """Return whether a resolver (address, address:port, network or ASN) filters by choice."""
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
            network.version == known.version and network.network_address in known
            for known in FILTERING_NETWORKS
        )
    return False


def is_unspecified(address: str) -> bool:
    return address in ("0.0.0.0", "::")  # noqa: S104 an answer, and no address to listen on


def is_null(address: str) -> bool:
    """Return whether an address leads to the machine itself or nowhere."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_unspecified or parsed.is_loopback
