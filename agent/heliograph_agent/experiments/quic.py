"""Compare QUIC to a host with TLS over TCP and QUIC to others. See quic.md."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.error_group import find_first_error
from heliograph.experiments.network import QUIC_BROWSERS, QuicConfig
from heliograph.hello_profiles import load_shipped_profiles
from heliograph_agent.experiments.endpoints import (
    Address,
    find_addresses,
    is_literal,
    parse_host_port,
    try_handshake,
)
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net
from heliograph_agent.protocols.quic_hello import QUIC_RANDOM_BYTES, QuicBrowserHello

NEUTRAL_BROWSER = "neutral_chrome"


@dataclass(frozen=True, slots=True)
class QuicServer:
    """Describe a server by its label, host and port."""

    label: str
    host: str
    port: int

    @property
    def url(self) -> str:
        host_part = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host_part}/" if self.port == 443 else f"https://{host_part}:{self.port}/"


async def quic(target: Target, config: QuicConfig, net: Net) -> None:
    target_server = QuicServer("target", *parse_host_port(target.value, default_port=443))
    neutral_server = (
        QuicServer("neutral", *parse_host_port(config.neutral, default_port=443))
        if config.neutral
        else None
    )
    limit = config.body_limit if config.page else None
    missing: list[str] = []
    try:
        async with asyncio.TaskGroup() as group:
            target_visit = group.create_task(_visit_target(target_server, limit, net))
            if neutral_server is not None:
                group.create_task(_visit_neutral(neutral_server, net))
    except* ValueError as problems:  # QUIC is not installed
        missing.append(str(find_first_error(problems)))
    if missing:
        raise CannotRun(missing[0])
    if neutral_server is not None and not target_visit.result():
        await _say_neutral(neutral_server, net)


async def _visit_target(server: QuicServer, limit: int | None, net: Net) -> bool:
    """Visit each address; return whether every browser's hello was answered."""
    addresses = await find_addresses(server.host, net, label=server.label)
    async with asyncio.TaskGroup() as group:
        for address in addresses[1:]:
            group.create_task(_run_handshake(server, address, limit, net))
        for address in addresses:
            group.create_task(try_handshake(net, address, server.port, server.host, label="tcp"))
        first = group.create_task(_visit_first(server, addresses[:1], limit, net))
    return first.result()


async def _visit_first(
    server: QuicServer, addresses: Sequence[Address], limit: int | None, net: Net
) -> bool:
    """Say browsers' hellos, then make our own handshake.

    Ours comes last: a filter that reads only its one packet refuses what follows for a while, and
    browsers' hellos would seem to be filtered, too.
    """
    is_answered = True
    for address in addresses:
        for name in QUIC_BROWSERS:
            is_answered &= await _say_browser(name, name, server, address, net)
        await _run_handshake(server, address, limit, net)
    return is_answered


async def _visit_neutral(server: QuicServer, net: Net) -> None:
    for address in (await find_addresses(server.host, net, label=server.label))[:1]:
        await _run_handshake(server, address, None, net)


async def _say_neutral(server: QuicServer, net: Net) -> None:
    """Send a browser's hello to the neutral server: too narrow a path is no filter."""
    for address in (await find_addresses(server.host, net, label=NEUTRAL_BROWSER))[:1]:
        await _say_browser(QUIC_BROWSERS[0], NEUTRAL_BROWSER, server, address, net)


async def _say_browser(
    name: str, label: str, server: QuicServer, address: Address, net: Net
) -> bool:
    """Send a browser's hello; return whether the server answered, or none was sent."""
    profiles = net.hello_profiles
    profile = profiles.get(name).quic or load_shipped_profiles().get(name).quic
    if profile is None or is_literal(server.host):
        return True
    random_bytes = net.random(QUIC_RANDOM_BYTES)
    hello = QuicBrowserHello(profile, profiles.version, server.host, random_bytes)
    result = await net.datagram(
        address.literal, server.port, hello, on=address.lookup, endpoint=label
    )
    return result.is_success


async def _run_handshake(server: QuicServer, address: Address, limit: int | None, net: Net) -> None:
    _, connection = await net.quic(
        address.literal, server.port, server.host, on=address.lookup, endpoint=server.label
    )
    if connection is None:
        return
    try:
        if limit is not None:
            await net.http3(connection, server.url, body_limit=limit)
    finally:
        connection.close()
