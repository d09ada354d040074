"""Answers to rows: handed out together, and each to the caller that waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.store.journal.jetstream import row_publisher
from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.row_feed import read_position
from heliograph_collector.store.journal.jetstream.row_publisher import RowPublisher
from heliograph_collector.store.journal.journal import JournalError
from support.waiting import until_true

STORED = b'{"stream":"j","seq":%d}'
REFUSED = b'{"error":{"code":400,"err_code":10077,"description":"maximum messages"},"seq":0}'
NO_STREAM = {"Status": "503"}


class RecordingClient:
    """A client without servers: the test answers what it sends."""

    def __init__(self) -> None:
        self.replies: list[str] = []
        self.subscriptions = 0

    def new_inbox(self) -> str:
        return "_INBOX.test"

    async def subscribe(self, subject: str, *, cb: Callable[[Msg], Awaitable[None]]) -> None:
        self.subscriptions += 1
        self._answer = cb

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.replies.append(reply)

    async def answer(
        self, number: int, content: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        await self._answer(
            Msg(Client(), subject=self.replies[number], data=content, headers=dict(headers or {}))
        )


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> RecordingClient:
    monkeypatch.setattr(row_publisher, "COLLECT_S", 60.0)
    return RecordingClient()


@pytest.fixture
def publisher(client: RecordingClient) -> RowPublisher:
    connection = NatsConnection(JournalSettings(urls=()))
    connection._client = cast("Client", client)
    return RowPublisher(connection)


async def send(
    publisher: RowPublisher, client: RecordingClient, count: int
) -> list[asyncio.Task[int]]:
    """Send rows without answering them."""
    sent = len(client.replies) + count
    tasks = [asyncio.create_task(publisher.publish("s", b"row", {})) for _ in range(count)]
    await until_true(lambda: len(client.replies) == sent)
    return tasks


async def test_answers_are_handed_out_once_none_is_outstanding(
    publisher: RowPublisher, client: RecordingClient
) -> None:
    tasks = await send(publisher, client, 3)
    for number in (2, 0):
        await client.answer(number, STORED % (number + 1))
        await asyncio.sleep(0)  # a turn in which one that was answered would end
        assert not any(task.done() for task in tasks)
    await client.answer(1, STORED % 2)
    assert await asyncio.gather(*tasks) == [1, 2, 3]
    assert client.subscriptions == 1


async def test_answers_do_not_wait_long_for_one_that_does_not_come(
    publisher: RowPublisher, client: RecordingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_publisher, "COLLECT_S", 0.001)
    monkeypatch.setattr(row_publisher, "TRY_S", 0.2)
    answered, unanswered = await send(publisher, client, 2)
    await client.answer(0, STORED % 7)
    assert await answered == 7
    assert not unanswered.done()
    with pytest.raises(nats.errors.TimeoutError):
        await unanswered
    await client.answer(1, STORED % 8)  # a late answer is harmless
    (again,) = await send(publisher, client, 1)
    await client.answer(2, STORED % 9)
    assert await again == 9


async def test_caller_that_was_canceled_holds_nobody_up(
    publisher: RowPublisher, client: RecordingClient
) -> None:
    canceled, other = await send(publisher, client, 2)
    await client.answer(1, STORED % 5)
    canceled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await canceled
    assert await asyncio.wait_for(other, 5) == 5


@pytest.mark.parametrize(
    ("content", "headers", "error"),
    [
        (REFUSED, None, nats.js.errors.BadRequestError),
        (b'{"error":{"code":503,"err_code":10077}}', None, nats.js.errors.ServiceUnavailableError),
        (b"", NO_STREAM, nats.js.errors.NoStreamResponseError),
        (b"", None, JournalError),
        (b'{"seq":"one"}', None, JournalError),
        (b"[]", None, JournalError),
        (b'{"seq":0}', None, JournalError),
    ],
)
async def test_answer_that_is_no_receipt_is_an_error(
    publisher: RowPublisher,
    client: RecordingClient,
    content: bytes,
    headers: Mapping[str, str] | None,
    error: type[Exception],
) -> None:
    (task,) = await send(publisher, client, 1)
    await client.answer(0, content, headers)
    with pytest.raises(error):
        await task


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.j.c.1.42.7.1700000000000000000.0",
        "$JS.ACK._.hash.j.c.1.42.7.1700000000000000000.0",
        "$JS.ACK.domain.hash.j.c.1.42.7.1700000000000000000.0.random",
    ],
)
def test_position_of_a_row_is_read_as_the_library_reads_it(reply: str) -> None:
    message = Msg(Client(), reply=reply)
    assert read_position(reply) == message.metadata.sequence.stream == 42


@pytest.mark.parametrize("reply", ["", "$JS.ACK.j.c.1", "$JS.ACK.j.c.1.x.7.1.0", "a.b.c.d.e.1.1"])
def test_row_without_a_position_is_refused(reply: str) -> None:
    with pytest.raises(JournalError, match="without its position"):
        read_position(reply)
