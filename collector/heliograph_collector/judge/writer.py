"""From the journal into the store, block by block, patiently.

While the store is away the journal grows, agents notice nothing, and `problems` says so.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from heliograph.clock import Clock
from heliograph_collector.model.records import Block, JournalRow, Judged, State, Taken, Verdict
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.journal.journal import Journal, JournalError
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import StoreError

Assess = Callable[[Sequence[Taken]], Sequence[Judged]]

BLOCK_ROWS = 64
BLOCK_BYTES = 1_048_576  # of compressed bodies: some ten thousand measurements at most
LINGER_S = 0.25  # a block for what arrives together, not for each envelope
IDLE_S = 60.0
LONGEST_PAUSE_S = 30.0
BACKLOG_ROWS = 1_000  # of the journal, before readiness speaks of it
TRIM_EVERY_US = 3_600_000_000
DAY_US = 86_400_000_000
NOT_JUDGED = Verdict(state=State.UNKNOWN, rule="writer.not_judged")

# What a rule that meets a measurement it was not written for would raise.
_BUGS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")


class Blocks(Protocol):
    """What the writer needs of the store."""

    async def cursor(self, journal: str) -> int: ...
    async def pending(self, journal: str) -> tuple[int, int] | None: ...
    async def insert_block(self, block: Block) -> None: ...


class Writer:
    """`assess` judges, and may add older measurements that it judged again; it runs in a thread,
    one call at a time. `on_block` is told, in the event loop, of every block that is in."""

    def __init__(
        self,
        journal: Journal,
        store: Blocks,
        assess: Assess,
        names: Pseudonyms,
        *,
        clock: Clock,
        rng: random.Random,
        on_block: Callable[[Block], None] | None = None,
        journal_days: int = 7,
        presence_days: int = 35,
        linger_s: float = LINGER_S,
    ) -> None:
        self._journal, self._store, self._assess, self._names = journal, store, assess, names
        self._clock, self._rng, self._on_block = clock, rng, on_block
        self._days, self._linger_s = (journal_days, presence_days), linger_s
        self._cursor: int | None = None  # not known before the store has answered
        self._failures = 0
        self._trouble = ""
        self._trimmed_us = clock.monotonic_us()

    async def run(self) -> None:
        """Go on until cancelled."""
        journal = self._journal.id
        cursor = await self._patiently(lambda: self._store.cursor(journal))
        begun = await self._patiently(lambda: self._store.pending(journal))
        self._cursor = cursor
        if begun is not None:  # the same bounds again, so that what is in already is known
            await self._take_in(*begun, await self._stretch(*begun))
        while True:
            await self._step(self._cursor)

    @property
    def behind(self) -> int | None:
        """Journal entries that the store does not have yet; None before it has answered."""
        return None if self._cursor is None else self._journal.position - self._cursor

    def problems(self) -> list[str]:
        """Sentences on why the store is not up to date; none when it is."""
        found = [self._trouble] if self._trouble else []
        if self._cursor is None:
            return found or ["The store has not answered yet."]
        behind = self._journal.position - self._cursor
        if behind > BACKLOG_ROWS or (found and behind):
            found.append(f"The store is {behind} journal entries behind.")
        return found

    async def _step(self, cursor: int) -> None:
        if not await self._journal.wait_beyond(cursor, IDLE_S):
            await self._trim(cursor)
            return
        if self._linger_s:
            await asyncio.sleep(self._linger_s)
        committed = self._journal.position
        rows = await self._read(cursor)
        last = rows[-1].position if rows else committed
        await self._take_in(cursor + 1, last, rows)
        await self._trim(last)

    async def _take_in(self, first: int, last: int, rows: Sequence[JournalRow]) -> None:
        block = await asyncio.to_thread(self._judge, first, last, rows)
        await self._patiently(lambda: self._store.insert_block(block))
        self._cursor = last
        if self._on_block is not None:
            self._on_block(block)

    def _judge(self, first: int, last: int, rows: Sequence[JournalRow]) -> Block:
        """Once per block: `assess` remembers what it was shown."""
        read = read_rows(rows, self._names)
        return Block(
            journal=self._journal.id,
            first=first,
            last=last,
            judged=tuple(self._assessed(read.taken)),
            presence=tuple(read.presence),
            refused=tuple(read.refused),
        )

    def _assessed(self, taken: Sequence[Taken]) -> Sequence[Judged]:
        """A bug in a rule costs the verdicts of the measurements it stumbles over, no others."""
        try:
            return self._assess(taken) if taken else ()
        except _BUGS:
            if len(taken) == 1:
                _LOG.exception("Measurement %s could not be judged; it is stored", taken[0].id)
                return ((taken[0], (NOT_JUDGED,)),)
        return [judged for one in taken for judged in self._assessed([one])]

    async def _stretch(self, first: int, last: int) -> list[JournalRow]:
        rows: list[JournalRow] = []
        after = first - 1
        while after < last:
            more = await self._read(after)
            rows += [row for row in more if row.position <= last]
            after = more[-1].position if more else last
        return rows

    async def _read(self, after: int) -> list[JournalRow]:
        return await self._patiently(
            lambda: self._journal.read(after, BLOCK_ROWS, limit_bytes=BLOCK_BYTES)
        )

    async def _trim(self, cursor: int) -> None:
        now_us = self._clock.monotonic_us()
        if now_us - self._trimmed_us < TRIM_EVERY_US:
            return
        self._trimmed_us = now_us
        wall_us = self._clock.wall_us()
        envelopes_us, presence_us = (wall_us - days * DAY_US for days in self._days)
        await self._patiently(lambda: self._journal.trim(cursor, envelopes_us, presence_us))

    async def _patiently(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Until it succeeds, with growing pauses."""
        while True:
            try:
                result = await work()
            except (StoreError, JournalError) as error:
                if str(error) != self._trouble:
                    _LOG.error("%s", error)
                self._trouble = str(error)
                await asyncio.sleep(pause_s(self._failures, self._rng))
                self._failures += 1
            else:
                self._trouble, self._failures = "", 0
                return result


def pause_s(failures: int, rng: random.Random) -> float:
    """How long to wait after the n-th failure in a row: doubling, jittered, bounded."""
    whole = min(LONGEST_PAUSE_S, 0.25 * 2.0 ** min(failures, 16))
    return whole * rng.uniform(0.5, 1.0)
