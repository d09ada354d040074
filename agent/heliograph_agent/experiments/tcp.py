"""Whether a port accepts a connection. See tcp.md."""

from dataclasses import dataclass

from heliograph_agent.endpoints import connected, find, host_and_port
from heliograph_agent.experiment import Experiment, Target
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Nothing to choose."""


async def tcp(target: Target, config: Config, net: Net) -> None:
    del config
    host, port = host_and_port(target.text)
    for address in await find(host, net):
        async with connected(net, address, port):
            pass


EXPERIMENT = Experiment(
    name="tcp",
    version=1,
    title="TCP: does a port accept a connection",
    config=Config,
    run=tcp,
    wants="endpoint",
)
