"""Store one large value in the bucket NAME-state, for the next leader.

Theory of operation. A head names the parts. Each part has a separate key and is stored before the
head that names it, so a reader finds a whole value, the present one or the one before. A new leader
writes its term into the head. The head of an earlier leader, which follows another one, is refused
from then on, and its parts have other keys. Parts that no head names any more are removed.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import nats.js.errors
from nats.js.kv import KeyValue

from heliograph_collector.store.journal.group_commit import FencedError
from heliograph_collector.store.journal.jetstream.bus import put_after
from heliograph_collector.store.journal.jetstream.connection import NatsConnection, ServerSettings
from heliograph_collector.store.journal.jetstream.streams import open_state_bucket

_TRIES = 8  # assumed; heads that an earlier leader may write while its successor takes over
_LOG = logging.getLogger("heliograph.journal")


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """First record that a reader reads; `label` is chosen by the writer."""

    term: int
    parts_of: str = ""  # first words of the keys of its parts
    count: int = 0  # of parts
    label: bytes = b""


_ENCODER = msgspec.msgpack.Encoder()
_HEADS = msgspec.msgpack.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A value as it was read; a part that is gone is b""."""

    label: bytes
    parts: Sequence[bytes]


class SharedObject:
    """The value of one key, for the leader of a term.

    Every method raises JournalError. FencedError means that a later leader has it. After another
    error the value is replaced whole.
    """

    def __init__(self, connection: NatsConnection, bucket: KeyValue, key: str, term: int) -> None:
        self._connection = connection
        self._bucket = bucket
        self._key = key
        self._term = term
        self._head = _Head(term=0)
        self._revision = 0
        self._versions = 0  # that this leader has begun to store

    @classmethod
    async def open(
        cls, connection: NatsConnection, settings: ServerSettings, key: str, term: int
    ) -> "SharedObject":
        """Open the bucket, and create it if it is not there."""
        return cls(connection, await open_state_bucket(connection, settings), key, term)

    async def take_over(self) -> StoredObject | None:
        """Keep earlier leaders from writing it, and return it; None if there is none."""
        for _ in range(_TRIES):
            await self._read_head()
            if self._head.term > self._term:
                break
            try:
                await self._write_head(msgspec.structs.replace(self._head, term=self._term))
            except FencedError:
                continue
            return await self._read_parts()
        raise FencedError(f"Another collector leads, and has {self._key}.")

    async def replace(self, label: bytes, parts: Sequence[bytes]) -> None:
        """Store another value, and remove the parts of the one before."""
        before = self._head
        self._versions += 1
        parts_of = f"{self._key}.{self._term}.{self._versions}"
        await self._put_parts(parts_of, 0, parts)
        await self._write_head(
            _Head(term=self._term, parts_of=parts_of, count=len(parts), label=label)
        )
        for number in range(before.count):
            await self._connection.ask(self._bucket.purge, f"{before.parts_of}.{number}")

    async def extend(self, label: bytes, parts: Sequence[bytes]) -> None:
        """Add parts at the end of what `replace` stored, under another label."""
        before = self._head
        await self._put_parts(before.parts_of, before.count, parts)
        count = before.count + len(parts)
        await self._write_head(msgspec.structs.replace(before, count=count, label=label))

    async def _put_parts(self, parts_of: str, first: int, parts: Sequence[bytes]) -> None:
        for number, part in enumerate(parts, first):
            await self._connection.ask(self._bucket.put, f"{parts_of}.{number}", part)

    async def _read_head(self) -> None:
        entry = await self._get(self._key)
        content, self._revision = (b"", 0) if entry is None else entry
        try:
            self._head = _HEADS.decode(content) if content else _Head(term=0)
        except msgspec.MsgspecError:  # of a later version, which is replaced
            _LOG.warning("%s on the journal's servers cannot be read.", self._key)
            self._head = _Head(term=0)

    async def _write_head(self, head: _Head) -> None:
        content = _ENCODER.encode(head)
        try:
            self._revision = await put_after(
                self._connection, self._bucket, self._key, content, self._revision
            )
        except FencedError:
            await self._read_head()
            if self._head.term != self._term:
                raise
            # An earlier head of ours was stored after all: its answer came too late.
            raise self._connection.build_failure() from None
        self._head = head

    async def _read_parts(self) -> StoredObject | None:
        head = self._head
        if not head.count:
            return None
        entries = [await self._get(f"{head.parts_of}.{number}") for number in range(head.count)]
        return StoredObject(head.label, [entry[0] if entry else b"" for entry in entries])

    async def _get(self, key: str) -> tuple[bytes, int] | None:
        """Return a value and its revision, None if there is none."""
        try:
            entry = await self._connection.ask(self._bucket.get, key)
        except nats.js.errors.KeyNotFoundError:
            return None
        return entry.value or b"", entry.revision or 0
