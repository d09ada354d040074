"""Visit Tor's authorities and bridges, and bootstrap tor. See tor.md."""

import asyncio
import base64
from collections.abc import Iterable, Sequence

from heliograph.experiments.circumvention import TorConfig
from heliograph.plan import Endpoint, EndpointKind
from heliograph_agent.experiments.endpoints import find_addresses, try_handshake, visit_endpoints
from heliograph_agent.experiments.experiment import CannotRun, Target, require_service
from heliograph_agent.net import Net

OR_PORT = "or_port"  # the group of the endpoints that are relays
BOOTSTRAP = "bootstrap"


async def tor(target: Target, config: TorConfig, net: Net) -> None:
    endpoints = require_service(target).endpoints
    if config.bridge and not config.bootstrap:
        raise CannotRun("A bridge serves the bootstrap alone: give bootstrap=true as well.")
    relays = [e for e in endpoints if e.group == OR_PORT and e.kind is EndpointKind.TLS]
    others = [e for e in endpoints if e not in relays]
    problems: list[str] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(_visit_others(others, net, config.concurrency, problems))
        group.create_task(_visit_relays(relays, net, config.concurrency))
        if config.bootstrap and net.list_visit_labels() is None:  # tor chooses its own addresses
            group.create_task(_run_bootstrap(config.bridge, net, problems))
    if problems:
        raise CannotRun(problems[0])


async def _visit_others(
    others: Sequence[Endpoint], net: Net, concurrency: int, problems: list[str]
) -> None:
    try:
        await visit_endpoints(others, net, concurrency)
    except CannotRun as problem:
        problems.append(str(problem))


async def _visit_relays(relays: Iterable[Endpoint], net: Net, concurrency: int) -> None:
    semaphore = asyncio.Semaphore(concurrency)

    async def visit_relay(relay: Endpoint) -> None:
        async with semaphore:
            for address in await find_addresses(relay.host, net, label=relay.id):
                name = make_server_name(net.random(10))
                await try_handshake(
                    net, address, relay.port, name, label=relay.id, alpn=(), trust="any"
                )

    async with asyncio.TaskGroup() as group:
        for relay in relays:
            group.create_task(visit_relay(relay))


def make_server_name(random_bytes: bytes) -> str:
    """Make a server name as Tor's own clients do: www, random letters and digits, com."""
    return f"www.{base64.b32encode(random_bytes).decode('ascii').lower()}.com"


async def _run_bootstrap(bridge: str, net: Net, problems: list[str]) -> None:
    try:
        await net.tor((bridge,) if bridge else (), endpoint=BOOTSTRAP)
    except ValueError as error:  # tor is not installed, or it rejected the bridge
        problems.append(str(error))
