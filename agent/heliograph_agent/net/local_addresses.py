"""This machine's own view of its network: which families lead out, and whether it has changed.

Nothing here leaves the process: the fingerprint is a digest of addresses, which a reader could
guess back, so it is only ever compared with an earlier one.
"""

import hashlib
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph_agent.net.address_policy import Network, network_of
from heliograph_agent.net.scrub import Scrubber

_NEWADDR, _GETADDR, _NEWROUTE, _GETROUTE = 20, 22, 24, 26
_DONE, _ERROR = 3, 2
_REQUEST_DUMP = 0x001 | 0x300
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_OIF, _RTA_GATEWAY = 4, 5
_MAIN_TABLE = 254
_MAX_BYTES = 1_048_576
_HEADER = struct.Struct("=IHHII")
_DEADLINE_S = 2.0


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """An address this machine has on an interface."""

    interface: int
    address: str
    prefix: int


@dataclass(frozen=True, slots=True, order=True)
class DefaultRoute:
    family: int
    interface: int
    gateway: str


def held() -> tuple[Held, ...]:
    """Every address of every interface."""
    return tuple(h for kind, body in _dump(_GETADDR) if kind == _NEWADDR for h in _held(body))


def default_routes() -> tuple[DefaultRoute, ...]:
    """The default routes of the main table, both families."""
    return tuple(
        r for kind, body in _dump(_GETROUTE) if kind == _NEWROUTE for r in _default_route(body)
    )


def _held(body: bytes) -> Iterator[Held]:
    _, prefix, _, _, interface = struct.unpack_from("=BBBBI", body)
    attributes = _attributes(body[8:])
    raw = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
    if raw:
        yield Held(interface, str(ipaddress.ip_address(raw)), prefix)


def _default_route(body: bytes) -> Iterator[DefaultRoute]:
    family, to_prefix, _, _, table, _, _, kind = struct.unpack_from("=8B", body)
    if to_prefix or table != _MAIN_TABLE or kind != 1:  # 1: unicast, not unreachable or blackhole
        return
    attributes = _attributes(body[12:])
    gateway = attributes.get(_RTA_GATEWAY, b"")
    interface = struct.unpack("=I", attributes.get(_RTA_OIF, bytes(4)))[0]
    yield DefaultRoute(family, interface, str(ipaddress.ip_address(gateway)) if gateway else "")


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if size < 4:
            break
        found.setdefault(kind, data[4:size])
        data = data[(size + 3) & ~3 :]
    return found


def _dump(request: int) -> list[tuple[int, bytes]]:
    """Every message of one dump; none where there is no netlink."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return []
    try:
        with socket.socket(family, socket.SOCK_RAW, 0) as link:
            link.settimeout(_DEADLINE_S)
            link.send(_HEADER.pack(_HEADER.size + 4, request, _REQUEST_DUMP, 1, 0) + bytes(4))
            return list(_messages(link))
    except OSError:  # forbidden by a sandbox
        return []


def _messages(link: socket.socket) -> Iterator[tuple[int, bytes]]:
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


_FRESH_US = 1_000_000  # to ask the kernel costs as much as a probe


class OwnAddresses:
    """Asks the kernel at most once a second, and keeps the scrubber while nothing has changed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked_us = -_FRESH_US
        self._scrubber = Scrubber(())

    def scrubber(self) -> Scrubber:
        now_us = self._clock.monotonic_us()
        if now_us - self._asked_us >= _FRESH_US:
            self._asked_us = now_us
            own = own_addresses()
            if own != self._scrubber.addresses:
                self._scrubber = Scrubber(own)
        return self._scrubber


_UNSENT = ("192.0.2.1", "2001:db8::1")  # documentation addresses; a UDP connect sends nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalView:
    ipv4: bool  # a default route and an address that can use it
    ipv6: bool
    fingerprint: str  # changes with interfaces, networks and gateways


def local_view() -> LocalView:
    """Cheap enough for a look every few seconds; sends nothing."""
    return view_of(held() or _routed(), default_routes())


def own_addresses() -> tuple[str, ...]:
    """Every address of this machine except those of its loopback interface."""
    loopback = _loopback_interfaces()
    known = held() or _routed()
    return tuple(h.address for h in known if h.interface not in loopback and not _loops(h.address))


def own_networks() -> tuple[Network, ...]:
    """The networks that this machine's interfaces stand in, loopback left out."""
    known = held() or _routed()
    return tuple({network_of(h.address, h.prefix): None for h in known if not _loops(h.address)})


def view_of(held: Iterable[Held], routes: Iterable[DefaultRoute]) -> LocalView:
    """Pure: what `held` and `routes` amount to."""
    held, routes = tuple(held), tuple(routes)
    families = {route.family for route in routes}
    networks = sorted({_network(h) for h in held if not _loops(h.address)})
    gateways = sorted({(r.family, r.interface, r.gateway) for r in routes})
    return LocalView(
        ipv4=socket.AF_INET in families and any(_usable(h.address, 4) for h in held),
        ipv6=socket.AF_INET6 in families and any(_usable(h.address, 6) for h in held),
        fingerprint=hashlib.sha256(repr((networks, gateways)).encode()).hexdigest()[:32],
    )


def _network(held: Held) -> str:
    """The network, not the address: IPv6 privacy addresses change daily on a network that stays."""
    address = ipaddress.ip_address(held.address)
    prefix = held.prefix if address.version == 4 else min(held.prefix, 64)
    return f"{held.interface} {ipaddress.ip_network((held.address, prefix), strict=False)}"


def _usable(address: str, version: int) -> bool:
    """Whether a packet with this source may come back from the Internet, NAT allowed for IPv4."""
    parsed = ipaddress.ip_address(address)
    if parsed.version != version or parsed.is_loopback or parsed.is_link_local:
        return False
    return version == 4 or not parsed.is_private


def _loops(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _loopback_interfaces() -> set[int]:
    """The interfaces named lo; addresses put there for a test or a service are not ours to hide."""
    return {index for index, name in socket.if_nameindex() if name == "lo"}


def _routed() -> tuple[Held, ...]:
    """Without netlink: the source addresses the system would use, one a family."""
    found: list[Held] = []
    for family, target in zip((socket.AF_INET, socket.AF_INET6), _UNSENT, strict=True):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                address = str(probe.getsockname()[0]).partition("%")[0]
                found.append(Held(-1, address, 64 if family == socket.AF_INET6 else 32))
        except OSError:
            continue
    return tuple(found)
