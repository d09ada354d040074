"""Test whether a name in a ClientHello is blocked. See sni.md.

A hello to the target's own server also tests its address.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.experiments.web import SniConfig
from heliograph_agent.experiments.endpoints import (
    Address,
    find_addresses,
    is_literal,
    open_stream,
    parse_host_port,
)
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net

OWN_TRIED = 3  # number of the target's addresses


@dataclass(frozen=True, slots=True)
class HelloSpec:
    """Describe a ClientHello: the label of its steps, the name, and the check."""

    label: str
    name: str
    send_sni: bool = True
    trust: str = "any"  # a server that gets another's name has no certificate for it


@dataclass(frozen=True, slots=True)
class SniServer:
    """Describe a server, the label of its lookup, and how many addresses to visit."""

    label: str
    host: str
    port: int
    max_addresses: int


async def sni(target: Target, config: SniConfig, net: Net) -> None:
    name, port = parse_host_port(target.value, default_port=443)
    neutral, neutral_port = parse_host_port(config.neutral, default_port=443)
    if is_literal(name) or is_literal(neutral):
        raise CannotRun("An address is no name to send: give a host name, and as neutral too.")
    neutral_hellos = (
        HelloSpec("neutral", neutral),
        HelloSpec("none", neutral, send_sni=False),
        HelloSpec("target", name),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(
            _visit_server(SniServer("neutral", neutral, neutral_port, 1), neutral_hellos, net)
        )
        if config.direct:
            direct_hellos = (
                HelloSpec("direct_neutral", neutral),
                HelloSpec("direct", name, trust=""),
            )
            group.create_task(
                _visit_server(SniServer("direct", name, port, OWN_TRIED), direct_hellos, net)
            )


async def _visit_server(server: SniServer, hellos: Sequence[HelloSpec], net: Net) -> None:
    addresses = await find_addresses(server.host, net, label=server.label)
    async with asyncio.TaskGroup() as group:
        for address in addresses[: server.max_addresses]:
            group.create_task(_send_hellos(address, server.port, hellos, net))


async def _send_hellos(address: Address, port: int, hellos: Sequence[HelloSpec], net: Net) -> None:
    """Send the hellos in turn, neutral first: a triggered filter may reject the rest."""
    for hello in hellos:
        async with open_stream(net, address, port, label=hello.label) as stream:
            if stream is None:
                continue
            _, tls_stream = await net.handshake(
                stream, hello.name, send_sni=hello.send_sni, trust=hello.trust
            )
            if tls_stream is not None:
                tls_stream.close()
