"""Connect through the user's proxy by SOCKS5 or HTTP CONNECT.

The sources are RFC 1928 and 1929, and RFC 9110. The proxy looks names up. It must be given by its
IP address, or as `localhost`, because a look-up of its name would already bypass it.
"""

import base64
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from heliograph.address import parse_literal
from heliograph.failure import Failure
from heliograph.host_name import encode_host
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.tcp import TcpConnection

PORTS = {"socks5": 1_080, "http": 8_080}
_MAX_HEAD = 8_192
# SOCKS5 authentication methods (RFC 1928 section 3)
_NOTHING = 0
_PASSWORD = 2
_REFUSED = 255
_REPLIES = {
    2: Failure.PERMISSION_DENIED,
    3: Failure.NETWORK_UNREACHABLE,
    4: Failure.HOST_UNREACHABLE,
    5: Failure.CONNECTION_REFUSED,
    6: Failure.HOST_UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Proxy:
    """Hold the address and credentials of a proxy."""

    scheme: str  # a key of PORTS
    address: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def parse_proxy(proxy_url: str) -> Proxy:
    """Parse the URL of a proxy. Raises ValueError."""
    parts = urlsplit(proxy_url)
    host = parts.hostname or ""
    address = "127.0.0.1" if host == "localhost" else parse_literal(host)
    is_plain = not (parts.query or parts.fragment) and parts.path in ("", "/")
    if parts.scheme not in PORTS or not address or not is_plain:
        raise ValueError(f"{proxy_url!r} is no proxy's address")
    user = unquote(parts.username or "")
    password = unquote(parts.password or "")
    if len(user.encode()) > 255 or len(password.encode()) > 255:
        raise ValueError("user and password have at most 255 bytes each")
    return Proxy(parts.scheme, address, parts.port or PORTS[parts.scheme], user, password)


async def open_tunnel(proxy: Proxy, connection: TcpConnection, host: str, port: int) -> None:
    """Ask a connected proxy for a tunnel to `host`; later bytes are the host's.

    Raises OSError, EOFError, or StepError with the proxy's failure. The caller limits the wait.
    """
    if proxy.scheme == "http":
        await _request_http(proxy, connection, host, port)
    else:
        await _greet_socks(proxy, connection)
        await _request_socks(connection, host, port)


async def _greet_socks(proxy: Proxy, connection: TcpConnection) -> None:
    methods = bytes([_NOTHING, _PASSWORD]) if proxy.user else bytes([_NOTHING])
    connection.write(bytes([5, len(methods)]) + methods)
    version, method = await connection.receive_buffer.readexactly(2)
    if version != 5 or method not in (*methods, _REFUSED):
        raise StepError(Failure.UNEXPECTED_REPLY)
    if method == _REFUSED:
        raise StepError(Failure.PERMISSION_DENIED)
    if method == _PASSWORD:
        user = proxy.user.encode()
        password = proxy.password.encode()
        connection.write(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if (await connection.receive_buffer.readexactly(2))[1]:
            raise StepError(Failure.PERMISSION_DENIED)


async def _request_socks(connection: TcpConnection, host: str, port: int) -> None:
    connection.write(b"\x05\x01\x00" + _encode_destination(host) + port.to_bytes(2, "big"))
    version, reply_code, _, kind = await connection.receive_buffer.readexactly(4)
    if version != 5:
        raise StepError(Failure.UNEXPECTED_REPLY)
    if reply_code:
        raise StepError(_REPLIES.get(reply_code, Failure.CONNECTION_ABORTED))
    sizes = {1: 4, 4: 16}
    size = sizes[kind] if kind in sizes else (await connection.receive_buffer.readexactly(1))[0]
    await connection.receive_buffer.readexactly(size + 2)  # the bound address and port


def _encode_destination(host: str) -> bytes:
    if address := parse_literal(host):
        packed = ip_address(address).packed
        return bytes([1 if len(packed) == 4 else 4]) + packed
    name = (encode_host(host) or "").encode()
    if not name:
        raise StepError(Failure.INVALID_ARGUMENT)
    return bytes([3, len(name)]) + name


async def _request_http(proxy: Proxy, connection: TcpConnection, host: str, port: int) -> None:
    destination = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {destination} HTTP/1.1", f"Host: {destination}"]
    if proxy.user:
        token = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {token}")
    connection.write("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = await connection.receive_buffer.read(_MAX_HEAD)
        if not data:
            raise EOFError
        head += data
        if len(head) > _MAX_HEAD:
            raise StepError(Failure.UNEXPECTED_REPLY)
    match = re.match(rb"HTTP/1\.[01] ([0-9]{3})", head)
    if match is None or not head.endswith(b"\r\n\r\n"):
        raise StepError(Failure.UNEXPECTED_REPLY)
    if match[1][:1] != b"2":
        is_refused = match[1] in (b"401", b"403", b"407")
        raise StepError(Failure.PERMISSION_DENIED if is_refused else Failure.CONNECTION_ABORTED)
