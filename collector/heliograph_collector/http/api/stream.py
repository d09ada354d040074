"""Live events: `/api/v1/stream` (Server-Sent Events) and cell changes for it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

import msgspec
from aiohttp import web

from heliograph_collector.aggregate.cell_updater import list_cell_times
from heliograph_collector.http.api import status
from heliograph_collector.http.api.parameters import COUNTRY, LANG, parse
from heliograph_collector.http.backend import Feed, ReaderNetworks
from heliograph_collector.http.event_bus import BusEvent, BusFullError, EventBus, Subscription
from heliograph_collector.http.headers import head_event_stream, start_event_stream
from heliograph_collector.http.i18n import DEFAULT, request_locale
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.request_addresses import forwarded_for
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.model.published.status import ServiceChange
from heliograph_collector.model.records import Block
from heliograph_collector.store.clickhouse import StoreError

log = logging.getLogger(__name__)

STREAM_PARAMETERS = (COUNTRY, LANG)
HEARTBEAT_S = 15.0
RETRY_MS = 3_000
WRITE_TIMEOUT_S = 30.0  # for a reader that does not read
MIN_PAUSE_S = 2.0  # between two evaluations, so that many blocks cost no more than one
MAX_LOOKS = 7  # of so long each, without a change: readings age and links change without one


class EventStream:
    """Stream of events; of `readers` each network has a share of the seats."""

    def __init__(
        self, bus: EventBus, readers: ReaderNetworks, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._bus = bus
        self._readers = readers
        self._heartbeat_s = heartbeat_s

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        country = parse(request.query, STREAM_PARAMETERS).get(COUNTRY, "")
        lang = request_locale(request).lang
        if request.method == "HEAD":
            return head_event_stream(lang)
        last_id = request.headers.get("Last-Event-ID", "")[:64]
        networks = self._readers.client_networks(forwarded_for(request))
        try:
            with self._bus.subscribe(last_id, networks) as subscription:
                # Send an id first: a client cut off before the first event can resume.
                prologue = f"id: {subscription.since}\nretry: {RETRY_MS}\n: welcome\n\n"
                response = await start_event_stream(request, prologue, lang)
                async for chunk in self._format_events(subscription, country, lang):
                    async with asyncio.timeout(WRITE_TIMEOUT_S):
                        await response.write(chunk)
        except TimeoutError:  # the reader does not read; it may reconnect and resume
            if request.transport is not None:
                request.transport.abort()
        except BusFullError:
            raise Problem(
                503,
                "Too many readers",
                "As many readers as we can serve, or as one network may have, are listening; try "
                "again in a minute.",
                headers={"Retry-After": "60"},
            ) from None
        return response

    async def _format_events(
        self, subscription: Subscription, country: str, lang: str
    ) -> AsyncIterator[bytes]:
        """Yield the events of a country, or all, and a comment where nothing else was due.

        The comment has the id of the last event that was left out, from which a reader resumes.
        """
        loop = asyncio.get_running_loop()
        yielded_s = loop.time()
        async for event in subscription.events(self._heartbeat_s):
            if event is None:
                chunk = b": alive\n\n"
            elif not country or event.country in ("", country):
                chunk = format_event(event, lang)
            elif loop.time() - yielded_s >= self._heartbeat_s:
                chunk = f"id: {event.id}\n: alive\n\n".encode()
            else:
                continue
            yielded_s = loop.time()
            yield chunk


def format_event(event: BusEvent, lang: str = DEFAULT) -> bytes:
    """Format an event, in the reader's language if it has words."""
    data = event.translations.get(lang, event.data)
    return f"id: {event.id}\nevent: {event.name}\ndata: {data}\n\n".encode()


class CellEvents:
    """Publish changed cells; call `touch` when a block was stored.

    `run` belongs in the collector's TaskGroup. It keeps the shared `SnapshotCache` fresh.
    """

    def __init__(self, feed: Feed, snapshot_cache: SnapshotCache | None = None) -> None:
        self._feed = feed
        self._snapshot_cache = snapshot_cache or SnapshotCache(feed)
        self._touched = asyncio.Event()
        self._last_snapshot: Snapshot | None = None
        self._entries = 0  # of the log, as of the last evaluation

    def touch(self, timestamps_us: Iterable[int] = ()) -> None:
        """Mark the times of a stored block."""
        self._snapshot_cache.touch(timestamps_us)
        self._touched.set()

    def on_block(self, block: Block) -> None:
        self.touch(list_cell_times(block))

    async def run(self) -> None:
        self._snapshot_cache.is_polled = True
        while True:
            await self.publish_changes()
            await asyncio.sleep(MIN_PAUSE_S)
            await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        """Wait for a block or an entry of the log, and not for long.

        A silence is no block, but pages hide what they showed of its place at once.
        """
        for _ in range(MAX_LOOKS):
            if self._touched.is_set() or len(self._feed.book.entries) != self._entries:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(MIN_PAUSE_S):
                    await self._touched.wait()

    async def publish_changes(self) -> None:
        """Publish the differences from the previous snapshot; nothing on the first call."""
        self._touched.clear()
        self._entries = len(self._feed.book.entries)
        try:
            current = await self._snapshot_cache.refresh()
        except StoreError as error:
            log.warning("nothing announced: %s", error)
            return
        if self._last_snapshot is not None:
            for name, data in status.iter_changes(self._last_snapshot, current):
                country = data.country if isinstance(data, ServiceChange) else ""
                self._feed.bus.publish(name, msgspec.json.encode(data).decode(), country)
        self._last_snapshot = current
