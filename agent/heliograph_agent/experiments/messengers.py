"""Visit a messenger that `services.yml` describes fully. See messengers.md."""

from heliograph.experiments.messengers import MessengerConfig
from heliograph_agent.experiments.endpoints import visit_endpoints
from heliograph_agent.experiments.experiment import Target, require_service
from heliograph_agent.net import Net


async def messengers(target: Target, config: MessengerConfig, net: Net) -> None:
    endpoints = require_service(target).endpoints
    await visit_endpoints(endpoints, net, config.concurrency, ipv4=config.addresses)
