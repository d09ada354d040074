"""Whether somebody answers DNS questions in another's place. See dns_integrity.md."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from heliograph_agent.endpoints import host_of, is_literal
from heliograph_agent.experiment import CannotRun, Experiment, Target, option
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    types: str = option("A", "record types asked for", words=("A", "AAAA", "A,AAAA"))
    resolver: str = option(
        "9.9.9.9:53", "asked over UDP and TCP, empty for none", form="address:port"
    )
    dot: str = option("9.9.9.9:853", "asked over TLS, empty for none", form="address:port")
    doh: str = option(
        "https://cloudflare-dns.com/dns-query",
        "asked over HTTPS, empty for none",
        form="https URL",
    )
    nowhere: str = option(
        "192.0.2.53:53", "where nobody serves DNS, empty for none", form="address:port"
    )
    neutral: str = option("www.example.com", "a name that nobody minds, empty for none")
    whoami: str = option("whoami.v4.powerdns.org", "a name that tells who asks, empty for none")
    linger_ms: int = option(1_000, "how long more replies over UDP are listened for", high=5_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One lookup to be made."""

    label: str
    name: str
    engine: str
    resolver: str = ""
    query_type: str = "A"
    coarse: bool = False


async def dns_integrity(target: Target, config: Config, net: Net) -> None:
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


def questions(name: str, config: Config) -> Iterator[Question]:
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


def _compared(config: Config) -> Iterator[Question]:
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


EXPERIMENT = Experiment(
    name="dns_integrity",
    version=1,
    title="DNS integrity: one name by every way, and where nobody can answer",
    config=Config,
    run=dns_integrity,
    wants="host",
)
