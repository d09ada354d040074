"""Limit connections of unproven peers, in all and by network.

Theory of operation. A gRPC session waits from the challenge to the hello, a reader of the health or
reflection stream for its end, a DNS connection for its query; a call with one request (Enrol,
Submit, a health check) waits until that is complete. When the places of a network, or all places,
are taken, the newest is let in and the oldest of that network, or of the largest, has to go. For a
hello or a query an honest peer needs a round trip, so a flood from its own carrier's network does
not lock it out; a peer that holds places and sends nothing loses them. An upload on a throttled
link takes many round trips. So requests have separate places, where they evict no hello. Known
agents (`KnownSenders` of ingest) have separate places too, with an agent's key in place of its
network.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from heliograph.network_shares import NetworkKey, share_of

_SHARE_FACTOR = 4  # of `share_of`; one /24 may be a carrier's, whose agents all return at once

Waiting = dict[asyncio.Timeout, Sequence[NetworkKey]]  # oldest first


class PendingConnections:
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._all: Waiting = {}
        self._by_network: dict[NetworkKey, Waiting] = {}

    def __len__(self) -> int:
        return len(self._all)

    @asynccontextmanager
    async def hold_place(
        self, networks: Sequence[NetworkKey], timeout_s: float
    ) -> AsyncIterator[None]:
        """Hold a place inside the block. Raises TimeoutError when it is late or has to go."""
        async with asyncio.timeout(timeout_s) as timeout:
            self._make_room(networks)
            self._all[timeout] = networks
            for key in networks:
                self._by_network.setdefault(key, {})[timeout] = networks
            try:
                yield
            finally:
                self._remove(timeout)

    def _make_room(self, networks: Sequence[NetworkKey]) -> None:
        for key in networks:
            waiting = self._by_network.get(key, {})
            if len(waiting) >= _SHARE_FACTOR * share_of(self._capacity, key.width):
                self._evict_oldest(waiting)
        if len(self._all) >= self._capacity:
            largest = max(self._by_network.values(), key=len, default=self._all)
            self._evict_oldest(largest)

    def _evict_oldest(self, waiting: Waiting) -> None:
        timeout = next(iter(waiting))
        self._remove(timeout)
        with suppress(RuntimeError):  # it has just ended by itself
            timeout.reschedule(asyncio.get_running_loop().time())

    def _remove(self, timeout: asyncio.Timeout) -> None:
        for key in self._all.pop(timeout, ()):
            waiting = self._by_network[key]
            del waiting[timeout]
            if not waiting:
                del self._by_network[key]
