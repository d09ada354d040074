"""Visit a country's own sites from abroad. See outside_in.md."""

from heliograph.experiments.web import OutsideInConfig
from heliograph_agent.experiments.endpoints import visit_endpoints
from heliograph_agent.experiments.experiment import Target, require_service
from heliograph_agent.net import Net


async def outside_in(target: Target, config: OutsideInConfig, net: Net) -> None:
    await visit_endpoints(require_service(target).endpoints, net, config.concurrency)
