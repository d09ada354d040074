"""Whether Telegram's data centres and its web front answer, each for itself. See telegram.md."""

from dataclasses import dataclass

from heliograph_agent.endpoints import visit_all
from heliograph_agent.experiment import Experiment, Target, option, service_of
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    concurrency: int = option(8, "endpoints visited at a time", low=1, high=16)


async def telegram(target: Target, config: Config, net: Net) -> None:
    await visit_all(service_of(target).endpoints, net, config.concurrency)


EXPERIMENT = Experiment(
    name="telegram",
    version=2,
    title="Telegram: every data centre by HTTP and by MTProto, and the web fronts",
    config=Config,
    run=telegram,
    wants="service",
    default_target="telegram",
)
