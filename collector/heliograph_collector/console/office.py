"""What the console needs from the rest of the collector, as callables that `serve` fills in."""

from collections.abc import Callable
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.trail import Trail


@dataclass(frozen=True, kw_only=True)
class Office:
    """Everything that the console stands on.

    `place` takes the addresses on a request's way (as in X-Forwarded-For, the peer last) and gives
    a name for where it came from that says nothing by itself. `secret` proves to us what we gave a
    browser to keep, also after a restart.
    """

    clock: Clock
    operators: Operators
    trail: Trail
    secret: bytes
    place: Callable[[str], str]
