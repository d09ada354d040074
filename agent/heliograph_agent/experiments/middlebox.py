"""Detect middleboxes on the path that change or answer requests. See middlebox.md."""

import asyncio
from collections.abc import Mapping

from heliograph.experiments.network import MiddleboxConfig
from heliograph_agent.experiments.endpoints import (
    find_addresses,
    parse_host_port,
    try_exchange,
)
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net, ProbeMessage
from heliograph_agent.protocols.echo import RANDOM_BYTES, HttpEcho, TcpEcho, make_malformed_lines


async def middlebox(target: Target, config: MiddleboxConfig, net: Net) -> None:
    host, port = parse_host_port(target.value, default_port=80)
    if not (config.headers or config.lines):
        raise CannotRun("With headers=false and lines=false nothing is left to send.")
    for address in (await find_addresses(host, net))[:1]:
        async with asyncio.TaskGroup() as group:
            for label, message in make_messages(host, port, config, net).items():
                group.create_task(try_exchange(net, address, port, message, label=label))


def make_messages(
    host: str, port: int, config: MiddleboxConfig, net: Net
) -> Mapping[str, ProbeMessage]:
    """Make the messages by label; each is sent over a separate connection."""
    messages: dict[str, ProbeMessage] = {}
    if config.headers:
        host_part = f"[{host}]" if ":" in host else host
        messages["http"] = HttpEcho(
            host_part if port == 80 else f"{host_part}:{port}", net.random(RANDOM_BYTES)
        )
    if config.lines:
        lines = make_malformed_lines(net.random(RANDOM_BYTES))
        messages |= {label: TcpEcho(line) for label, line in lines.items()}
    return messages
