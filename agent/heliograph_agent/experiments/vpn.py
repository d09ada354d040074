"""Whether VPN servers answer the first message of their protocol. See vpn.md."""

import asyncio
import base64
import binascii
from collections import Counter
from dataclasses import dataclass

from heliograph.experiments.circumvention import VpnConfig
from heliograph.failure import Failure
from heliograph_agent.experiments.endpoints import Address, connected, find, host_and_port
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net, Speech
from heliograph_agent.protocols import openvpn, wireguard

MOST = 16  # servers of one measurement
_HOW = "give openvpn://HOST:PORT/udp, openvpn://HOST:PORT/tcp or wireguard://PUBLIC-KEY@HOST:PORT"
_URL_SAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Server:
    """Where, over what, and what is said there."""

    protocol: str  # openvpn, wireguard
    host: str
    port: int
    tcp: bool = False
    key: bytes = b""  # a WireGuard server's public one


async def vpn(target: Target, config: VpnConfig, net: Net) -> None:
    private = key_of(config.private_key, "private_key") if config.private_key else b""
    servers = servers_of(target.text)
    for server in servers:
        _must_be_sayable(server, private, net)
    numbers: Counter[str] = Counter()
    async with asyncio.TaskGroup() as group:
        for server in servers:
            numbers[server.protocol] += 1
            label = f"{server.protocol}-{numbers[server.protocol]}"
            group.create_task(_visit(server, label, private, config.attempts, net))


def servers_of(text: str) -> tuple[Server, ...]:
    """What a target names, one or several with blanks or commas between. Raises CannotRun."""
    servers = tuple(_server(url) for url in text.replace(",", " ").split())
    if not 0 < len(servers) <= MOST:
        raise CannotRun(f"{len(servers)} servers were given; from 1 to {MOST} are allowed: {_HOW}.")
    return servers


def key_of(text: str, what: str) -> bytes:
    """32 bytes of Base64, of either alphabet, padded or not. Raises CannotRun."""
    plain = text.translate(_URL_SAFE).rstrip("=")
    try:
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != wireguard.KEY or not any(key):
        raise CannotRun(f"{what} is no WireGuard key: 44 characters of Base64 are one.")
    return key


def _server(url: str) -> Server:
    protocol, _, rest = url.partition("://")
    key, at, place = rest.rpartition("@")
    if protocol == "openvpn" and not at:
        place, _, transport = place.partition("/")
        if transport in ("", "udp", "tcp"):
            host, port = host_and_port(place, default_port=1194)
            return Server(protocol, host, port, tcp=transport == "tcp")
    elif protocol == "wireguard" and at:
        host, port = host_and_port(place.rstrip("/"), default_port=51820)
        return Server(protocol, host, port, key=key_of(key, "what stands before the @"))
    raise CannotRun(f"{url!r} names no VPN server: {_HOW}.")


def _must_be_sayable(server: Server, private: bytes, net: Net) -> None:
    """Raises CannotRun when the server's key is one that gives no secret to share."""
    try:
        _speech(server, private, net).opening()
    except ValueError as error:
        raise CannotRun("What stands before the @ is a key that nobody can have.") from error


async def _visit(server: Server, label: str, private: bytes, attempts: int, net: Net) -> None:
    for address in (await find(server.host, net, label=label))[:2]:
        if not server.tcp:
            await _by_datagram(server, address, label, private, attempts, net)
            continue
        async with connected(net, address, server.port, label=label) as stream:
            if stream is not None:
                await net.exchange(stream, _speech(server, private, net))


async def _by_datagram(
    server: Server, address: Address, label: str, private: bytes, attempts: int, net: Net
) -> None:
    """Again when nothing came: one datagram that is lost says nothing."""
    for _ in range(attempts):
        speech = _speech(server, private, net)
        where = (address.literal, server.port)
        seen = await net.datagram(*where, speech, on=address.on, endpoint=label)
        if seen.observation.failure is not Failure.GENERIC_TIMEOUT_ERROR:
            return


def _speech(server: Server, private: bytes, net: Net) -> Speech:
    """A new one for every connection."""
    if server.protocol == "openvpn":
        return openvpn.HardReset(net.random(openvpn.CHANCE), framed=server.tcp)
    return wireguard.Initiation(server.key, net.random(wireguard.CHANCE), net.wall_us(), private)
