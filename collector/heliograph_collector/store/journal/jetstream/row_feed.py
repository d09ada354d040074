"""Rows of the stream in their order, many for one request.

Theory of operation. A row that is asked for by its position costs a request and an answer. A reader
that resumes where it stopped gets rows from a *feed*: a consumer on the servers, which they keep
for IDLE_S after the last request. A feed is *closed*, or *open* at the position of the next row.

A row may be lost on the way (a reconnection, a full buffer), or by that server: then its position
is left out, and the caller asks for it (row_reader.py). Any failure closes the feed; the caller
asks for single rows, and after PAUSE_S a call opens it again. So a feed saves work, and decides
nothing.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from heliograph_collector.model.records import JournalRow
from heliograph_collector.store.journal.group_commit import JournalError
from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.stored_rows import build_row, decode_message

MOST_ROWS = 1_024  # of one request: the largest block of the judge
MAX_BYTES = 4_194_304  # of one request; assumed, and more than the largest message
OPENING_ROWS = 16  # below it single requests are as cheap as opening; assumed
IDLE_S = 60.0  # after which the servers drop the consumer of a reader that is gone
ANSWER_S = 2.0  # assumed; then single rows are asked for, which finds a server that answers
PAUSE_S = 5.0  # assumed; a new leader of the servers took 3 to 8 s
MAX_UNREAD_BYTES = 67_108_864  # of the subscription; the library drops what is more
_SHORT_REPLY_TOKENS = 9  # of a message's reply subject without a domain
_STATUS = "Status"  # header of what is no row: the end of an answer
_ENDS = frozenset({"404", "408", "409"})  # there is no more now, or none within MAX_BYTES


class _BrokenFeedError(Exception):
    """The consumer is gone."""


class _Pull:
    """One request, with the messages that answer it so far."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.messages: list[Msg] = []
        self.status = ""
        self.ended = asyncio.Event()

    def take(self, message: Msg) -> None:
        self.status = "" if message.data else (message.headers or {}).get(_STATUS, "")
        if not self.status:
            self.messages.append(message)
        if self.status or len(self.messages) >= self._count:
            self.ended.set()


class RowFeed:
    """The feed of one stream; calls wait for each other."""

    def __init__(self, connection: NatsConnection, stream: str) -> None:
        self._connection = connection
        self._stream = stream
        self._turn = asyncio.Lock()
        self._subscription: Subscription | None = None  # None: closed
        self._consumer = ""
        self._position = 0  # of the next row, unless it was deleted
        self._pull: _Pull | None = None
        self._open_at_s = 0.0  # not before, by the clock of the event loop

    async def read(self, first: int, count: int) -> Sequence[JournalRow]:
        """Read the next rows from a position on, `count` at most.

        An empty answer proves nothing, and neither does a position that is left out. A reader
        behind the feed always gets an empty answer.
        """
        async with self._turn:
            skipped = first - self._position
            is_open = self._subscription is not None and skipped < MOST_ROWS
            if (is_open and skipped < 0) or (not is_open and not self._may_open(count)):
                return ()
            try:
                if not is_open:
                    await self._open(first)
                    skipped = 0
                rows = await self._request(min(count + skipped, MOST_ROWS))
            except (JournalError, nats.errors.Error, TimeoutError, _BrokenFeedError):
                await self._close()
                self._open_at_s = asyncio.get_running_loop().time() + PAUSE_S
                return ()
            except asyncio.CancelledError:  # what comes for this request is not the next one's
                await self._close()
                raise
        return [row for row in rows if row.position >= first]

    def _may_open(self, count: int) -> bool:
        return count >= OPENING_ROWS and asyncio.get_running_loop().time() >= self._open_at_s

    async def _open(self, first: int) -> None:
        """Open the feed at a position. Raises JournalError, nats.errors.Error."""
        await self._close()
        self._connection.check()
        client = self._connection.client
        self._subscription = await client.subscribe(
            client.new_inbox(), cb=self._take, pending_bytes_limit=MAX_UNREAD_BYTES
        )
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=first,
            ack_policy=AckPolicy.NONE,
            num_replicas=1,
            mem_storage=True,
            inactive_threshold=IDLE_S,
        )
        js = self._connection.js
        info = await js.add_consumer(self._stream, config, timeout=ANSWER_S)
        self._consumer = info.name
        self._position = first

    async def _close(self) -> None:
        subscription = self._subscription
        self._subscription = None
        self._pull = None
        if subscription is not None:
            with suppress(nats.errors.Error):  # the connection has ended
                await subscription.unsubscribe()

    async def _request(self, count: int) -> list[JournalRow]:
        """Request the next rows that are stored, without waiting for more.

        Raises as `_open`, and _BrokenFeedError, TimeoutError.
        """
        subscription = self._subscription
        if subscription is None:
            raise _BrokenFeedError
        pull = self._pull = _Pull(count)
        request = {"batch": count, "max_bytes": MAX_BYTES, "no_wait": True}
        await self._connection.client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}",
            json.dumps(request).encode(),
            reply=subscription.subject,
        )
        async with asyncio.timeout(ANSWER_S):
            await pull.ended.wait()
        if pull.status and pull.status not in _ENDS:
            raise _BrokenFeedError
        return list(map(self._build_row, pull.messages))

    async def _take(self, message: Msg) -> None:
        if self._pull is not None:
            self._pull.take(message)

    def _build_row(self, message: Msg) -> JournalRow:
        """Build the row of a message. Raises JournalError."""
        position = read_position(message.reply)
        self._position = position + 1
        return build_row(position, decode_message(position, message.data))


def read_position(reply: str) -> int:
    """Read a message's position from its reply subject, which is for acknowledgments.

    It is $JS.ACK, two or no tokens on the domain, then stream, consumer, number of deliveries and
    position. `Msg.metadata` of the library would parse a time and four more numbers for each row.
    Raises JournalError.
    """
    tokens = reply.split(".")
    at = 5 if len(tokens) == _SHORT_REPLY_TOKENS else 7
    if tokens[:2] != ["$JS", "ACK"] or len(tokens) <= at or not tokens[at].isdecimal():
        raise JournalError("The journal's servers send a row without its position.")
    return int(tokens[at])
