"""Test whether VPN servers answer the first message of their protocol. See vpn.md."""

import asyncio
import base64
import binascii
from collections import Counter
from dataclasses import dataclass

from heliograph.experiments.circumvention import VpnConfig
from heliograph.failure import Failure
from heliograph_agent.experiments.endpoints import (
    Address,
    find_addresses,
    parse_host_port,
    try_exchange,
)
from heliograph_agent.experiments.experiment import BadTarget, CannotRun, Target
from heliograph_agent.net import Net, ProbeMessage
from heliograph_agent.protocols.vpn import (
    OPENVPN_RANDOM_BYTES,
    WIREGUARD_KEY_BYTES,
    WIREGUARD_RANDOM_BYTES,
    HandshakeInitiation,
    HardReset,
)

MAX_SERVERS = 16  # servers of one measurement
_HOW = "give openvpn://HOST:PORT/udp, openvpn://HOST:PORT/tcp or wireguard://PUBLIC-KEY@HOST:PORT"
_URL_SAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Server:
    """Describe a VPN server: protocol, host, port, transport and key."""

    protocol: str  # openvpn, wireguard
    host: str
    port: int
    is_tcp: bool = False
    key: bytes = b""  # the public key of a WireGuard server


async def vpn(target: Target, config: VpnConfig, net: Net) -> None:
    private = parse_key(config.private_key, "private_key") if config.private_key else b""
    servers = parse_servers(target.value)
    for server in servers:
        _check_server(server, private, net)
    numbers: Counter[str] = Counter()
    async with asyncio.TaskGroup() as group:
        for server in servers:
            numbers[server.protocol] += 1
            label = f"{server.protocol}-{numbers[server.protocol]}"
            group.create_task(_visit_server(server, label, private, config.attempts, net))


def parse_servers(value: str) -> tuple[Server, ...]:
    """Parse one or several servers, separated by blanks or commas. Raises CannotRun."""
    servers = tuple(_parse_server(url) for url in value.replace(",", " ").split())
    if not 0 < len(servers) <= MAX_SERVERS:
        raise CannotRun(
            f"{len(servers)} servers were given; from 1 to {MAX_SERVERS} are allowed: {_HOW}."
        )
    return servers


def parse_key(encoded: str, subject: str) -> bytes:
    """Decode 32 bytes of Base64, of either alphabet, padded or not. Raises CannotRun."""
    standard = encoded.translate(_URL_SAFE).rstrip("=")
    try:
        key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != WIREGUARD_KEY_BYTES or not any(key):
        raise BadTarget(f"{subject} is no WireGuard key: 44 characters of Base64 are one.")
    return key


def _parse_server(url: str) -> Server:
    protocol, _, rest = url.partition("://")
    key, separator, host_port = rest.rpartition("@")
    if protocol == "openvpn" and not separator:
        host_port, _, transport = host_port.partition("/")
        if transport in ("", "udp", "tcp"):
            host, port = parse_host_port(host_port, default_port=1194)
            return Server(protocol, host, port, is_tcp=transport == "tcp")
    elif protocol == "wireguard" and separator:
        host, port = parse_host_port(host_port.rstrip("/"), default_port=51820)
        return Server(protocol, host, port, key=parse_key(key, "what stands before the @"))
    raise BadTarget(f"{url!r} names no VPN server: {_HOW}.")


def _check_server(server: Server, private: bytes, net: Net) -> None:
    """Raise CannotRun when the server's key gives no shared secret."""
    try:
        _make_message(server, private, net).make_request()
    except ValueError as error:
        raise BadTarget("What stands before the @ is a key that nobody can have.") from error


async def _visit_server(
    server: Server, label: str, private: bytes, attempts: int, net: Net
) -> None:
    for address in (await find_addresses(server.host, net, label=label))[:2]:
        if server.is_tcp:
            message = _make_message(server, private, net)
            await try_exchange(net, address, server.port, message, label=label)
        else:
            await _send_datagrams(server, address, label, private, attempts, net)


async def _send_datagrams(
    server: Server, address: Address, label: str, private: bytes, attempts: int, net: Net
) -> None:
    """Send again without a reply: one lost datagram proves nothing."""
    for _ in range(attempts):
        message = _make_message(server, private, net)
        peer = (address.literal, server.port)
        result = await net.datagram(*peer, message, on=address.lookup, endpoint=label)
        if result.observation.failure is not Failure.GENERIC_TIMEOUT_ERROR:
            return


def _make_message(server: Server, private: bytes, net: Net) -> ProbeMessage:
    if server.protocol == "openvpn":
        return HardReset(net.random(OPENVPN_RANDOM_BYTES), is_framed=server.is_tcp)
    return HandshakeInitiation(
        server.key, net.random(WIREGUARD_RANDOM_BYTES), net.wall_us(), private
    )
