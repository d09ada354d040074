"""Visit Signal's hosts, verified by Signal's own CA. See signal.md."""

from heliograph.experiments.messengers import SignalConfig
from heliograph_agent.experiments.endpoints import visit_endpoints
from heliograph_agent.experiments.experiment import Target, require_service
from heliograph_agent.net import Net


async def signal(target: Target, config: SignalConfig, net: Net) -> None:
    await visit_endpoints(require_service(target).endpoints, net, config.concurrency)
