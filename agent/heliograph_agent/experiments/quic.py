"""Whether QUIC gets through to a host, beside TLS over TCP and QUIC to others. See quic.md."""

import asyncio
from dataclasses import dataclass

from heliograph.experiments.network import QuicConfig
from heliograph_agent.experiments.endpoints import Address, connected, find, host_and_port
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net


@dataclass(frozen=True, slots=True)
class Place:
    """A server as it is reached."""

    label: str
    host: str
    port: int

    @property
    def url(self) -> str:
        place = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{place}/" if self.port == 443 else f"https://{place}:{self.port}/"


async def quic(target: Target, config: QuicConfig, net: Net) -> None:
    ours = Place("target", *host_and_port(target.text, default_port=443))
    other = (
        Place("neutral", *host_and_port(config.neutral, default_port=443))
        if config.neutral
        else None
    )
    limit = config.body_limit if config.page else None
    missing: list[str] = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_target(ours, limit, net))
            if other is not None:
                group.create_task(_neutral(other, net))
    except* ValueError as problems:  # this machine has no QUIC
        missing.append(_sentence(problems))
    if missing:
        raise CannotRun(missing[0])


def _sentence(problem: BaseException) -> str:
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return str(problem)


async def _target(place: Place, limit: int | None, net: Net) -> None:
    async with asyncio.TaskGroup() as group:
        for address in await find(place.host, net, label=place.label):
            group.create_task(_shake(place, address, limit, net))
            group.create_task(_by_tcp(place, address, net))


async def _neutral(place: Place, net: Net) -> None:
    for address in (await find(place.host, net, label=place.label))[:1]:
        await _shake(place, address, None, net)


async def _shake(place: Place, address: Address, limit: int | None, net: Net) -> None:
    """One handshake, and the front page where `limit` bytes of it are wanted."""
    _, connection = await net.quic(
        address.literal, place.port, place.host, on=address.on, endpoint=place.label
    )
    if connection is None:
        return
    try:
        if limit is not None:
            await net.http3(connection, place.url, body_limit=limit)
    finally:
        connection.close()


async def _by_tcp(place: Place, address: Address, net: Net) -> None:
    async with connected(net, address, place.port, label="tcp") as stream:
        if stream is not None:
            _, secured = await net.handshake(stream, place.host)
            if secured is not None:
                secured.close()
