"""What different resolvers say about one name. See dns.md."""

import asyncio
from collections.abc import Sequence

from heliograph.experiments.network import DnsConfig
from heliograph_agent.experiments.endpoints import host_of
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net

ENGINES = ("system", "udp", "tcp", "doh")
TYPES = ("A", "AAAA", "CNAME", "HTTPS", "MX", "NS", "TXT")


async def dns(target: Target, config: DnsConfig, net: Net) -> None:
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
