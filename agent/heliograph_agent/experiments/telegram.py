"""Whether Telegram's data centres and its web front answer, each for itself. See telegram.md."""

from heliograph.experiments.messengers import TelegramConfig
from heliograph_agent.experiments.endpoints import visit_all
from heliograph_agent.experiments.experiment import Target, service_of
from heliograph_agent.net import Net


async def telegram(target: Target, config: TelegramConfig, net: Net) -> None:
    await visit_all(service_of(target).endpoints, net, config.concurrency)
