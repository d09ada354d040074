"""Publish rows as messages, and await the answer that a quorum stored them.

Theory of operation. A message names a subject for its answer, below one inbox of this process. The
servers answer each message by itself, and an answer that is handed out at once wakes its caller
alone: it also wakes each waiting reader of rows, and an agent gets its receipt in a separate
message. So answers are collected until none is outstanding, COLLECT_S at most, and handed out
together, in the order in which they came. A single row is answered without delay.

The request of the library does the same for each message by itself; it takes twice the CPU time.
"""

import asyncio
from itertools import count

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.msg import Msg

from heliograph_collector.store.journal.group_commit import JournalError
from heliograph_collector.store.journal.jetstream.connection import TRY_S, NatsConnection

COLLECT_S = 0.002  # assumed; the quorum takes about as long, and agents wait for seconds
_STATUS = "Status"  # header of what is no answer of a stream: nobody listens to the subject


class _StreamAnswer(msgspec.Struct, frozen=True, gc=False):
    """The answer of a stream: the position of the stored row, or the refusal."""

    seq: int = 0
    error: dict[str, int | str] | None = None


_NO_RECEIPT = "The journal's servers answer a row with no receipt."
_DECODER = msgspec.json.Decoder(_StreamAnswer)


class RowPublisher:
    """Sender of rows to one stream."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._inbox = ""
        self._subscribing = asyncio.Lock()
        self._numbers = count(1)
        self._unanswered: dict[str, asyncio.Future[int]] = {}  # by the subject of the answer
        self._collected: list[tuple[asyncio.Future[int], Msg]] = []
        self._handing_out: asyncio.TimerHandle | None = None

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> int:
        """Send a row; return its position after the servers' quorum has it.

        Raises nats.errors.Error, of which APIError is a refusal, and JournalError.
        """
        if not self._inbox:
            await self._subscribe()
        client = self._connection.client
        reply = f"{self._inbox}.{next(self._numbers)}"
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._unanswered[reply] = future
        try:
            async with asyncio.timeout(TRY_S):  # sending waits too, where the socket takes no more
                await client.publish(subject, payload, reply=reply, headers=headers)
                return await future
        except TimeoutError:
            raise nats.errors.TimeoutError from None
        finally:
            is_unanswered = self._unanswered.pop(reply, None) is not None
            if is_unanswered and not self._unanswered:  # others may have waited for this answer
                self._hand_out()

    async def _subscribe(self) -> None:
        async with self._subscribing:
            if not self._inbox:
                client = self._connection.client
                inbox = client.new_inbox()
                await client.subscribe(f"{inbox}.*", cb=self._take)
                self._inbox = inbox

    async def _take(self, message: Msg) -> None:
        """Collect an answer; one that nobody waits for any more is dropped."""
        future = self._unanswered.pop(message.subject, None)
        if future is None:
            return
        self._collected.append((future, message))
        if not self._unanswered:
            self._hand_out()
        elif self._handing_out is None:
            loop = asyncio.get_running_loop()
            self._handing_out = loop.call_later(COLLECT_S, self._hand_out)

    def _hand_out(self) -> None:
        if self._handing_out is not None:
            self._handing_out.cancel()
            self._handing_out = None
        collected = self._collected
        self._collected = []
        for future, message in collected:
            if not future.done():  # its caller waits no more
                _resolve(future, message)


def _resolve(future: "asyncio.Future[int]", message: Msg) -> None:
    """Give a caller what its message was answered."""
    if message.headers and not message.data and message.headers.get(_STATUS):
        future.set_exception(nats.js.errors.NoStreamResponseError())
        return
    try:
        future.set_result(_read_position(message.data))
    except (nats.js.errors.APIError, JournalError) as error:
        future.set_exception(error)


def _read_position(content: bytes) -> int:
    """Read the position of a stored row. Raises nats.js.errors.APIError, JournalError."""
    try:
        answer = _DECODER.decode(content)
    except msgspec.MsgspecError as error:
        raise JournalError(_NO_RECEIPT) from error
    if answer.error is not None:
        nats.js.errors.APIError.from_error(answer.error)
    if not answer.seq:
        raise JournalError(_NO_RECEIPT)
    return answer.seq
