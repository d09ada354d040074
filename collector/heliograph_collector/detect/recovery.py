"""What the newest blocks said, once more: a kill lets go of what the detectors only had in mind."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from heliograph_collector.detect.vote_reader import opinions
from heliograph_collector.model.records import JournalRow, Judged, Kind, Taken
from heliograph_collector.model.signals import Opinion
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms

_ROWS = 500
_AT_ONCE = 500  # measurements
_MOST = 200_000  # opinions; of more the newest
_MINUTE_US = 60_000_000


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


@dataclass(slots=True)
class Recalled:
    """What was judged of entries up to `upto`, and the minutes of what was measured."""

    upto: int
    heard: list[Opinion] = field(default_factory=list)
    moments_us: set[int] = field(default_factory=set)

    def take(self, judged: Sequence[Judged]) -> None:
        self.heard += opinions(judged)
        del self.heard[:-_MOST]
        self.moments_us |= {one.started_us // _MINUTE_US * _MINUTE_US for one, _ in judged}


class Recall:
    def __init__(self, journal: Kept, store: Shelf, names: Pseudonyms) -> None:
        self._journal, self._store, self._names = journal, store, names

    async def since(self, position: int | None) -> Recalled:
        """Verdicts as they stand, of envelopes after `position` whose blocks are in; the others
        come by the writer. None: of nothing. Raises JournalError, StoreError."""
        found = Recalled(await self._store.cursor(self._journal.id))
        if position is None:
            return found
        while rows := await self._journal.read(position, _ROWS, kinds=(Kind.ENVELOPE,)):
            mine = [row for row in rows if row.position <= found.upto]
            taken = (await asyncio.to_thread(read_rows, mine, self._names)).taken
            for first in range(0, len(taken), _AT_ONCE):
                found.take(await self._store.judged(taken[first : first + _AT_ONCE]))
            if len(mine) < len(rows):
                break
            position = rows[-1].position
        return found
