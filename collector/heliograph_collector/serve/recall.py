"""What the newest blocks said, once more: a kill lets go of what the detectors only had in mind."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.reading import read_rows
from heliograph_collector.store.rows import JournalRow, Judged, Kind, Taken

_ROWS = 500
_AT_ONCE = 500  # measurements
_MOST = 200_000  # measurements; of more the newest


class Kept(Protocol):
    """What is needed of the journal; raises JournalError."""

    id: str

    async def read(
        self, after: int, limit: int, *, kinds: Sequence[Kind] | None = None
    ) -> list[JournalRow]: ...


class Shelf(Protocol):
    """What is needed of the store; raises StoreError."""

    async def cursor(self, journal: str) -> int: ...
    async def judged(self, taken: Sequence[Taken]) -> Sequence[Judged]: ...


class Recall:
    def __init__(self, journal: Kept, store: Shelf, names: Pseudonyms) -> None:
        self._journal, self._store, self._names = journal, store, names

    async def since(self, position: int | None) -> tuple[int, list[Judged]]:
        """(up to which entry, verdicts as they stand): of envelopes after `position` whose blocks
        are in; the others come by the writer. None: of nothing. Raises JournalError, StoreError."""
        last = await self._store.cursor(self._journal.id)
        taken: list[Taken] = []
        if position is None:
            return last, []
        while rows := await self._journal.read(position, _ROWS, kinds=(Kind.ENVELOPE,)):
            mine = [row for row in rows if row.position <= last]
            taken += (await asyncio.to_thread(read_rows, mine, self._names)).taken
            del taken[:-_MOST]
            if len(mine) < len(rows):
                break
            position = rows[-1].position
        found: list[Judged] = []
        for first in range(0, len(taken), _AT_ONCE):
            found += await self._store.judged(taken[first : first + _AT_ONCE])
        return last, found
