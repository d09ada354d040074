"""What different resolvers say about one name. See dns.md."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph_agent.endpoints import host_of
from heliograph_agent.experiment import CannotRun, Experiment, Target, option
from heliograph_agent.net import Net

ENGINES = ("system", "udp", "tcp", "doh")
TYPES = ("A", "AAAA", "CNAME", "HTTPS", "MX", "NS", "TXT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    engines: str = option("system,udp,tcp,doh", "ways to ask, with commas between")
    types: str = option("A,AAAA", "record types, with commas between")
    resolver: str = option("9.9.9.9:53", "asked by udp and tcp", form="address:port")
    doh: str = option("", "asked by doh, empty for the first of net.doh", form="https URL")


async def dns(target: Target, config: Config, net: Net) -> None:
    name = host_of(target.text)
    if name is None:
        raise CannotRun(f"{target.text!r} is no host name.")
    engines = _words("engines", config.engines, ENGINES)
    types = _words("types", config.types, TYPES)
    if not config.resolver and {"udp", "tcp"} & set(engines):
        raise CannotRun("resolver cannot be empty when engines has udp or tcp.")
    resolvers = {"udp": config.resolver, "tcp": config.resolver, "doh": config.doh}
    async with asyncio.TaskGroup() as group:
        for engine in engines:
            for query_type in types:
                group.create_task(
                    net.resolve(
                        name,
                        query_type=query_type,
                        engine=engine,
                        resolver=resolvers.get(engine, ""),
                    )
                )


def _words(key: str, text: str, allowed: Sequence[str]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not words or any(word not in allowed for word in words):
        raise CannotRun(f"{key} cannot be {text!r}; allowed: {', '.join(allowed)}.")
    return words


EXPERIMENT = Experiment(
    name="dns",
    version=1,
    title="DNS: one name by several resolvers and transports",
    config=Config,
    run=dns,
    wants="host",
)
