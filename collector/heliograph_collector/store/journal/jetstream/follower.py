"""Read what a stream has after a position, in order.

A bucket is a stream too: each key is a subject, of which the newest message is kept.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import NamedTuple

import nats.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from heliograph_collector.store.journal.jetstream.connection import (
    NatsConnection,
    keeping_cancellation,
)

_BATCH = 500
_FETCH_S = 5.0
_IDLE_S = 60.0  # after which the servers drop the consumer of a reader that is gone
_OPERATION = "KV-Operation"  # header of a deleted key


class StreamEntry(NamedTuple):
    position: int
    subject: str
    content: bytes | None  # None: the key was deleted


class StreamFollower:
    """Reader of one stream by a subject pattern, which remembers how far it has come."""

    def __init__(
        self,
        connection: NatsConnection,
        stream: str,
        subject: str,
        since: datetime | None = None,
    ) -> None:
        """Prepare to read from the first message.

        Args:
            since: Read from the first message that a server received at this time or later.
        """
        self._since = since
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self.position = 0

    async def read_new(self) -> list[StreamEntry]:
        """Return the entries since the last call. Raises JournalError."""
        return [entry async for entries in self.read_batches() for entry in entries]

    async def read_batches(self) -> AsyncIterator[list[StreamEntry]]:
        """Yield the entries since the last call, some at a time. Raises JournalError."""
        info = await self._connection.ask(self._connection.js.stream_info, self._stream)
        if info.state.last_seq <= self.position:
            return
        last = info.state.last_seq
        async with self._consume() as consumer:
            pending = await self._count_pending(consumer)
            while pending > 0:
                messages = await self._fetch(consumer, min(_BATCH, pending))
                pending -= len(messages)
                if not messages:  # some may have been deleted since they were counted
                    pending = min(pending, await self._count_pending(consumer))
                entries = list(map(_build_entry, messages))
                last = max([last, *(entry.position for entry in entries)])
                yield entries
        self.position = last

    @asynccontextmanager
    async def _consume(self) -> AsyncIterator[JetStreamContext.PullSubscription]:
        is_by_time = self._since is not None and not self.position
        policy = DeliverPolicy.BY_START_TIME if is_by_time else DeliverPolicy.BY_START_SEQUENCE
        config = ConsumerConfig(
            deliver_policy=policy,
            opt_start_seq=None if is_by_time else self.position + 1,
            opt_start_time=self._since if is_by_time else None,
            ack_policy=AckPolicy.NONE,
            num_replicas=1,
            mem_storage=True,
            inactive_threshold=_IDLE_S,
        )
        consumer = await self._connection.ask(
            self._connection.js.pull_subscribe, self._subject, stream=self._stream, config=config
        )
        try:
            yield consumer
        finally:
            with suppress(nats.errors.Error):  # the servers drop it by themselves
                await consumer.unsubscribe()

    async def _count_pending(self, consumer: JetStreamContext.PullSubscription) -> int:
        return (await self._connection.ask(consumer.consumer_info)).num_pending or 0

    async def _fetch(self, consumer: JetStreamContext.PullSubscription, count: int) -> list[Msg]:
        """Fetch some messages, none if there are none. Raises JournalError."""
        try:
            async with keeping_cancellation():
                return await consumer.fetch(count, timeout=_FETCH_S)
        except TimeoutError:  # the library's own, or that of asyncio where its answer came late
            if await self._count_pending(consumer):
                raise self._connection.build_failure() from None
            return []
        except nats.errors.Error as error:  # the consumer's server ended, or has no leader now
            raise self._connection.build_failure(error) from error


def _build_entry(message: Msg) -> StreamEntry:
    is_deleted = bool((message.headers or {}).get(_OPERATION))
    return StreamEntry(
        message.metadata.sequence.stream, message.subject, None if is_deleted else message.data
    )
