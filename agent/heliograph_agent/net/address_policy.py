"""Forbid addresses of private networks and of this machine's own network.

Else a plan, or a name that leads there, could make volunteers look around behind their own routers.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import TypeAlias

from heliograph.clock import Clock

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_FRESH_US = 1_000_000  # to ask the kernel costs as much as a probe
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NARROWEST = {4: 8, 6: 32}  # a wider "own network" is a mistake, and would bar half the world


class ForbiddenAddressError(ValueError):
    """A planned address where no test may go; the text is for `not_measured` and names none."""

    def __init__(self) -> None:
        super().__init__("its address is of a private network, or of this machine's own")


class AddressPolicy:
    """Asks the kernel for this machine's own networks at most once a second."""

    def __init__(self, clock: Clock, read_own_networks: Callable[[], Sequence[Network]]) -> None:
        self._clock = clock
        self._read_own_networks = read_own_networks
        self._asked_us = -_FRESH_US
        self._own_networks: Sequence[Network] = ()

    def __call__(self, literal: str) -> bool:
        now_us = self._clock.monotonic_us()
        if now_us - self._asked_us >= _FRESH_US:
            self._own_networks = self._read_own_networks()
            self._asked_us = now_us
        return is_forbidden(literal, self._own_networks)


def is_forbidden(literal: str, own_networks: Sequence[Network]) -> bool:
    """Private, loopback, link-local, multicast, reserved, or in one of `own`; what is embedded in
    an IPv6 address counts as well. Raises ValueError for a name."""
    address = ipaddress.ip_address(literal.partition("%")[0])
    addresses = (address, *_embedded_addresses(address))
    return any(
        not a.is_global or a.is_multicast or any(a in n for n in own_networks) for a in addresses
    )


def interface_network(address: str, prefix: int) -> Network:
    """The network of an interface's address; of an odd one the address alone."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 6:
        prefix = min(prefix, 64)  # privacy addresses: the /64 is the household
    if prefix < _NARROWEST[parsed.version]:
        prefix = parsed.max_prefixlen
    return ipaddress.ip_network((address, prefix), strict=False)


def _embedded_addresses(address: Address) -> tuple[Address, ...]:
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    embedded = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())[1:]]
    if address in _NAT64:
        embedded.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return tuple(candidate for candidate in embedded if candidate is not None)
