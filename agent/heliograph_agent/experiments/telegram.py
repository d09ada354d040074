"""Visit Telegram's data centers and its web front. See telegram.md."""

from heliograph.experiments.messengers import TelegramConfig
from heliograph_agent.experiments.endpoints import visit_endpoints
from heliograph_agent.experiments.experiment import Target, require_service
from heliograph_agent.net import Net


async def telegram(target: Target, config: TelegramConfig, net: Net) -> None:
    await visit_endpoints(require_service(target).endpoints, net, config.concurrency)
