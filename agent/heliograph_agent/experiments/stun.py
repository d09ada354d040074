"""Whether STUN servers answer over UDP: what calls begin with. See stun.md."""

from heliograph.experiments.network import StunConfig
from heliograph.plan import Endpoint, EndpointKind
from heliograph_agent.experiments.endpoints import host_and_port, visit_all
from heliograph_agent.experiments.experiment import Target
from heliograph_agent.net import Net

PORT = 3478


async def stun(target: Target, config: StunConfig, net: Net) -> None:
    endpoints = target.service.endpoints if target.service else (lone(target.text),)
    await visit_all(endpoints, net, config.concurrency, ipv4=config.addresses)


def lone(text: str) -> Endpoint:
    """The server that a person named. Raises CannotRun."""
    host, port = host_and_port(text.removeprefix("stun:"), default_port=PORT)
    return Endpoint(id="stun", kind=EndpointKind.STUN, host=host, port=port)
