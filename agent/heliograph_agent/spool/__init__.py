"""The agent's durable queue: bounded, never refusing to start, never losing what it took.

SQLite in WAL mode with one writer thread and group commit. Measurements wait open until a batch of
them is closed into an envelope; an envelope is sent, byte for byte the same, until it is settled.
"""

from pathlib import Path

from heliograph.clock import Clock
from heliograph.codec import epoch_to_pb, measurement_to_pb
from heliograph.observation import Epoch, Measurement
from heliograph_agent.spool.book import Seal, SpoolCounts
from heliograph_agent.spool.errors import SealError, SpoolError, SpoolFull
from heliograph_agent.spool.priority import Priority, Triage
from heliograph_agent.spool.shelf import Shelf
from heliograph_agent.spool.writer import Writer

__all__ = ["Priority", "Spool", "SpoolCounts", "SpoolError", "SpoolFull", "Triage"]

LIMIT_BYTES = 67_108_864
MAX_MEASUREMENT = 240_000  # bytes: one alone must fit the largest envelope, however badly it packs
MAX_ENVELOPE = 1_048_576  # bytes; the codec's own bound is lower
SETTLED = frozenset({"stored", "duplicate", "rejected", "retry"})


class Spool:
    """Every method may raise SpoolError, a sentence, and has then changed nothing."""

    def __init__(self, path: Path, *, limit_bytes: int = LIMIT_BYTES, clock: Clock) -> None:
        self._limit = limit_bytes
        self._writer = Writer(Shelf(path, clock, limit_bytes))

    async def append(self, measurement: Measurement, epoch: Epoch, priority: Priority) -> int:
        """The measurement's number, once it is on the disk. Raises SpoolFull."""
        message, network = measurement_to_pb(measurement), epoch_to_pb(epoch)
        if message.ByteSize() > MAX_MEASUREMENT:
            raise SpoolError(
                f"A measurement of {message.ByteSize()} bytes fits no envelope: "
                f"test fewer endpoints at once (at most {MAX_MEASUREMENT} bytes)."
            )
        return await self._writer.do(
            lambda book: book.append(message, network, priority), worth=priority
        )

    async def close_batch(self, seal: Seal, at_most: int = MAX_ENVELOPE) -> int | None:
        """Put the next open measurements, of one class, into an envelope; None when none is open.

        It holds as many as make `at_most` bytes. `seal` gets the envelope's number, the
        measurements and their epochs, also more than once; what it raises comes back here and
        nothing has changed. Call again until None.
        """
        try:
            return await self._writer.do(lambda book: book.close_batch(seal, at_most))
        except SealError as failed:
            raise failed.error from None

    async def waiting(self, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` envelopes that nobody acknowledged, the most useful first."""
        return await self._writer.do(lambda book: book.waiting(limit))

    async def settle(self, sequence: int, status: str, reason: str = "") -> None:
        """The collector's word on an envelope: stored, duplicate, rejected or retry."""
        if status not in SETTLED:
            raise ValueError(f"{status!r} settles nothing; allowed: {', '.join(sorted(SETTLED))}")
        if status != "retry":
            await self._writer.do(lambda book: book.settle(sequence, status, reason))

    async def counts(self) -> SpoolCounts:
        """Never raises: a spool that cannot be used says why."""
        try:
            counts = await self._writer.do(lambda book: book.counts())
        except SpoolError as error:
            return SpoolCounts(limit_bytes=self._limit, problem=str(error))
        refused = self._writer.refused
        return counts.with_refused(refused) if refused else counts

    async def close(self) -> None:
        """Finish what was begun and let the file go. Safe to call twice."""
        await self._writer.close()
