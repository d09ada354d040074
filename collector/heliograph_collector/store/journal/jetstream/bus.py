"""Exchange messages and shared tables between the processes of a cluster.

Messages are not stored: a process that missed one notices it by its number, and asks for all. The
bucket NAME-fleet and the stream NAME-log are stored by the servers' quorum, and every write of them
names the revision that it follows, so that of two leaders only one can write.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import KeyValueConfig, StorageType, StreamConfig
from nats.js.kv import KeyValue

from heliograph_collector.store.journal.group_commit import FencedError, JournalBusyError
from heliograph_collector.store.journal.jetstream.connection import (
    UNANSWERED,
    NatsConnection,
    ServerSettings,
    keeping_cancellation,
)
from heliograph_collector.store.journal.jetstream.follower import StreamFollower

MAX_UNREAD_BYTES = 67_108_864  # of a subscription; more is lost, and asked for again
WRONG_LAST = 10_071  # err_code: the stream's last message is another than the expected one


class Bus:
    """Messages under the subjects of one journal."""

    def __init__(self, connection: NatsConnection, name: str) -> None:
        self._connection = connection
        self._name = name

    @property
    def is_connected(self) -> bool:
        return self._connection.is_connected

    async def publish(self, topic: str, content: bytes) -> bool:
        """Send to all that listen; return False where no server is connected."""
        if not self._connection.is_connected:
            return False
        try:
            await self._connection.client.publish(f"{self._name}.{topic}", content)
        except nats.errors.Error:
            return False
        return True

    async def ask(self, topic: str, content: bytes, timeout_s: float) -> bytes:
        """Ask, and return the first answer. Raises JournalBusyError."""
        try:
            self._connection.check()
            async with keeping_cancellation():
                answer = await self._connection.client.request(
                    f"{self._name}.{topic}", content, timeout=timeout_s
                )
        except UNANSWERED:
            raise JournalBusyError("No collector leads at the moment.") from None
        return answer.data

    async def listen(self, topic: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield (last word of the subject, content) of messages; never end."""
        subscription = await self._connection.client.subscribe(
            f"{self._name}.{topic}", pending_bytes_limit=MAX_UNREAD_BYTES
        )
        async for message in subscription.messages:
            yield message.subject.rpartition(".")[2], message.data

    @asynccontextmanager
    async def answer(
        self, topic: str, handler: Callable[[bytes], Awaitable[bytes]], *, is_shared: bool = False
    ) -> AsyncIterator[None]:
        """Answer requests inside the block, one after the other.

        If `is_shared`, each request goes to one of the processes that answer the topic.
        """

        async def reply(message: Msg) -> None:
            await message.respond(await handler(message.data))

        subscription = await self._connection.client.subscribe(
            f"{self._name}.{topic}", "all" if is_shared else "", cb=reply
        )
        try:
            yield
        finally:
            if self._connection.is_connected:
                await subscription.unsubscribe()


async def put_after(
    connection: NatsConnection, bucket: KeyValue, key: str, content: bytes, last: int
) -> int:
    """Store a value over that of a revision, 0 for none; return its own revision.

    Raises FencedError if there is another one, JournalError.
    """
    try:
        return await connection.ask(bucket.update, key, content, last=last)
    except nats.js.errors.KeyWrongLastSequenceError:
        pass
    try:  # an earlier try of ours may be stored, and its answer lost
        entry = await connection.ask(bucket.get, key)
    except nats.js.errors.KeyNotFoundError:
        raise connection.build_failure() from None
    if (entry.value or b"") != content:
        raise FencedError(f"Another collector leads, and has written {key}.") from None
    return entry.revision or 0


