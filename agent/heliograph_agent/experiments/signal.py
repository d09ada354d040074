"""Whether Signal's hosts answer, each for itself, with Signal's own CA. See signal.md."""

from dataclasses import dataclass

from heliograph_agent.endpoints import visit_all
from heliograph_agent.experiment import Experiment, Target, option, service_of
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    concurrency: int = option(4, "endpoints visited at a time", low=1, high=16)


async def signal(target: Target, config: Config, net: Net) -> None:
    await visit_all(service_of(target).endpoints, net, config.concurrency)


EXPERIMENT = Experiment(
    name="signal",
    version=2,
    title="Signal: chat, contact discovery, storage, calls, attachments, updates",
    config=Config,
    run=signal,
    wants="service",
    default_target="signal",
)
