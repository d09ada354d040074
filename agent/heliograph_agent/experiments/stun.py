"""Whether STUN servers answer over UDP: what calls begin with. See stun.md."""

from dataclasses import dataclass

from heliograph.plan import Endpoint, EndpointKind
from heliograph_agent.endpoints import host_and_port, visit_all
from heliograph_agent.experiment import Experiment, Target, option
from heliograph_agent.net import Net

PORT = 3478


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    concurrency: int = option(8, "servers asked at a time", low=1, high=16)
    addresses: int = option(1, "IPv4 addresses of one name that are asked", low=1, high=8)


async def stun(target: Target, config: Config, net: Net) -> None:
    endpoints = target.service.endpoints if target.service else (lone(target.text),)
    await visit_all(endpoints, net, config.concurrency, ipv4=config.addresses)


def lone(text: str) -> Endpoint:
    """The server that a person named. Raises CannotRun."""
    host, port = host_and_port(text.removeprefix("stun:"), default_port=PORT)
    return Endpoint(id="stun", kind=EndpointKind.STUN, host=host, port=port)


EXPERIMENT = Experiment(
    name="stun",
    version=1,
    title="STUN: binding requests over UDP to public servers, or to one",
    config=Config,
    run=stun,
    wants="endpoint",
    default_target="stun",
)
