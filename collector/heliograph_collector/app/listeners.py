"""Opens the door for lone envelopes, and tells agents, in their plan, which entrances there are."""

import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from heliograph.plan import Carrier, Entrance
from heliograph_collector.app.endpoint_file import Notice
from heliograph_collector.config.settings import Config, split_endpoint
from heliograph_collector.control.agent_process import dialled
from heliograph_collector.errors import CannotServeError
from heliograph_collector.fleet import tls_file
from heliograph_collector.fleet.plans import announce
from heliograph_collector.ingest import post

if TYPE_CHECKING:
    from heliograph_collector.app.context import House
    from heliograph_collector.ingest.build import Intake
from typing import TYPE_CHECKING

from heliograph_collector.ingest.geo.lookup import Geo
from heliograph_collector.ingest.rate_limits import Rates

if TYPE_CHECKING:
    from heliograph.clock import Clock
    from heliograph_collector.app.context import House
    from heliograph_collector.ingest.build import Intake

PREFIX_PER_S, ALL_PER_S = 20.0, 200.0
BURST_S = 10.0
log = logging.getLogger("heliograph")


async def open_dns(house: "House", door: "Intake", notice: Notice, stack: AsyncExitStack) -> None:
    """Raises CannotServeError."""
    config = house.config
    if bool(config.dns) != bool(config.dns_zone):
        raise CannotServeError("dns.listen and dns.zone go together: set both, or neither.")
    if not config.dns:
        return
    from heliograph_collector.ingest.dns.server import PortTakenError, serving

    host, wanted = split_endpoint(config.dns)
    allow = Allowed(door.geo, house.clock)
    try:
        answering = serving(door.last_word, allow, host, wanted, config.dns_zone)
        port = await stack.enter_async_context(answering)
    except PortTakenError as error:
        raise CannotServeError(
            f"{config.dns} cannot be listened on (ports below 1024 need a right of their own): "
            "free it, or correct dns.listen."
        ) from error
    notice.post(dns=dialled(host, port))
    log.info("Last words: %s (DNS, %s)", dialled(host, port), config.dns_zone)


class Allowed:
    """Whether one more query from there is looked at; what is kept of the address is a hash."""

    def __init__(self, geo: Geo, clock: "Clock") -> None:
        self._geo, self._clock = geo, clock
        self._prefixes = Rates(per_s=PREFIX_PER_S, burst=PREFIX_PER_S * BURST_S)
        self._all = Rates(per_s=ALL_PER_S, burst=ALL_PER_S * BURST_S)

    def __call__(self, address: str) -> bool:
        now_us = self._clock.monotonic_us()
        prefix = self._geo.locate(address, self._clock.wall_us()).prefix
        return not self._prefixes.wait_s(prefix, now_us) and not self._all.wait_s("", now_us)


_ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - recognised here so as not to be announced
log = logging.getLogger("heliograph")


async def open_post(house: "House", door: "Intake", notice: Notice, stack: AsyncExitStack) -> None:
    """Raises CannotServeError."""
    config, port = house.config, 0
    if config.post:
        host, wanted = split_endpoint(config.post)
        calls = post.serving(door.answer, host, wanted, tls_file(config.data))
        try:
            port = await stack.enter_async_context(calls)
        except post.PortTakenError as error:
            raise CannotServeError(
                f"{config.post} cannot be listened on: free it, or say --post HOST:PORT."
            ) from error
        notice.post(post=dialled(host, port))
        log.info("Agents: %s (HTTPS, one envelope a connection)", dialled(host, port))
    named = entrances(config, door.port, port)
    now_s = house.clock.wall_us() // 1_000_000
    announce(house.fleet, house.keyring.signing, named, now_s, beacon_zone=config.dns_zone)


def entrances(config: Config, grpc_port: int, post_port: int) -> tuple[Entrance, ...]:
    """As configured, else the doors that are open, where agents can dial them; none for the stream
    alone, which every agent knows from its invite."""
    if config.entrances or not post_port:
        return config.entrances
    host, port = split_endpoint(config.endpoint or config.grpc)
    if host in _ANYWHERE:
        log.warning("Agents are not told of %s: set the key endpoint or entrances.", config.post)
        return ()
    stream = Entrance(carrier=Carrier.STREAM, host=host, port=port or grpc_port)
    return stream, replace(stream, carrier=Carrier.POST, port=post_port)
