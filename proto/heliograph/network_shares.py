"""Share a limited number of places, so that no network takes all of them. Pure.

A place can be a reader's seat, an unfinished session or a place in quarantine. Addresses are cheap:
one machine has a /64, a rented one often a /48, a hoster a /32, and a botnet thousands of /24. So
each width has a share, and a network is full when any of its widths is.
"""

from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

SHARES = {
    "24": 0.05,  # IPv4; all of these are assumed
    "48": 0.05,  # IPv6: one site (RFC 6177)
    "32": 0.10,  # IPv6: one provider
    "asn": 0.20,
    "key": 0.0,  # a known agent, wherever it is
}


class NetworkKey(NamedTuple):
    """A network that contains an address, or an agent's key.

    Its width, and a keyed hash, an AS number or the agent's id.
    """

    width: str  # of SHARES
    name: str


def share_of(capacity: int, width: str) -> int:
    """Return how many of the places one network of this width may have; at least 1."""
    return max(1, ceil(capacity * SHARES[width]))


class NetworkShares:
    """Places and their holders, by network; in memory only."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._count = 0
        self._taken: Counter[NetworkKey] = Counter()

    @property
    def is_full(self) -> bool:
        return self._count >= self._capacity

    def has_share(self, networks: Sequence[NetworkKey]) -> bool:
        """Return whether each of these networks has fewer places than its share."""
        return all(self._taken[k] < share_of(self._capacity, k.width) for k in networks)

    def take(self, networks: Sequence[NetworkKey]) -> bool:
        """Take a place, and return True, unless all or the share of one network are taken."""
        if self.is_full or not self.has_share(networks):
            return False
        self._count += 1
        self._taken.update(networks)
        return True

    def give_back(self, networks: Sequence[NetworkKey]) -> None:
        self._count -= 1
        self._taken.subtract(networks)
        for key in networks:
            if self._taken[key] <= 0:
                del self._taken[key]
