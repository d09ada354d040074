"""Visit a messenger that `services.yml` describes fully. See messengers.md."""

from heliograph.experiments.messengers import MessengerConfig, SignalConfig, TelegramConfig
from heliograph_agent.experiments.endpoints import select_endpoints, visit_endpoints
from heliograph_agent.experiments.experiment import Target, require_service
from heliograph_agent.net import Net


async def messengers(target: Target, config: MessengerConfig, net: Net) -> None:
    endpoints = select_endpoints(require_service(target), net, light=config.light)
    await visit_endpoints(endpoints, net, config.concurrency, ipv4=config.addresses)


async def visit_messenger(target: Target, config: TelegramConfig | SignalConfig, net: Net) -> None:
    """Visit Telegram or Signal, of whose names two addresses are tried."""
    endpoints = select_endpoints(require_service(target), net, light=config.light)
    await visit_endpoints(endpoints, net, config.concurrency)
