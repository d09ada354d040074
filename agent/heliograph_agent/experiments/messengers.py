"""Messengers of which the list of services says all there is to say. See messengers.md."""

from heliograph.experiments.messengers import MessengerConfig
from heliograph_agent.experiments.endpoints import visit_all
from heliograph_agent.experiments.experiment import Target, service_of
from heliograph_agent.net import Net


async def messengers(target: Target, config: MessengerConfig, net: Net) -> None:
    endpoints = service_of(target).endpoints
    await visit_all(endpoints, net, config.concurrency, ipv4=config.addresses)
