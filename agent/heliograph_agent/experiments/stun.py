"""Test whether STUN servers, which calls need first, answer over UDP. See stun.md."""

from heliograph.experiments.network import StunConfig
from heliograph.plan import Endpoint, EndpointKind
from heliograph_agent.experiments.endpoints import parse_host_port, visit_endpoints
from heliograph_agent.experiments.experiment import Target
from heliograph_agent.net import Net

PORT = 3478


async def stun(target: Target, config: StunConfig, net: Net) -> None:
    endpoints = target.service.endpoints if target.service else (parse_server(target.value),)
    await visit_endpoints(endpoints, net, config.concurrency, ipv4=config.addresses)


def parse_server(value: str) -> Endpoint:
    """Parse the server that a user named. Raises CannotRun."""
    host, port = parse_host_port(value.removeprefix("stun:"), default_port=PORT)
    return Endpoint(id="stun", kind=EndpointKind.STUN, host=host, port=port)
