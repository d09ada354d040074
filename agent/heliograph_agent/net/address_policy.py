"""Forbid addresses of private networks and of this machine's own networks.

Otherwise a plan, or a name that resolves to such an address, could make volunteers scan the
networks behind their own routers.
"""

import ipaddress
from collections.abc import Sequence
from typing import TypeAlias

from heliograph.address import NAT64

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_NARROWEST = {4: 8, 6: 32}  # a wider "own network" is an error, and too much to forbid


class ForbiddenAddressError(ValueError):
    """Report a forbidden address; str() is for `not_measured` and omits the address."""

    def __init__(self) -> None:
        super().__init__("its address is of a private network, or of this machine's own")


def is_forbidden(literal: str, own_networks: Sequence[Network]) -> bool:
    """Tell whether an address is not public, or is in one of `own_networks`.

    Private, loopback, link-local, multicast and reserved addresses are not public. An IPv4
    address embedded in an IPv6 address is judged as well. Raises ValueError for a name.
    """
    address = ipaddress.ip_address(literal.partition("%")[0])
    addresses = (address, *_embedded_addresses(address))
    return any(
        not a.is_global or a.is_multicast or any(a in n for n in own_networks) for a in addresses
    )


def interface_network(address: str, prefix: int) -> Network:
    """Return an interface's network; the address alone for a prefix too wide."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 6:
        prefix = min(prefix, 64)  # privacy addresses: one household has a whole /64
    if prefix < _NARROWEST[parsed.version]:
        prefix = parsed.max_prefixlen
    return ipaddress.ip_network((address, prefix), strict=False)


def _embedded_addresses(address: Address) -> tuple[Address, ...]:
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    embedded = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())[1:]]
    if address in NAT64:
        embedded.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return tuple(candidate for candidate in embedded if candidate is not None)
