"""A server that ends during a read is a journal failure, and the read is retried."""

from types import SimpleNamespace
from typing import Any, cast

import nats.errors
import nats.js.errors
import pytest

from heliograph_collector.store.journal.group_commit import JournalBusyError
from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.follower import StreamFollower

ENDINGS = (
    nats.js.errors.ServiceUnavailableError(),
    nats.errors.ConnectionClosedError(),
    nats.errors.NoRespondersError(),
)


class EndingServer:
    """Answers all but the fetch of messages, and knows no consumer then."""

    def __init__(self, error: Exception) -> None:
        self.js = self
        self._error = error

    async def ask(self, request: Any, *args: Any, **options: Any) -> Any:
        return await request(*args, **options)

    def build_failure(self, error: BaseException | None = None) -> JournalBusyError:
        return JournalBusyError("The journal's servers store nothing.")

    async def stream_info(self, _stream: str) -> Any:
        return SimpleNamespace(state=SimpleNamespace(last_seq=3))

    async def pull_subscribe(self, *_: Any, **__: Any) -> "EndingServer":
        return self

    async def consumer_info(self) -> Any:
        return SimpleNamespace(num_pending=3)

    async def fetch(self, *_: Any, **__: Any) -> Any:
        raise self._error

    async def unsubscribe(self) -> None:
        raise nats.errors.ConnectionClosedError


@pytest.mark.parametrize("error", ENDINGS, ids=lambda error: type(error).__name__)
async def test_server_that_ends_in_a_fetch_leaves_the_reader_where_it_was(error: Exception) -> None:
    follower = StreamFollower(cast("NatsConnection", EndingServer(error)), "made", "made.>")
    with pytest.raises(JournalBusyError):
        await follower.read_new()
    assert follower.position == 0
