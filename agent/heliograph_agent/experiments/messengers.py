"""Visit a messenger that `services.yml` describes fully. See messengers.md."""

from dataclasses import replace

from heliograph.experiments.messengers import MessengerConfig
from heliograph_agent.experiments.app_path import visit_as_app
from heliograph_agent.experiments.endpoints import select_endpoints
from heliograph_agent.experiments.experiment import Target, require_service
from heliograph_agent.net import Net


async def messengers(target: Target, config: MessengerConfig, net: Net) -> None:
    service = require_service(target)
    sampled = replace(service, endpoints=config.sample(service.endpoints))
    endpoints = select_endpoints(sampled, net, light=config.light)
    await visit_as_app(service, endpoints, net, config)
