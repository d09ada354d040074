"""Whether a country's own sites answer from abroad. See outside_in.md."""

from dataclasses import dataclass

from heliograph_agent.endpoints import visit_all
from heliograph_agent.experiment import Experiment, Target, option, service_of
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    concurrency: int = option(4, "sites visited at a time", low=1, high=16)


async def outside_in(target: Target, config: Config, net: Net) -> None:
    await visit_all(service_of(target).endpoints, net, config.concurrency)


EXPERIMENT = Experiment(
    name="outside_in",
    version=1,
    title="Outside in: a country's own sites as seen from abroad, run by controls",
    config=Config,
    run=outside_in,
    wants="service",
)
