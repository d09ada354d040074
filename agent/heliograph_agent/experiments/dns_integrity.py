"""Whether somebody answers DNS questions in another's place. See dns_integrity.md."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from heliograph.experiments.network import DnsIntegrityConfig
from heliograph_agent.experiments.endpoints import host_of, is_literal
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One lookup to be made."""

    label: str
    name: str
    engine: str
    resolver: str = ""
    query_type: str = "A"
    coarse: bool = False


async def dns_integrity(target: Target, config: DnsIntegrityConfig, net: Net) -> None:
    asked = tuple(questions(_name(target.text, "the target"), config))
    async with asyncio.TaskGroup() as group:
        for one in asked:
            group.create_task(
                net.resolve(
                    one.name,
                    query_type=one.query_type,
                    engine=one.engine,
                    resolver=one.resolver,
                    linger_s=config.linger_ms / 1_000 if one.engine == "udp" else 0.0,
                    coarse=one.coarse,
                    endpoint=one.label,
                )
            )


def questions(name: str, config: DnsIntegrityConfig) -> Iterator[Question]:
    """All that is asked, of whom and under which label. Raises CannotRun."""
    ways = {
        "system": "",
        "udp": config.resolver,
        "tcp": config.resolver,
        "dot": config.dot,
        "doh": config.doh,
    }
    for query_type in config.types.split(","):
        for way, resolver in ways.items():
            if resolver or way == "system":
                yield Question(
                    label=way, name=name, engine=way, resolver=resolver, query_type=query_type
                )
        if config.nowhere:
            yield Question(
                label="nowhere",
                name=name,
                engine="udp",
                resolver=config.nowhere,
                query_type=query_type,
            )
    yield from _compared(config)


def _compared(config: DnsIntegrityConfig) -> Iterator[Question]:
    """What the rest is held against."""
    if config.neutral:
        neutral = _name(config.neutral, "neutral")
        yield Question(label="neutral", name=neutral, engine="system")
        if config.nowhere:
            yield Question(
                label="nowhere_neutral", name=neutral, engine="udp", resolver=config.nowhere
            )
    if config.whoami:
        whoami = _name(config.whoami, "whoami")
        yield Question(label="whoami_system", name=whoami, engine="system", coarse=True)
        if config.resolver:
            yield Question(
                label="whoami_udp",
                name=whoami,
                engine="udp",
                resolver=config.resolver,
                coarse=True,
            )


def _name(text: str, what: str) -> str:
    name = host_of(text)
    if name is None or is_literal(name):
        raise CannotRun(f"{what} cannot be {text!r}; allowed: a host name.")
    return name
