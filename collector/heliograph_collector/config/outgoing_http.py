"""Send HTTP and mail safely: no private networks (SSRF), no compression bombs.

A name can resolve to any address and can change between two queries. So the addresses from the
resolver are checked, and the address of the connection is checked again. Each request resolves once
and connects to a checked address. Redirects are refused, and bodies are never decompressed.
"""

import ipaddress
import socket
from collections.abc import Collection
from typing import Any

import aiohttp
from aiohappyeyeballs import start_connection
from aiohttp import TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from heliograph.address import NAT64

_NAT64_NETWORKS = (NAT64, ipaddress.ip_network("64:ff9b:1::/48"))
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
_MAX_HEADER_BYTES = 16_384
_MAX_CONNECTIONS = 100  # assumed; aiohttp's own default
_NEXT_ADDRESS_S = 0.25  # until the next address is tried too (RFC 8305 section 5)


class PrivateTargetError(OSError):
    """The address is private, and the configuration does not allow it."""


class RedirectError(aiohttp.ClientError):
    """A server redirected the request to another address."""


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
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    is_special = address.is_multicast or address.is_reserved or is_site_local
    return address.is_global and not is_special


class PublicResolver(AbstractResolver):
    """The system's resolver, restricted to public addresses.

    Names in `allowed_hosts` may lead anywhere, and the addresses to which they led are allowed.
    """

    def __init__(self, inner: AbstractResolver | None, allowed_hosts: Collection[str]) -> None:
        self._inner = inner or ThreadedResolver()
        self._allowed_hosts = frozenset(allowed_hosts)
        self._allowed_addresses = set(allowed_hosts)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name to its public addresses. Raises OSError if it has none."""
        answers = await self._inner.resolve(host, port, family)
        if host in self._allowed_hosts:
            self._allowed_addresses.update(answer["host"] for answer in answers)
            return answers
        public_answers = [answer for answer in answers if is_public(answer["host"])]
        if not public_answers:
            raise PrivateTargetError("its name leads to no public address")
        return public_answers

    def open_socket(self, info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        """Open a socket for a connector after a last check of its address.

        Only this check sees an address that stands in a URL: no resolver is asked for it.
        """
        family, type_, proto, _, address = info
        host = str(address[0])
        if not is_public(host) and host not in self._allowed_addresses:
            raise PrivateTargetError("its address is not public")
        connection = socket.socket(family, type_, proto)
        connection.setblocking(False)
        return connection

    async def close(self) -> None:
        await self._inner.close()


def open_session(
    *,
    is_private: bool = False,
    allowed_hosts: Collection[str] = (),
    resolver: AbstractResolver | None = None,
    connections: int = _MAX_CONNECTIONS,
) -> aiohttp.ClientSession:
    """Open a session without cookies, environment proxies, redirects or decompression.

    Args:
        is_private: the configuration allows private addresses for every request of this session.
        allowed_hosts: hosts as written in a URL that may be private; no other host may be.
        resolver: asked in place of the system's.
        connections: that may be open at once.
    """
    trace_config = aiohttp.TraceConfig()
    trace_config.on_request_redirect.append(_refuse_redirect)
    return aiohttp.ClientSession(
        connector=_build_connector(is_private, allowed_hosts, resolver, connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={"User-Agent": "heliograph-collector", "Accept-Encoding": "identity"},
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
        trace_configs=[trace_config],
    )


def _build_connector(
    is_private: bool,
    allowed_hosts: Collection[str],
    resolver: AbstractResolver | None,
    connections: int,
) -> TCPConnector:
    """Build a connector without keep-alive: one connection per request."""
    if is_private:
        return TCPConnector(
            resolver=resolver, limit=connections, force_close=True, use_dns_cache=False
        )
    public_resolver = PublicResolver(resolver, allowed_hosts)
    return TCPConnector(
        resolver=public_resolver,
        socket_factory=public_resolver.open_socket,
        limit=connections,
        force_close=True,
        use_dns_cache=False,
    )


async def connect_socket(
    host: str,
    port: int,
    *,
    is_private: bool,
    resolver: AbstractResolver | None,
) -> socket.socket:
    """Connect without HTTP, as a session does: resolve once, check, connect.

    Raises OSError, of which PrivateTargetError is one. The caller limits the time.
    """
    allowed_hosts = (host,) if is_private or host in LOOPBACK_HOSTS else ()
    public_resolver = PublicResolver(resolver, allowed_hosts)
    answers = await public_resolver.resolve(host, port, socket.AF_UNSPEC)
    return await start_connection(
        [
            (a["family"], socket.SOCK_STREAM, a["proto"], "", (a["host"], a["port"]))
            for a in answers
        ],
        happy_eyeballs_delay=_NEXT_ADDRESS_S,
        socket_factory=public_resolver.open_socket,
    )


async def _refuse_redirect(
    _session: aiohttp.ClientSession,
    _context: object,
    params: aiohttp.TraceRequestRedirectParams,
) -> None:
    """Refuse a redirect, also of a WebSocket, whose client has no option against them."""
    params.response.close()
    raise RedirectError


def open_source_session(private_hosts: Collection[str] = ()) -> aiohttp.ClientSession:
    """Open the session of public sources, for public addresses and loopback.

    A source's URL comes from the configuration alone, so loopback in it is the operator's wish.
    `private_hosts` may lead into private networks too.
    """
    return open_session(allowed_hosts=(*LOOPBACK_HOSTS, *private_hosts), connections=4)
