"""A connection through the user's own proxy: SOCKS5 (RFC 1928, 1929) or HTTP CONNECT (RFC 9110).

The proxy looks the names up. Its own address must be one, or `localhost`: to look up a name for it
would already go past it.
"""

import base64
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from heliograph.address import literal
from heliograph.failure import Failure
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.tcp import Wire

PORTS = {"socks5": 1_080, "http": 8_080}
_MAX_HEAD = 8_192
_NOTHING, _PASSWORD, _REFUSED = 0, 2, 255  # ways of showing who one is
_REPLIES = {
    2: Failure.PERMISSION_DENIED,
    3: Failure.NETWORK_UNREACHABLE,
    4: Failure.HOST_UNREACHABLE,
    5: Failure.CONNECTION_REFUSED,
    6: Failure.HOST_UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Proxy:
    scheme: str  # of PORTS
    address: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def parse_proxy(text: str) -> Proxy:
    """Raises ValueError."""
    parts = urlsplit(text)
    host = parts.hostname or ""
    address = "127.0.0.1" if host == "localhost" else literal(host)
    plain = not (parts.query or parts.fragment) and parts.path in ("", "/")
    if parts.scheme not in PORTS or not address or not plain:
        raise ValueError(f"{text!r} is no proxy's address")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if len(user.encode()) > 255 or len(password.encode()) > 255:
        raise ValueError("user and password have at most 255 bytes each")
    return Proxy(parts.scheme, address, parts.port or PORTS[parts.scheme], user, password)


async def ask(proxy: Proxy, wire: Wire, host: str, port: int) -> None:
    """Have a proxy that was just connected lead on to `host`; after that the bytes are the peer's.

    Raises OSError, EOFError, or StepError with what the proxy met. The caller bounds the wait.
    """
    if proxy.scheme == "http":
        await _connect(proxy, wire, host, port)
    else:
        await _greet(proxy, wire)
        await _request(wire, host, port)


async def _greet(proxy: Proxy, wire: Wire) -> None:
    ways = bytes([_NOTHING, _PASSWORD]) if proxy.user else bytes([_NOTHING])
    wire.write(bytes([5, len(ways)]) + ways)
    version, way = await wire.inbox.readexactly(2)
    if version != 5 or way not in (*ways, _REFUSED):
        raise StepError(Failure.UNEXPECTED_REPLY)
    if way == _REFUSED:
        raise StepError(Failure.PERMISSION_DENIED)
    if way == _PASSWORD:
        user, password = proxy.user.encode(), proxy.password.encode()
        wire.write(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if (await wire.inbox.readexactly(2))[1]:
            raise StepError(Failure.PERMISSION_DENIED)


async def _request(wire: Wire, host: str, port: int) -> None:
    wire.write(b"\x05\x01\x00" + _destination(host) + port.to_bytes(2, "big"))
    version, said, _, kind = await wire.inbox.readexactly(4)
    if version != 5:
        raise StepError(Failure.UNEXPECTED_REPLY)
    if said:
        raise StepError(_REPLIES.get(said, Failure.CONNECTION_ABORTED))
    sizes = {1: 4, 4: 16}
    size = sizes[kind] if kind in sizes else (await wire.inbox.readexactly(1))[0]
    await wire.inbox.readexactly(size + 2)  # where it leads from; nobody asked


def _destination(host: str) -> bytes:
    if address := literal(host):
        packed = ip_address(address).packed
        return bytes([1 if len(packed) == 4 else 4]) + packed
    name = host.encode("idna") if not host.isascii() else host.encode()
    if len(name) > 255:
        raise StepError(Failure.INVALID_ARGUMENT)
    return bytes([3, len(name)]) + name


async def _connect(proxy: Proxy, wire: Wire, host: str, port: int) -> None:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.user:
        token = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {token}")
    wire.write("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = await wire.inbox.read(_MAX_HEAD)
        if not data:
            raise EOFError
        head += data
        if len(head) > _MAX_HEAD:
            raise StepError(Failure.UNEXPECTED_REPLY)
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", head)
    if found is None or not head.endswith(b"\r\n\r\n"):
        raise StepError(Failure.UNEXPECTED_REPLY)
    if found[1][:1] != b"2":
        refused = found[1] in (b"401", b"403", b"407")
        raise StepError(Failure.PERMISSION_DENIED if refused else Failure.CONNECTION_ABORTED)
