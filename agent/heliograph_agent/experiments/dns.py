"""Compare the answers of several resolvers for one name. See dns.md."""

import asyncio
from collections.abc import Sequence

from heliograph.experiments.network import DnsConfig
from heliograph_agent.experiments.endpoints import parse_host
from heliograph_agent.experiments.experiment import BadTarget, CannotRun, Target
from heliograph_agent.net import Net

ENGINES = ("system", "udp", "tcp", "doh")
TYPES = ("A", "AAAA", "CNAME", "HTTPS", "MX", "NS", "TXT")


async def dns(target: Target, config: DnsConfig, net: Net) -> None:
    name = parse_host(target.value)
    if name is None:
        raise BadTarget(f"{target.value!r} is no host name.")
    engines = _parse_list("engines", config.engines, ENGINES)
    types = _parse_list("types", config.types, TYPES)
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


def _parse_list(key: str, value: str, allowed: Sequence[str]) -> tuple[str, ...]:
    items = tuple(dict.fromkeys(item.strip() for item in value.split(",") if item.strip()))
    if not items or any(item not in allowed for item in items):
        raise CannotRun(f"{key} cannot be {value!r}; allowed: {', '.join(allowed)}.")
    return items
