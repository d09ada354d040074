"""This machine's own view of its network: which families lead out, and whether it has changed.

Nothing here leaves the process: the fingerprint is a digest of addresses, which a reader could
guess back, so it is only ever compared with an earlier one.
"""

import hashlib
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from heliograph_agent.net import netlink
from heliograph_agent.net.barred import Network, network_of
from heliograph_agent.net.netlink import DefaultRoute, Held

_UNSENT = ("192.0.2.1", "2001:db8::1")  # documentation addresses; a UDP connect sends nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalView:
    ipv4: bool  # a default route and an address that can use it
    ipv6: bool
    fingerprint: str  # changes with interfaces, networks and gateways


def local_view() -> LocalView:
    """Cheap enough for a look every few seconds; sends nothing."""
    return view_of(netlink.held() or _routed(), netlink.default_routes())


def own_addresses() -> tuple[str, ...]:
    """Every address of this machine except those of its loopback interface."""
    loopback = _loopback_interfaces()
    known = netlink.held() or _routed()
    return tuple(h.address for h in known if h.interface not in loopback and not _loops(h.address))


def own_networks() -> tuple[Network, ...]:
    """The networks that this machine's interfaces stand in, loopback left out."""
    known = netlink.held() or _routed()
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
