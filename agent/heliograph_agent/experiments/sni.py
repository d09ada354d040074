"""Whether a name is minded in a ClientHello, or an address. See sni.md."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.experiments.web import SniConfig
from heliograph_agent.experiments.endpoints import (
    Address,
    connected,
    find,
    host_and_port,
    is_literal,
)
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net

OWN_TRIED = 3  # of the target's addresses


@dataclass(frozen=True, slots=True)
class Hello:
    """A ClientHello to one address: the label of its steps, the name, and how it is checked."""

    label: str
    name: str
    send_sni: bool = True
    trust: str = "any"  # the certificate of a server that is shown a stranger's name cannot fit


@dataclass(frozen=True, slots=True)
class Place:
    """A server, the label of its lookup, and how many of its addresses are greeted."""

    label: str
    host: str
    port: int
    most: int


async def sni(target: Target, config: SniConfig, net: Net) -> None:
    name, port = host_and_port(target.text, default_port=443)
    neutral, neutral_port = host_and_port(config.neutral, default_port=443)
    if is_literal(name) or is_literal(neutral):
        raise CannotRun("An address is no name to send: give a host name, and as neutral too.")
    strangers = (
        Hello("neutral", neutral),
        Hello("none", neutral, send_sni=False),
        Hello("target", name),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(_show(Place("neutral", neutral, neutral_port, 1), strangers, net))
        if config.direct:
            own = (Hello("direct_neutral", neutral), Hello("direct", name, trust=""))
            group.create_task(_show(Place("direct", name, port, OWN_TRIED), own, net))


async def _show(place: Place, hellos: Sequence[Hello], net: Net) -> None:
    found = await find(place.host, net, label=place.label)
    async with asyncio.TaskGroup() as group:
        for address in found[: place.most]:
            group.create_task(_greet(address, place.port, hellos, net))


async def _greet(address: Address, port: int, hellos: Sequence[Hello], net: Net) -> None:
    """One after the other, and what nobody minds goes first: a filter that was woken may turn
    away what follows."""
    for hello in hellos:
        async with connected(net, address, port, label=hello.label) as stream:
            if stream is None:
                continue
            _, secured = await net.handshake(
                stream, hello.name, send_sni=hello.send_sni, trust=hello.trust
            )
            if secured is not None:
                secured.close()
