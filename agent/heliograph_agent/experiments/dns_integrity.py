"""Detect forged DNS answers. See dns_integrity.md."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from heliograph.experiments.network import DnsIntegrityConfig
from heliograph_agent.experiments.endpoints import is_literal, parse_host
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True)
class LookupSpec:
    """Describe one lookup to make."""

    label: str
    name: str
    engine: str
    resolver: str = ""
    query_type: str = "A"
    coarse: bool = False


async def dns_integrity(target: Target, config: DnsIntegrityConfig, net: Net) -> None:
    lookups = tuple(make_lookups(_parse_name(target.value, "the target"), config))
    async with asyncio.TaskGroup() as group:
        for lookup in lookups:
            group.create_task(
                net.resolve(
                    lookup.name,
                    query_type=lookup.query_type,
                    engine=lookup.engine,
                    resolver=lookup.resolver,
                    linger_s=config.linger_ms / 1_000 if lookup.engine == "udp" else 0.0,
                    coarse=lookup.coarse,
                    endpoint=lookup.label,
                )
            )


def make_lookups(name: str, config: DnsIntegrityConfig) -> Iterator[LookupSpec]:
    """Yield all lookups with their resolvers and labels. Raises CannotRun."""
    resolvers = {
        "system": "",
        "udp": config.resolver,
        "tcp": config.resolver,
        "dot": config.dot,
        "doh": config.doh,
    }
    for query_type in config.types.split(","):
        for engine, resolver in resolvers.items():
            if resolver or engine == "system":
                yield LookupSpec(engine, name, engine, resolver, query_type)
        if config.nowhere:
            yield LookupSpec("nowhere", name, "udp", config.nowhere, query_type)
    yield from _comparison_lookups(config)


def _comparison_lookups(config: DnsIntegrityConfig) -> Iterator[LookupSpec]:
    if config.neutral:
        neutral = _parse_name(config.neutral, "neutral")
        yield LookupSpec("neutral", neutral, "system")
        if config.nowhere:
            yield LookupSpec("nowhere_neutral", neutral, "udp", config.nowhere)
    if config.whoami:
        whoami = _parse_name(config.whoami, "whoami")
        yield LookupSpec("whoami_system", whoami, "system", coarse=True)
        if config.resolver:
            yield LookupSpec("whoami_udp", whoami, "udp", config.resolver, coarse=True)


def _parse_name(value: str, option_name: str) -> str:
    name = parse_host(value)
    if name is None or is_literal(name):
        raise CannotRun(f"{option_name} cannot be {value!r}; allowed: a host name.")
    return name
