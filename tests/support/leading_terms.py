"""The state that successive leading collectors share on a real nats-server."""

from uuid import uuid4

from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.shared_object import SharedObject
from support.nats_servers import NatsServers


class LeadingTerms:
    """State of one cluster whose leaders end without a goodbye."""

    def __init__(self, server: NatsServers) -> None:
        self._settings = server.settings(f"t{uuid4().hex[:16]}")
        self._connection = NatsConnection(self._settings)

    async def open(self, key: str, term: int) -> SharedObject:
        """Open a value as the leader of a term."""
        if not self._connection.is_connected:
            await self._connection.open()
        return await SharedObject.open(self._connection, self._settings, key, term)

    async def list_keys(self) -> list[str]:
        """List the keys that have a value.

        A bucket's `keys` ends at once where all values came before it asked how many are to come
        (nats-py 2.x on a busy machine); this asks the stream.
        """
        name = f"{self._settings.name}-state"
        prefix = f"$KV.{name}."
        info = await self._connection.js.stream_info(f"KV_{name}", subjects_filter=f"{prefix}>")
        bucket = await self._connection.js.key_value(name)
        keys = [subject.removeprefix(prefix) for subject in info.state.subjects or ()]
        return [key for key in keys if await _has_value(bucket, key)]

    async def damage(self, key: str) -> None:
        bucket = await self._connection.js.key_value(f"{self._settings.name}-state")
        await bucket.put(key, b"\x00" * 64)

    async def close(self) -> None:
        await self._connection.close()


async def _has_value(bucket: KeyValue, key: str) -> bool:
    try:
        await bucket.get(key)
    except KeyNotFoundError:
        return False
    return True
