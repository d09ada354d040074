"""A journal on servers as the leader of a cluster writes it, without servers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.journal import JournalBusyError


@dataclass
class WrittenJournal:
    """A journal in memory that may be down and has no hosts."""

    rows: list[JournalRow] = field(default_factory=list)
    arrivals: list[JournalRow] = field(default_factory=list)  # that hosts wrote
    position: int = 0
    alive_before_us: int = 1
    is_down: bool = False

    @property
    def hosts(self) -> "WrittenJournal":
        return self

    def note(self, host: str, applied: int) -> None:
        pass

    async def list_all(self) -> list[str]:
        return []

    async def note_position(self, position: int) -> None:
        self.position = max(self.position, position)

    async def read_arrivals(self, since_us: int) -> list[JournalRow]:
        return self.arrivals

    async def append(self, rows: Sequence[JournalRow]) -> list[int | None]:
        if self.is_down:
            raise JournalBusyError("no quorum")
        self.rows += rows
        return [None] * len(rows)

    def list_kinds(self) -> list[RowKind]:
        return [row.kind for row in self.rows]
