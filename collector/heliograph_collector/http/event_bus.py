"""Live events for many readers: bounded queues, bounded memory for resumption."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from heliograph.network_shares import NetworkKey, NetworkShares

RESYNC = "resync"  # "events are missing: read the current state"


@dataclass(frozen=True, slots=True)
class BusEvent:
    id: str
    name: str
    data: str  # one line of JSON
    country: str = ""  # that it is about; "" for all
    translations: Mapping[str, str] = field(default_factory=dict)  # by language, in place of `data`


class BusFullError(Exception):
    """The readers, or those of one network, have reached the limit of this process."""


class Subscription:
    """One reader's queue; it ends with a resync if the reader falls behind.

    `since` is the id of the event after which it begins, for a reader that disconnects before the
    first event.
    """

    def __init__(self, limit: int, since: str) -> None:
        self.since = since
        self._queue: asyncio.Queue[BusEvent] = asyncio.Queue(limit)
        self._is_dropped = False

    def offer(self, event: BusEvent) -> None:
        if self._is_dropped:
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.drop(event.id)

    def drop(self, event_id: str) -> None:
        """End it with a resync: the reader reconnects and reads the current state."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(BusEvent(event_id, RESYNC, "{}"))
        self._is_dropped = True

    async def events(self, heartbeat_s: float) -> AsyncIterator[BusEvent | None]:
        """Yield events, None after `heartbeat_s` without one; end after a drop."""
        while not (self._is_dropped and self._queue.empty()):
            try:
                async with asyncio.timeout(heartbeat_s):
                    event: BusEvent | None = await self._queue.get()
            except TimeoutError:
                event = None
            yield event


class EventBus:
    """Publisher of events; `boot` distinguishes its ids from those of other processes."""

    def __init__(self, boot: str, *, memory: int = 1024, queue: int = 256, readers: int = 1000):
        self._boot = boot
        self._recent: deque[BusEvent] = deque(maxlen=memory)
        self._queue = queue
        self._seats = NetworkShares(readers)
        self._next = 1
        # Readers and their networks, oldest first.
        self._subscriptions: dict[Subscription, Sequence[NetworkKey]] = {}

    @property
    def readers(self) -> int:
        return len(self._subscriptions)

    def publish(
        self,
        name: str,
        data: str,
        country: str = "",
        translations: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Publish an event; `translations` hold its data by language, where they differ."""
        event = BusEvent(f"{self._boot}-{self._next}", name, data, country, translations)
        self._next += 1
        self._recent.append(event)
        for subscription in self._subscriptions:
            subscription.offer(event)

    def close(self) -> None:
        """Drop all readers, so that the server can stop."""
        for subscription in self._subscriptions:
            subscription.drop(self.last)

    @property
    def last(self) -> str:
        """Return the id of the newest event."""
        return f"{self._boot}-{self._next - 1}"

    @contextmanager
    def subscribe(
        self, last_id: str = "", networks: Sequence[NetworkKey] = ()
    ) -> Iterator[Subscription]:
        """Subscribe; after `last_id`, first get missed events or a resync.

        Raises BusFullError when the share of one of `networks` is taken, or all seats are and no
        network has more of them.
        """
        self._make_room(networks)
        if not self._seats.take(networks):
            raise BusFullError
        missed = self._missed_events(last_id)
        resumed = bool(missed) and missed[0].name != RESYNC
        subscription = Subscription(self._queue, last_id if resumed else self.last)
        for event in missed:
            subscription.offer(event)
        self._subscriptions[subscription] = networks
        try:
            yield subscription
        finally:
            self._release(subscription)

    def _make_room(self, networks: Sequence[NetworkKey]) -> None:
        """Drop the oldest reader of the network with most, where all seats are taken.

        A crowd that fills all seats from some networks leaves room for each other network.
        """
        if not self._seats.is_full or not self._seats.has_share(networks):
            return
        counts = Counter(keys[0] for keys in self._subscriptions.values() if keys)
        largest = max(counts, key=counts.__getitem__, default=None)
        own_count = counts[networks[0]] if networks else 0
        if largest is not None and counts[largest] > 1 + own_count:
            oldest = next(s for s, keys in self._subscriptions.items() if largest in keys[:1])
            oldest.drop(self.last)
            self._release(oldest)

    def _release(self, subscription: Subscription) -> None:
        networks = self._subscriptions.pop(subscription, None)
        if networks is not None:
            self._seats.give_back(networks)

    def _missed_events(self, last_id: str) -> list[BusEvent]:
        if not last_id:
            return []
        resync = [BusEvent(self.last, RESYNC, "{}")]
        boot, _, digits = last_id.rpartition("-")
        if boot != self._boot or not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            return resync
        missed = self._next - 1 - int(digits)
        if missed < 0 or missed > len(self._recent) or missed > self._queue:
            return resync
        return list(self._recent)[len(self._recent) - missed :]
