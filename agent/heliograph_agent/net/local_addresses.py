"""Read this machine's addresses and routes: usable families, and a fingerprint.

The fingerprint never leaves the process: a reader could recover the addresses from the digest by
guessing. It is only compared with an earlier one.
"""

import hashlib
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph_agent.net.address_policy import Network, interface_network, is_forbidden
from heliograph_agent.net.scrub import Scrubber

_NEWADDR = 20
_GETADDR = 22
_NEWROUTE = 24
_GETROUTE = 26
_DONE = 3
_ERROR = 2
_REQUEST_DUMP = 0x001 | 0x300
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_RTA_OIF = 4
_RTA_GATEWAY = 5
_MAIN_TABLE = 254
_MAX_BYTES = 1_048_576
_HEADER = struct.Struct("=IHHII")
_DEADLINE_S = 2.0


@dataclass(frozen=True, slots=True, order=True)
class InterfaceAddress:
    """Describe an address of an interface of this machine."""

    interface: int
    address: str
    prefix: int


@dataclass(frozen=True, slots=True, order=True)
class DefaultRoute:
    family: int
    interface: int
    gateway: str


def interface_addresses() -> tuple[InterfaceAddress, ...]:
    """List every address of every interface."""
    messages = _dump_table(_GETADDR)
    return tuple(h for kind, body in messages if kind == _NEWADDR for h in _parse_address(body))


def default_routes() -> tuple[DefaultRoute, ...]:
    """List the default routes of the main table, of both families."""
    routes = (body for kind, body in _dump_table(_GETROUTE) if kind == _NEWROUTE)
    return tuple(route for body in routes for route in _parse_default_route(body))


def _parse_address(body: bytes) -> Iterator[InterfaceAddress]:
    _, prefix, _, _, interface = struct.unpack_from("=BBBBI", body)
    attributes = _parse_attributes(body[8:])
    raw = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
    if raw:
        yield InterfaceAddress(interface, str(ipaddress.ip_address(raw)), prefix)


def _parse_default_route(body: bytes) -> Iterator[DefaultRoute]:
    family, to_prefix, _, _, table, _, _, kind = struct.unpack_from("=8B", body)
    if to_prefix or table != _MAIN_TABLE or kind != 1:  # 1: unicast, not unreachable or blackhole
        return
    attributes = _parse_attributes(body[12:])
    gateway = attributes.get(_RTA_GATEWAY, b"")
    interface = struct.unpack("=I", attributes.get(_RTA_OIF, bytes(4)))[0]
    yield DefaultRoute(family, interface, str(ipaddress.ip_address(gateway)) if gateway else "")


def _parse_attributes(data: bytes) -> dict[int, bytes]:
    attributes: dict[int, bytes] = {}
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if size < 4:
            break
        attributes.setdefault(kind, data[4:size])
        data = data[(size + 3) & ~3 :]
    return attributes


def _dump_table(request: int) -> list[tuple[int, bytes]]:
    """Read every message of one dump; empty where netlink is missing."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return []
    try:
        with socket.socket(family, socket.SOCK_RAW, 0) as link:
            link.settimeout(_DEADLINE_S)
            link.send(_HEADER.pack(_HEADER.size + 4, request, _REQUEST_DUMP, 1, 0) + bytes(4))
            return list(_read_messages(link))
    except OSError:  # forbidden by a sandbox
        return []


def _read_messages(link: socket.socket) -> Iterator[tuple[int, bytes]]:
    total = 0
    while total < _MAX_BYTES:
        data = link.recv(65_536)
        total += len(data)
        while len(data) >= _HEADER.size:
            size, kind, *_ = _HEADER.unpack_from(data)
            if kind in (_DONE, _ERROR) or size < _HEADER.size:
                return
            yield kind, data[_HEADER.size : size]
            data = data[(size + 3) & ~3 :]


_FRESH_US = 1_000_000  # a kernel query costs as much as a probe, so the answer is reused


class LocalMachine:
    """Query the kernel at most once a second, and keep the scrubber until a change."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked_us = -_FRESH_US
        self._scrubber = Scrubber(())
        self._networks: tuple[Network, ...] = ()

    def get_scrubber(self) -> Scrubber:
        """Return a scrubber of this machine's present addresses."""
        self._refresh()
        return self._scrubber

    def is_forbidden(self, literal: str) -> bool:
        """Tell whether an address is not public, or is in a network of this machine."""
        self._refresh()
        return is_forbidden(literal, self._networks)

    def _refresh(self) -> None:
        now_us = self._clock.monotonic_us()
        if now_us - self._asked_us < _FRESH_US:
            return
        self._asked_us = now_us
        addresses = interface_addresses() or _probe_addresses()
        self._networks = _own_networks(addresses)
        own = _own_addresses(addresses)
        if own != self._scrubber.addresses:
            self._scrubber = Scrubber(own)


