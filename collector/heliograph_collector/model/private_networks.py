"""Private address ranges by use: of homes, and of offices or providers' filters."""

import ipaddress
from functools import lru_cache
from typing import TypeAlias

Networks: TypeAlias = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

CACHE_SIZE = 4_096  # addresses; a network's vantages get the same few; assumed
# Where machines in homes have their addresses: the networks of nearly all routers, Docker's own,
# the gateways of Comcast and Apple, what has no lease, and RFC 4193.
HOME_NETWORKS: Networks = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("192.168.0.0/16", "172.17.0.0/16", "10.0.0.0/16", "10.1.0.0/16"),
        *("169.254.0.0/16", "fc00::/7"),
    )
)
# RFC 1918. In the parts that homes do not use both offices have machines and filters answer: Iran's
# in 10.10.34/24 (Aryan and others, FOCI 2013), those of Sudan and Turkmenistan in 172.16/12.
_OFFICE_NETWORKS: Networks = (
    ipaddress.ip_network("10.0.0.0/8"),
    ipaddress.ip_network("172.16.0.0/12"),
)


@lru_cache(CACHE_SIZE)
def is_office_address(address: str) -> bool:
    """Return whether an address may be of an office's machine, and hardly of a home's."""
    return is_in(address, _OFFICE_NETWORKS) and not is_in(address, HOME_NETWORKS)


def is_in(address: str, networks: Networks) -> bool:
    """Return whether the address is in one of the networks; any other text is in none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
