"""A large value that the collector that leads keeps for the next, sealed from the servers."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from heliograph_collector.fleet.server_seal import seal, unseal

PART_BYTES = 1_048_576  # servers take messages of twice as much
_LABEL = b"label"  # the parts are named by their numbers


class StoredParts(Protocol):
    """A value as it was read; a part that is gone is b""."""

    @property
    def label(self) -> bytes: ...
    @property
    def parts(self) -> Sequence[bytes]: ...


class LargeValue(Protocol):
    """A value on the servers, of one leader. Its methods raise FencedError, JournalError.

    Implemented by jetstream.shared_object.SharedObject.
    """

    async def take_over(self) -> StoredParts | None: ...
    async def replace(self, label: bytes, parts: Sequence[bytes]) -> None: ...
    async def extend(self, label: bytes, parts: Sequence[bytes]) -> None: ...


class SealedValue:
    """A label and content in parts. Every method raises FencedError, JournalError."""

    def __init__(self, value: LargeValue, secret: bytes, purpose: bytes) -> None:
        self._value = value
        self._secret = secret
        self._purpose = purpose
        self.part_count = 0  # that this leader has stored

    async def take_over(self) -> tuple[bytes, bytes] | None:
        """Return label and content of the leader before, if any. Raises SealError too."""
        stored = await self._value.take_over()
        return None if stored is None else await asyncio.to_thread(self._open, stored)

    async def replace(self, label: bytes, content: bytes) -> None:
        parts = await asyncio.to_thread(self._seal_parts, content, 0)
        await self._value.replace(self._seal(label, _LABEL), parts)
        self.part_count = len(parts)

    async def extend(self, label: bytes, content: bytes) -> None:
        """Add content at the end, under another label."""
        parts = await asyncio.to_thread(self._seal_parts, content, self.part_count)
        await self._value.extend(self._seal(label, _LABEL), parts)
        self.part_count += len(parts)

    def _seal(self, content: bytes, name: bytes) -> bytes:
        return seal(self._secret, self._purpose, content, name)

    def _unseal(self, sealed: bytes, name: bytes) -> bytes:
        return unseal(self._secret, self._purpose, sealed, name)

    def _seal_parts(self, content: bytes, first: int) -> list[bytes]:
        starts = range(0, len(content), PART_BYTES)
        return [
            self._seal(content[at : at + PART_BYTES], str(number).encode())
            for number, at in enumerate(starts, first)
        ]

    def _open(self, stored: StoredParts) -> tuple[bytes, bytes]:
        parts = [self._unseal(part, str(n).encode()) for n, part in enumerate(stored.parts)]
        return self._unseal(stored.label, _LABEL), b"".join(parts)