# Documentation addresses and the prefix of a host; a UDP connect sends nothing.
_PROBE_TARGETS = ((socket.AF_INET, "192.0.2.1", 32), (socket.AF_INET6, "2001:db8::1", 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalView:
    """Describe the usable address families and the network of this machine."""

    ipv4: bool  # a default route and an address that can use it
    ipv6: bool
    fingerprint: str  # changes with interfaces, networks and gateways


def read_local_view() -> LocalView:
    """Read the view once; cheap enough to repeat every few seconds; sends nothing.

    Where netlink is missing, a source address that the system chose proves a route.
    """
    if addresses := interface_addresses():
        return make_local_view(addresses, default_routes())
    chosen = _probe_addresses()
    return make_local_view(chosen, map(_make_route, chosen))


def _make_route(source: InterfaceAddress) -> DefaultRoute:
    family = socket.AF_INET6 if ":" in source.address else socket.AF_INET
    return DefaultRoute(family, source.interface, "")


def _own_addresses(addresses: Iterable[InterfaceAddress]) -> tuple[str, ...]:
    """List the addresses outside the loopback interface; others need no scrubbing."""
    loopback = {index for index, name in socket.if_nameindex() if name == "lo"}
    return tuple(
        h.address for h in addresses if h.interface not in loopback and not _is_loopback(h.address)
    )


def _own_networks(addresses: Iterable[InterfaceAddress]) -> tuple[Network, ...]:
    outside = (h for h in addresses if not _is_loopback(h.address))
    return tuple(dict.fromkeys(interface_network(h.address, h.prefix) for h in outside))


def make_local_view(
    addresses: Iterable[InterfaceAddress], routes: Iterable[DefaultRoute]
) -> LocalView:
    """Derive the usable families and the fingerprint. Pure."""
    addresses = tuple(addresses)
    routes = tuple(routes)
    families = {route.family for route in routes}
    networks = sorted({_describe_network(h) for h in addresses if not _is_loopback(h.address)})
    gateways = sorted({(r.family, r.interface, r.gateway) for r in routes})
    return LocalView(
        ipv4=socket.AF_INET in families and any(_is_usable(h.address, 4) for h in addresses),
        ipv6=socket.AF_INET6 in families and any(_is_usable(h.address, 6) for h in addresses),
        fingerprint=hashlib.sha256(repr((networks, gateways)).encode()).hexdigest()[:32],
    )


def _describe_network(interface_address: InterfaceAddress) -> str:
    """Describe the network, as IPv6 privacy addresses change daily within it."""
    address = ipaddress.ip_address(interface_address.address)
    prefix = interface_address.prefix if address.version == 4 else min(interface_address.prefix, 64)
    network = ipaddress.ip_network((interface_address.address, prefix), strict=False)
    return f"{interface_address.interface} {network}"


def _is_usable(address: str, version: int) -> bool:
    """Tell whether the Internet can answer this source address; IPv4 may use NAT."""
    parsed = ipaddress.ip_address(address)
    if parsed.version != version or parsed.is_loopback or parsed.is_link_local:
        return False
    return version == 4 or not parsed.is_private


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _probe_addresses() -> tuple[InterfaceAddress, ...]:
    """Return the source address of each family, where netlink is missing."""
    addresses: list[InterfaceAddress] = []
    for family, target, prefix in _PROBE_TARGETS:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                address = str(probe.getsockname()[0]).partition("%")[0]
                addresses.append(InterfaceAddress(-1, address, prefix))
        except OSError:
            continue
    return tuple(addresses)
