"""Whether somebody on the way changes requests, or answers them himself. See middlebox.md."""

import asyncio
from collections.abc import Mapping

from heliograph.experiments.network import MiddleboxConfig
from heliograph_agent.experiments.endpoints import Address, connected, find, host_and_port
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net, Speech
from heliograph_agent.protocols.echo import CHANCE, HttpEcho, TcpEcho, malformed_lines


async def middlebox(target: Target, config: MiddleboxConfig, net: Net) -> None:
    host, port = host_and_port(target.text, default_port=80)
    if not (config.headers or config.lines):
        raise CannotRun("With headers=false and lines=false nothing is left to send.")
    for address in (await find(host, net))[:1]:
        async with asyncio.TaskGroup() as group:
            for label, speech in speeches(host, port, config, net).items():
                group.create_task(_say(label, speech, address, port, net))


def speeches(host: str, port: int, config: MiddleboxConfig, net: Net) -> Mapping[str, Speech]:
    """What is said, each over a connection of its own, by the label of its steps."""
    said: dict[str, Speech] = {}
    if config.headers:
        place = f"[{host}]" if ":" in host else host
        said["http"] = HttpEcho(place if port == 80 else f"{place}:{port}", net.random(CHANCE))
    if config.lines:
        lines = malformed_lines(net.random(CHANCE))
        said |= {label: TcpEcho(line) for label, line in lines.items()}
    return said


async def _say(label: str, speech: Speech, address: Address, port: int, net: Net) -> None:
    async with connected(net, address, port, label=label) as stream:
        if stream is not None:
            await net.exchange(stream, speech)
