"""Compare QUIC to a host with TLS over TCP and QUIC to others. See quic.md."""

import asyncio
from dataclasses import dataclass

from heliograph.error_group import find_first_error
from heliograph.experiments.network import QuicConfig
from heliograph_agent.experiments.endpoints import (
    Address,
    find_addresses,
    parse_host_port,
    try_handshake,
)
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net


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
            group.create_task(_visit_target(target_server, limit, net))
            if neutral_server is not None:
                group.create_task(_visit_neutral(neutral_server, net))
    except* ValueError as problems:  # QUIC is not installed
        missing.append(str(find_first_error(problems)))
    if missing:
        raise CannotRun(missing[0])


async def _visit_target(server: QuicServer, limit: int | None, net: Net) -> None:
    async with asyncio.TaskGroup() as group:
        for address in await find_addresses(server.host, net, label=server.label):
            group.create_task(_run_handshake(server, address, limit, net))
            group.create_task(try_handshake(net, address, server.port, server.host, label="tcp"))


async def _visit_neutral(server: QuicServer, net: Net) -> None:
    for address in (await find_addresses(server.host, net, label=server.label))[:1]:
        await _run_handshake(server, address, None, net)


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
