"""Protection against SSRF: keep outgoing requests off private networks.

A receiver's name can resolve to any address and can change between two queries. So the addresses
from the resolver are checked, and the address of the connection is checked again.
"""

import ipaddress
import socket
from typing import Any

from aiohttp import TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64_NETWORKS = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class PrivateTargetError(OSError):
    """The address is private, and the receiver has no `private: true`."""


def is_public(host: str) -> bool:
    """Return whether an address is public; False if it is not an address.

    An IPv4 address embedded in an IPv6 address is checked as IPv4.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo or any(address in network for network in _NAT64_NETWORKS):
            return False
        if inner is not None:
            address = inner
    return address.is_global and not address.is_multicast and not address.is_reserved


class PublicResolver(AbstractResolver):
    """The system's resolver, restricted to public addresses."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name to its public addresses. Raises OSError if it has none."""
        answers = await self._inner.resolve(host, port, family)
        public_answers = [answer for answer in answers if is_public(answer["host"])]
        if not public_answers:
            raise PrivateTargetError("its name leads to no public address")
        return public_answers

    async def close(self) -> None:
        await self._inner.close()


def open_public_socket(info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """Open a socket for a connector after a last check of its address."""
    family, type_, proto, _, address = info
    if not is_public(str(address[0])):
        raise PrivateTargetError("its address is not public")
    return _open_socket(family, type_, proto)


def _open_socket(family: int, type_: int, proto: int) -> socket.socket:
    connection = socket.socket(family, type_, proto)
    connection.setblocking(False)
    return connection


def build_connector(*, is_private: bool, resolver: AbstractResolver | None = None) -> TCPConnector:
    """Build a connector without keep-alive: one connection per request."""
    if is_private:
        return TCPConnector(resolver=resolver, force_close=True, use_dns_cache=False)
    return TCPConnector(
        resolver=PublicResolver(resolver),
        socket_factory=open_public_socket,
        force_close=True,
        use_dns_cache=False,
    )
