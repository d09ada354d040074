"""Protocols of a journal, which each stage uses whatever engine keeps it."""

from collections.abc import Collection, Sequence
from typing import Protocol

from heliograph_collector.model.records import JournalRow, RowKind


class JudgedJournal(Protocol):
    """The durable, ordered log of opened envelopes and presence, to read and to trim.

    Positions rise in commit order and may have gaps. Every method raises JournalError.
    """

    id: str
    alive_before_us: int
    expiry_before_us: int
    envelopes_kept_us: int  # how long judged envelopes stay, for reading and to recognize forks

    @property
    def position(self) -> int: ...
    async def read(
        self,
        after: int,
        limit: int,
        *,
        limit_bytes: int = ...,
        kinds: Collection[RowKind] | None = None,
    ) -> list[JournalRow]: ...
    async def read_body(self, agent: bytes, sequence: int) -> bytes | None: ...
    async def wait_beyond(self, position: int, timeout_s: float) -> bool: ...
    async def mark_alive(self, at_us: int) -> None: ...
    async def mark_expiry(self, at_us: int) -> None: ...
    async def trim(
        self, max_position: int, received_before_us: int, presence_before_us: int | None = None
    ) -> int: ...


class JournalProtocol(JudgedJournal, Protocol):
    """The journal as ingest sees it: what `append` returned may be acknowledged.

    `journal.Journal` keeps it in SQLite, `jetstream.journal.JetStreamJournal` on NATS servers; one
    suite of tests runs over both. An envelope is accepted once by (agent, sequence), even after its
    row was trimmed.
    """

    async def append(
        self, rows: Sequence[JournalRow], *, deadline_s: float = ...
    ) -> list[int | None]: ...


class OwnedJournal(JournalProtocol, Protocol):
    """The journal as the collector that owns it opens it."""

    term: int  # of its ownership: the next owner's is greater; 0 where no other can own it
