"""Whether a port accepts a connection. See tcp.md."""

from heliograph.experiments.network import TcpConfig
from heliograph_agent.experiments.endpoints import connected, find, host_and_port
from heliograph_agent.experiments.experiment import Target
from heliograph_agent.net import Net


async def tcp(target: Target, config: TcpConfig, net: Net) -> None:
    del config
    host, port = host_and_port(target.text)
    for address in await find(host, net):
        async with connected(net, address, port):
            pass
