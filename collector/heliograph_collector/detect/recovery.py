"""Replay recent verdicts after a crash, because votes are buffered in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from heliograph.units import MINUTE_US
from heliograph_collector.detect.signal_reader import read_votes
from heliograph_collector.model.records import (
    JournalRow,
    JudgedMeasurement,
    ReceivedMeasurement,
    RowKind,
)
from heliograph_collector.model.signals import ServiceVote
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms

# Assumed, all of them:
_ROWS = 500  # of the journal in one read
_BATCH = 500  # measurements in one query
_MAX_VOTES = 200_000  # the newest, which bounds memory


class JournalReader(Protocol):
    """Reads of the journal; raises JournalError."""

    id: str

    async def read(
        self, after: int, limit: int, *, kinds: Sequence[RowKind] | None = None
    ) -> list[JournalRow]: ...


class VerdictStore(Protocol):
    """Reads of the store; raises StoreError."""

    async def cursor(self, journal: str) -> int: ...
    async def judged(
        self, measurements: Sequence[ReceivedMeasurement]
    ) -> Sequence[JudgedMeasurement]: ...


@dataclass(slots=True)
class RecoveredVotes:
    """Votes of rows up to position `through`, and the minutes of their measurements."""

    through: int
    votes: list[ServiceVote] = field(default_factory=list)
    minutes_us: set[int] = field(default_factory=set)
    services: frozenset[str] | None = None  # that may be named; None: any

    def add_verdicts(self, judgements: Sequence[JudgedMeasurement]) -> None:
        self.votes += read_votes(judgements, services=self.services)
        del self.votes[:-_MAX_VOTES]
        self.minutes_us |= {
            measurement.started_us // MINUTE_US * MINUTE_US for measurement, _ in judgements
        }


class VerdictRecovery:
    """Reads verdicts again from the journal and the store."""

    def __init__(
        self,
        journal: JournalReader,
        store: VerdictStore,
        names: Pseudonyms,
        services: frozenset[str] | None = None,
    ) -> None:
        self._journal = journal
        self._store = store
        self._names = names
        self._services = services

    async def since(self, position: int | None) -> RecoveredVotes:
        """Return the stored verdicts of envelopes after `position`.

        The result covers rows whose blocks are in the store; the writer delivers later ones.
        Without a position there are no votes. Raises JournalError, StoreError.
        """
        recovered = RecoveredVotes(
            await self._store.cursor(self._journal.id), services=self._services
        )
        if position is None:
            return recovered
        while rows := await self._journal.read(position, _ROWS, kinds=(RowKind.ENVELOPE,)):
            covered = [row for row in rows if row.position <= recovered.through]
            measurements = (await asyncio.to_thread(read_rows, covered, self._names)).records
            for first in range(0, len(measurements), _BATCH):
                recovered.add_verdicts(
                    await self._store.judged(measurements[first : first + _BATCH])
                )
            if len(covered) < len(rows):
                break
            position = rows[-1].position
        return recovered
