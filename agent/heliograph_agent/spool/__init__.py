"""The agent's durable queue: bounded, never refusing to start, never losing what it took.

SQLite in WAL mode with one writer thread and group commit. Measurements wait open until a batch of
them is closed into an envelope; an envelope is sent, byte for byte the same, until it is settled.
"""

from collections.abc import Sequence
from pathlib import Path

from heliograph.clock import Clock
from heliograph.codec import epoch_to_pb, measurement_to_pb
from heliograph.observation import Epoch, Measurement
from heliograph_agent.spool.compaction import Seal
from heliograph_agent.spool.database import Shelf
from heliograph_agent.spool.operations import SpoolCounts
from heliograph_agent.spool.priority import Priority, SealError, SpoolError, SpoolFull, Triage
from heliograph_agent.spool.writer_thread import Writer

__all__ = ["Priority", "Spool", "SpoolCounts", "SpoolError", "SpoolFull", "Triage"]

LIMIT_BYTES = 67_108_864
MAX_MEASUREMENT = 240_000  # bytes: one alone must fit the largest envelope, however badly it packs
MAX_ENVELOPE = 1_048_576  # bytes; the codec's own bound is lower
NOTHING_ELSE = len(Priority)  # the worth of what may cost no result its place
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

    async def close_batch(
        self, seal: Seal, at_most: int = MAX_ENVELOPE, *, dark: bool = False
    ) -> int | None:
        """Put the next open measurements, of one class, into an envelope; None when none is open.

        It holds as many as make `at_most` bytes. `seal` gets the envelope's number, the
        measurements and their epochs, also more than once; what it raises comes back here and
        nothing has changed. Call again until None. `dark` when nothing goes out now: then batches
        grow together, and sums are kept for the day when room runs short.
        """
        try:
            return await self._writer.do(lambda book: book.close_batch(seal, at_most, dark=dark))
        except SealError as failed:
            raise failed.error from None

    async def digest(
        self, tellings: Sequence[Measurement], epoch: Epoch, seal: Seal, at_most: int
    ) -> None:
        """Keep the first of `tellings` that fits into `at_most` bytes, to go before all else.

        It takes the place of the one before. What `seal` raises comes back here.
        """
        bodies = [measurement_to_pb(one).SerializeToString(deterministic=True) for one in tellings]
        try:
            await self._writer.do(lambda book: book.digest(bodies, epoch, seal, at_most))
        except SealError as failed:
            raise failed.error from None

    async def waiting(self, limit: int, held_to: int = 0) -> list[tuple[int, bytes]]:
        """Up to `limit` envelopes that nobody acknowledged, the most useful first.

        P2 and P3 with numbers up to `held_to` are left out. Say by `offer` what is to be sent.
        """
        return await self._writer.do(lambda book: book.waiting(limit, held_to))

    async def offer(self, sequences: Sequence[int]) -> set[int]:
        """They may arrive from now on: nothing grows onto them, no sum stands in for them.

        Send those that come back and no other: what is not there any more lies in another envelope.
        """
        try:
            return await self._writer.do(lambda book: book.offered(sequences), worth=NOTHING_ELSE)
        except SpoolFull:  # the disk has no room to write that down; it is remembered
            return await self._writer.do(lambda book: book.there(sequences))

    async def backlog(self) -> tuple[int, int | None]:
        """The youngest envelope's number, and the wall clock when the oldest was stored."""
        return await self._writer.do(lambda book: book.backlog())

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
