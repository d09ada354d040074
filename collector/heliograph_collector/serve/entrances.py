"""Opens the door for lone envelopes, and tells agents, in their plan, which entrances there are."""

import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from heliograph.plan import Carrier, Entrance
from heliograph_collector import post
from heliograph_collector.config import Config, split_endpoint
from heliograph_collector.fleet import tls_file
from heliograph_collector.fleet.plans import announce
from heliograph_collector.serve.child import dialled
from heliograph_collector.serve.notice import Notice
from heliograph_collector.serve.refusal import CannotServeError

if TYPE_CHECKING:
    from heliograph_collector.intake.house import Intake
    from heliograph_collector.serve.house import House

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
