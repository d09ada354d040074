"""Test whether a port accepts a connection. See tcp.md."""

from heliograph.experiments.network import TcpConfig
from heliograph_agent.experiments.endpoints import find_addresses, open_stream, parse_host_port
from heliograph_agent.experiments.experiment import Target
from heliograph_agent.net import Net


async def tcp(target: Target, config: TcpConfig, net: Net) -> None:
    del config
    host, port = parse_host_port(target.value)
    for address in await find_addresses(host, net):
        async with open_stream(net, address, port):
            pass
