"""Messengers of which the list of services says all there is to say. See messengers.md."""

from dataclasses import dataclass

from heliograph_agent.endpoints import visit_all
from heliograph_agent.experiment import Experiment, Target, option, service_of
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    concurrency: int = option(4, "endpoints visited at a time", low=1, high=16)
    addresses: int = option(1, "IPv4 addresses of one name that are tried", low=1, high=8)


async def messengers(target: Target, config: Config, net: Net) -> None:
    endpoints = service_of(target).endpoints
    await visit_all(endpoints, net, config.concurrency, ipv4=config.addresses)


def _messenger(name: str, title: str) -> Experiment:
    return Experiment(
        name=name,
        version=1,
        title=title,
        config=Config,
        run=messengers,
        wants="service",
        default_target=name,
    )


EXPERIMENTS = (
    _messenger("facebook_messenger", "Facebook Messenger: message broker, APIs, CDNs and web"),
    _messenger("viber", "Viber: chat servers, accounts, media and web"),
    _messenger("threema", "Threema: chat servers on both ports, directory, media and web"),
    _messenger("matrix", "Matrix: the homeserver matrix.org, its federation and Element's web"),
    _messenger("discord", "Discord: gateway, API, CDN and media"),
    _messenger("wechat", "WeChat: long and short links, in China and abroad, and web"),
    _messenger("line", "LINE: gateway, objects, login and web"),
)
