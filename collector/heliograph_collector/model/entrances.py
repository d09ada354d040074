"""Entrances of the collector, as operators see them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedEntrance:
    """Place whose agents do not reach the collector by these carriers.

    It is shown to operators alone.
    """

    country: str  # "" is of controls, in whatever place: the entrance itself may be dead
    carriers: tuple[str, ...]
    since_us: int
    is_open: bool  # they are still silent: they found no other way
    is_seen: bool = True  # others show that it lives, or else it may have failed by itself
