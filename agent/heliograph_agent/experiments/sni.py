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
    parse_host_port,
    try_handshake,
)
from heliograph_agent.experiments.experiment import BadTarget, Target
from heliograph_agent.net import Net

OWN_TRIED = 3  # number of the target's addresses


@dataclass(frozen=True, slots=True)
class HelloSpec:
    """Describe a ClientHello: the label of its steps, the name, and the check."""

    label: str
    name: str
    send_sni: bool = True
    trust: str = "any"  # a server that gets another's name has no certificate for it


async def sni(target: Target, config: SniConfig, net: Net) -> None:
    name, port = parse_host_port(target.value, default_port=443)
    neutral, neutral_port = parse_host_port(config.neutral, default_port=443)
    if is_literal(name) or is_literal(neutral):
        raise BadTarget("An address is no name to send: give a host name, and as neutral too.")
    neutral_hellos = (
        HelloSpec("neutral", neutral),
        HelloSpec("none", neutral, send_sni=False),
        HelloSpec("target", name),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(_visit_server("neutral", neutral, neutral_port, 1, neutral_hellos, net))
        if config.direct:
            direct_hellos = (
                HelloSpec("direct_neutral", neutral),
                HelloSpec("direct", name, trust=""),
            )
            group.create_task(_visit_server("direct", name, port, OWN_TRIED, direct_hellos, net))


async def _visit_server(
    label: str, host: str, port: int, max_addresses: int, hellos: Sequence[HelloSpec], net: Net
) -> None:
    addresses = await find_addresses(host, net, label=label)
    async with asyncio.TaskGroup() as group:
        for address in addresses[:max_addresses]:
            group.create_task(_send_hellos(address, port, hellos, net))


async def _send_hellos(address: Address, port: int, hellos: Sequence[HelloSpec], net: Net) -> None:
    """Send the hellos in turn, neutral first: a triggered filter may reject the rest."""
    for hello in hellos:
        await try_handshake(
            net,
            address,
            port,
            hello.name,
            label=hello.label,
            send_sni=hello.send_sni,
            trust=hello.trust,
        )
