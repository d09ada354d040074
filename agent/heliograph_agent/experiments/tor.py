"""Whether Tor's authorities and bridges answer, and whether Tor comes up. See tor.md."""

import asyncio
import base64
from collections.abc import Iterable, Sequence

from heliograph.experiments.circumvention import TorConfig
from heliograph.plan import Endpoint, EndpointKind
from heliograph_agent.experiments.endpoints import connected, find, visit_all
from heliograph_agent.experiments.experiment import CannotRun, Target, service_of
from heliograph_agent.net import Net

OR_PORT = "or_port"  # the group of endpoints that speak as relays do
BOOTSTRAP = "bootstrap"


async def tor(target: Target, config: TorConfig, net: Net) -> None:
    endpoints = service_of(target).endpoints
    if config.bridge and not config.bootstrap:
        raise CannotRun("A bridge serves the bootstrap alone: give bootstrap=true as well.")
    relays = [e for e in endpoints if e.group == OR_PORT and e.kind is EndpointKind.TLS]
    others = [e for e in endpoints if e not in relays]
    missing: list[str] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(_others(others, net, config.concurrency, missing))
        group.create_task(_relays(relays, net, config.concurrency))
        if config.bootstrap:
            group.create_task(_bootstrap(config.bridge, net, missing))
    if missing:
        raise CannotRun(missing[0])


async def _others(
    others: Sequence[Endpoint], net: Net, concurrency: int, missing: list[str]
) -> None:
    try:
        await visit_all(others, net, concurrency)
    except CannotRun as problem:
        missing.append(str(problem))


async def _relays(relays: Iterable[Endpoint], net: Net, concurrency: int) -> None:
    gate = asyncio.Semaphore(concurrency)

    async def one(relay: Endpoint) -> None:
        async with gate:
            for address in await find(relay.host, net, label=relay.id):
                async with connected(net, address, relay.port, label=relay.id) as stream:
                    if stream is not None:
                        name = made_up(net.random(10))
                        _, secured = await net.handshake(stream, name, alpn=(), trust="any")
                        if secured is not None:
                            secured.close()

    async with asyncio.TaskGroup() as group:
        for relay in relays:
            group.create_task(one(relay))


def made_up(chance: bytes) -> str:
    """A server name as Tor's own clients send it: www, letters and digits of no meaning, com."""
    return f"www.{base64.b32encode(chance).decode('ascii').lower()}.com"


async def _bootstrap(bridge: str, net: Net, missing: list[str]) -> None:
    try:
        await net.tor((bridge,) if bridge else (), endpoint=BOOTSTRAP)
    except ValueError as error:  # none is installed, or it took no such bridge
        missing.append(str(error))
