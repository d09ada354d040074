"""Writer of judged measurements from the journal into the store, in blocks.

The writer starts by asking the store for its cursor and for a pending block. It passes the last
rows before the cursor to the assessor, which keeps profiles of vantages in memory. It commits a
pending block again with the same bounds, so that the store recognizes it. Then it repeats: wait for
journal rows, judge them, insert them as one block, advance the cursor, and trim the journal once an
hour. While the store is unavailable, the writer retries, the journal grows, agents notice nothing,
and `problems` reports it.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import ParamSpec, Protocol, TypeVar

from heliograph.backoff import Backoff
from heliograph.clock import Clock
from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.model.expiry_clock import ExpiryTime
from heliograph_collector.model.records import (
    TIME_BAD,
    Block,
    JournalRow,
    JudgedMeasurement,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.journal.journal import Journal, JournalError
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import StoreError

NO_VERDICT = Verdict(state=VerdictState.UNKNOWN, rule=TIME_BAD)
# Assumed, all of them:
BLOCK_ROWS = 64
BLOCK_BYTES = 1_048_576  # of compressed bodies: at most about ten thousand measurements
LINGER_S = 0.25  # collects envelopes that arrive together into one block
IDLE_S = 60.0
_PAUSES = Backoff(0.25, 30.0, (0.5, 1.0))  # after failures of the store; assumed
RESTORED_ROWS = 5_000  # of the journal; a few seconds at the start
TRIM_EVERY_US = HOUR_US
ENVELOPES_KEPT_US = 7 * DAY_US  # in the journal
PRESENCE_KEPT_US = 35 * DAY_US
NOT_JUDGED = Verdict(state=VerdictState.UNKNOWN, rule="writer.not_judged")

# Exceptions of a rule that meets a measurement it was not written for.
_BUGS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_P = ParamSpec("_P")


class BlockAssessor(Protocol):
    """Judge of blocks, which keeps state from block to block.

    Implemented by control.assessor.Assessor.
    """

    def assess(self, block: Sequence[ReceivedMeasurement]) -> Sequence[JudgedMeasurement]:
        """Judge a block; may add older measurements that it judged again."""
        ...


class ProfileMemory(Protocol):
    """Memory of what measurements tell of their vantages; by control.assessor.Assessor."""

    def restore(self, records: Sequence[ReceivedMeasurement]) -> None:
        """Take up results that were judged before this process began."""
        ...


class BlockListener(Protocol):
    """Reader of stored blocks, called in the event loop.

    Listeners are listed in app/workers.py.
    """

    def on_block(self, block: Block) -> None: ...


class BlockStore(Protocol):
    """Store operations that the writer needs. Implemented by store.store.Store."""

    async def cursor(self, journal: str) -> int: ...
    async def pending(self, journal: str) -> tuple[int, int] | None: ...
    async def insert_block(self, block: Block) -> None: ...


class StoreWriter:
    """Judge journal rows and write them to the store, block by block.

    The assessor runs in a thread, one call at a time, and never gets a measurement with an
    impossible time. The listeners get every stored block.
    """

    def __init__(
        self,
        journal: Journal,
        store: BlockStore,
        assessor: BlockAssessor,
        pseudonyms: Pseudonyms,
        *,
        clock: Clock,
        expiry: ExpiryTime,
        rng: random.Random,
        listeners: Sequence[BlockListener] = (),
        linger_s: float = LINGER_S,
        profiles: ProfileMemory | None = None,
    ) -> None:
        self._journal = journal
        self._store = store
        self._assessor = assessor
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._expiry = expiry
        self._rng = rng
        self._listeners = listeners
        self._linger_s = linger_s
        self._profiles = profiles
        self._cursor: int | None = None  # unknown until the store answers
        self._failures = 0
        self._last_error = ""
        self._trimmed_us = clock.monotonic_us()

    async def run(self) -> None:
        """Run until cancelled."""
        journal = self._journal.id
        self._cursor = await self._retry_forever(self._store.cursor, journal)
        if self._profiles is not None:
            await self._restore_profiles(self._profiles, self._cursor)
        pending = await self._retry_forever(self._store.pending, journal)
        if pending is not None:  # the same bounds again, so that the store recognizes the block
            await self._commit_rows(*pending, await self._read_range(*pending))
        while True:
            await self._step(self._cursor)

    @property
    def behind(self) -> int | None:
        """Return the number of journal entries not stored, None before the first answer."""
        return None if self._cursor is None else self._journal.position - self._cursor

    def problems(self) -> list[str]:
        """Return sentences on what stops the writer; the detectors say how far it is behind."""
        sentences = [self._last_error] if self._last_error else []
        if self._cursor is None:
            return sentences or ["The store has not answered yet."]
        return sentences

    async def _step(self, cursor: int) -> None:
        if not await self._journal.wait_beyond(cursor, IDLE_S):
            await self._trim(cursor)
            return
        if self._linger_s:
            await asyncio.sleep(self._linger_s)
        committed = self._journal.position
        rows = await self._read(cursor)
        last = rows[-1].position if rows else committed
        await self._commit_rows(cursor + 1, last, rows)
        await self._trim(last)

    async def _restore_profiles(self, profiles: ProfileMemory, cursor: int) -> None:
        """Read the last RESTORED_ROWS rows before the cursor again."""
        after = max(0, cursor - RESTORED_ROWS)
        while after < cursor and (rows := await self._read(after)):
            judged_rows = [row for row in rows if row.position <= cursor]
            read = await asyncio.to_thread(read_rows, judged_rows, self._pseudonyms)
            try:
                await asyncio.to_thread(profiles.restore, read.records)
            except _BUGS:
                _LOG.exception("Profiles of rows up to %s are not restored", rows[-1].position)
            after = rows[-1].position

    async def _commit_rows(self, first: int, last: int, rows: Sequence[JournalRow]) -> None:
        block = await asyncio.to_thread(self._judge, first, last, rows)
        await self._retry_forever(self._store.insert_block, block)
        self._cursor = last
        for listener in self._listeners:
            listener.on_block(block)

    def _judge(self, first: int, last: int, rows: Sequence[JournalRow]) -> Block:
        """Judge rows once per block, because the assessor keeps state."""
        read = read_rows(rows, self._pseudonyms)
        return Block(
            journal=self._journal.id,
            first=first,
            last=last,
            judged=tuple(self._judge_records(read.records)),
            presence=tuple(read.presence),
            refused=tuple(read.failures),
        )

    def _judge_records(self, records: Sequence[ReceivedMeasurement]) -> list[JudgedMeasurement]:
        judged = self._assess([record for record in records if not record.is_time_bad])
        return [*judged, *((record, (NO_VERDICT,)) for record in records if record.is_time_bad)]

    def _assess(self, records: Sequence[ReceivedMeasurement]) -> Sequence[JudgedMeasurement]:
        """Judge records; a bug in a rule costs only the verdicts that raise it."""
        try:
            return self._assessor.assess(records) if records else ()
        except _BUGS:
            if len(records) == 1:
                _LOG.exception("Measurement %s could not be judged; it is stored", records[0].id)
                return ((records[0], (NOT_JUDGED,)),)
        return [judged for record in records for judged in self._assess([record])]

    async def _read_range(self, first: int, last: int) -> list[JournalRow]:
        rows: list[JournalRow] = []
        after = first - 1
        while after < last:
            next_rows = await self._read(after)
            rows += [row for row in next_rows if row.position <= last]
            after = next_rows[-1].position if next_rows else last
        return rows

    async def _read(self, after: int) -> list[JournalRow]:
        return await self._retry_forever(
            self._journal.read, after, BLOCK_ROWS, limit_bytes=BLOCK_BYTES
        )

    async def _trim(self, cursor: int) -> None:
        now_us = self._clock.monotonic_us()
        if now_us - self._trimmed_us < TRIM_EVERY_US:
            return
        self._trimmed_us = now_us
        expiry_us = self._expiry.expiry_us()
        await self._retry_forever(
            self._journal.trim, cursor, expiry_us - ENVELOPES_KEPT_US, expiry_us - PRESENCE_KEPT_US
        )

    async def _retry_forever(
        self, work: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Repeat the work until it succeeds, with growing pauses."""
        while True:
            try:
                result = await work(*args, **kwargs)
            except (StoreError, JournalError) as error:
                if str(error) != self._last_error:
                    _LOG.error("%s", error)
                self._last_error = str(error)
                self._failures += 1
                await asyncio.sleep(_PAUSES.draw_s(self._failures, self._rng))
            else:
                self._last_error = ""
                self._failures = 0
                return result
