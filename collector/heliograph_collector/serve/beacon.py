"""Opens the door for last words by DNS, where one is configured."""

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from heliograph_collector.config import split_endpoint
from heliograph_collector.intake.geo import Geo
from heliograph_collector.intake.limits import Rates
from heliograph_collector.serve.child import dialled
from heliograph_collector.serve.notice import Notice
from heliograph_collector.serve.refusal import CannotServeError

if TYPE_CHECKING:
    from heliograph.clock import Clock
    from heliograph_collector.intake.house import Intake
    from heliograph_collector.serve.house import House

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
    from heliograph_collector.beacon.server import PortTakenError, serving

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
