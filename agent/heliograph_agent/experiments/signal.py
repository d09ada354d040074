"""Whether Signal's hosts answer, each for itself, with Signal's own CA. See signal.md."""

from heliograph.experiments.messengers import SignalConfig
from heliograph_agent.experiments.endpoints import visit_all
from heliograph_agent.experiments.experiment import Target, service_of
from heliograph_agent.net import Net


async def signal(target: Target, config: SignalConfig, net: Net) -> None:
    await visit_all(service_of(target).endpoints, net, config.concurrency)