class SharedTable:
    """The bucket NAME-fleet: keys and values that one process writes for others."""

    def __init__(self, connection: NatsConnection, bucket: KeyValue, name: str) -> None:
        self._connection = connection
        self._bucket = bucket
        self._prefix = f"$KV.{name}."
        self._follower = StreamFollower(connection, f"KV_{name}", f"{self._prefix}>")
        self._revisions: dict[str, int] = {}

    @classmethod
    async def open(cls, connection: NatsConnection, settings: ServerSettings) -> "SharedTable":
        """Open the bucket, and create it if it is not there. Raises JournalError."""
        name = f"{settings.name}-fleet"
        config = KeyValueConfig(bucket=name, replicas=settings.replicas, direct=False)
        bucket = await connection.ask(connection.js.create_key_value, config)
        return cls(connection, bucket, name)

    async def read_new(self) -> Mapping[str, bytes | None]:
        """Return the changes since the last call; None for a deleted key."""
        changes: dict[str, bytes | None] = {}
        for entry in await self._follower.read_new():
            key = entry.subject.removeprefix(self._prefix)
            self._revisions[key] = entry.position
            changes[key] = entry.content or None
        return changes

    async def put(self, key: str, content: bytes) -> None:
        """Store a value, b"" for none, over the one that was read or written here last.

        Raises FencedError if another process wrote it since, JournalError.
        """
        last = self._revisions.get(key, 0)
        self._revisions[key] = await put_after(self._connection, self._bucket, key, content, last)


class SharedLog:
    """A stream as NAME-log: its message n is entry n, and follows message n - 1."""

    def __init__(self, connection: NatsConnection, name: str, subject: str = "") -> None:
        self._connection = connection
        self._name = name
        self._subject = subject or name

    @classmethod
    async def open(cls, connection: NatsConnection, settings: ServerSettings) -> "SharedLog":
        """Open the alert log, and create it if it is not there. Raises JournalError."""
        return await cls._open(connection, settings, f"{settings.name}-log", "")

    @classmethod
    async def open_audit(cls, connection: NatsConnection, settings: ServerSettings) -> "SharedLog":
        """Open the audit trail, and create it if it is not there. Raises JournalError.

        Its subject is one that users of earlier configurations of the servers may write.
        """
        name = settings.name
        return await cls._open(connection, settings, f"{name}-audit", f"{name}.audit")

    @classmethod
    async def _open(
        cls, connection: NatsConnection, settings: ServerSettings, name: str, subject: str
    ) -> "SharedLog":
        config = StreamConfig(
            name=name,
            subjects=[subject or name],
            storage=StorageType.FILE,
            num_replicas=settings.replicas,
            deny_delete=True,
            deny_purge=True,
        )
        try:
            await connection.ask(connection.js.stream_info, name)
        except nats.js.errors.NotFoundError:
            await connection.ask(connection.js.add_stream, config)
        return cls(connection, name, subject)

    async def count(self) -> int:
        """Return the number of the last entry, 0 before the first. Raises JournalError."""
        info = await self._connection.ask(self._connection.js.stream_info, self._name)
        return info.state.last_seq

    async def read_after(self, number: int) -> list[bytes]:
        """Return the entries after a number. Raises JournalError."""
        follower = StreamFollower(self._connection, self._name, self._subject)
        follower.position = number
        return [entry.content or b"" for entry in await follower.read_new()]

    async def append(self, number: int, line: bytes) -> None:
        """Append entry `number`. Raises FencedError if it does not follow, JournalError."""
        headers = {"Nats-Expected-Last-Sequence": str(number - 1)}
        try:
            await self._connection.ask(self._publish, line, stream=self._name, headers=headers)
        except _NotLastError:
            if await self._read(number) != line:  # else an earlier try of ours
                raise FencedError("Another collector leads, and has written the log.") from None

    async def _publish(self, line: bytes, *, stream: str, headers: dict[str, str]) -> None:
        try:
            await self._connection.js.publish(self._subject, line, stream=stream, headers=headers)
        except nats.js.errors.APIError as error:
            if error.err_code == WRONG_LAST:
                raise _NotLastError from error
            raise

    async def _read(self, number: int) -> bytes | None:
        try:
            message = await self._connection.ask(
                self._connection.js.get_msg, self._name, seq=number
            )
        except nats.js.errors.NotFoundError:
            return None
        return message.data


class _NotLastError(Exception):
    """The stream's last message is another one."""
