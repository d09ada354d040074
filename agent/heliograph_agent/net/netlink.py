"""Addresses and default routes from Linux, over rtnetlink: no traffic, no privilege.

On other systems the lists are empty, and `local` asks the routing table another way.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

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
