"""One value in the bucket NAME-state that several processes write.

Each write names the revision that its process read last.
"""

import nats.js.errors
from nats.js.kv import KeyValue

from heliograph_collector.store.journal.jetstream.bus import put_after
from heliograph_collector.store.journal.jetstream.connection import NatsConnection, ServerSettings
from heliograph_collector.store.journal.jetstream.streams import open_state_bucket


class SharedValue:
    """The value of one key. Every method raises JournalError."""

    def __init__(self, connection: NatsConnection, bucket: KeyValue, key: str) -> None:
        self._connection = connection
        self._bucket = bucket
        self._key = key
        self._revision = 0

    @classmethod
    async def open(
        cls, connection: NatsConnection, settings: ServerSettings, key: str
    ) -> "SharedValue":
        """Open the bucket, and create it if it is not there."""
        return cls(connection, await open_state_bucket(connection, settings), key)

    async def read(self) -> bytes | None:
        """Return the value, None if there is none."""
        try:
            entry = await self._connection.ask(self._bucket.get, self._key)
        except nats.js.errors.KeyNotFoundError:
            return None
        self._revision = entry.revision or 0
        return entry.value

    async def write(self, content: bytes) -> None:
        """Replace the value that was last read or written.

        Raises FencedError if another process replaced it meanwhile, JournalError.
        """
        self._revision = await put_after(
            self._connection, self._bucket, self._key, content, self._revision
        )
