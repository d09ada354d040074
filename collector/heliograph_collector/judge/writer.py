"""Writer of judged measurements from the journal into the store, in blocks.

The writer starts by asking the store for its cursor and for a pending block. It passes the last
rows before the cursor to the judge, which keeps controls and profiles in memory. It commits a
pending block again with the same bounds, so that the store recognizes it. Then it repeats: wait for
journal rows, decode and judge them, insert them as one block, advance the cursor, and trim the
journal once an hour. While a block is judged, the next is decoded as soon as it is full: so a judge
process need not wait for `serve`. The next blocks are judged while a block is inserted,
BLOCKS_AHEAD and one more at most; they are inserted in order. While the store is unavailable, the
writer retries, the journal grows, agents notice nothing, and `problems` reports it.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

from heliograph.backoff import Backoff
from heliograph.clock import Clock
from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.judge.row_judge import RowJudge
from heliograph_collector.model.expiry_clock import ExpiryTime
from heliograph_collector.model.records import Block, JournalRow
from heliograph_collector.store.journal.decode import DecodedRows
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.journal.protocol import JudgedJournal
from heliograph_collector.store.store import StoreError

# At most, so a block is what waits: small while the collector keeps up. The engine takes some 25 to
# 50 ms of CPU for each block, whatever it holds: of 256 a result costs a quarter more to store. One
# of 1,024 takes a process two seconds to judge, and the newest result is to be visible within five.
# Where two or more share it, it takes one, and a result costs a sixth less to store; of 1,536 it
# costs no less than of 768.
BLOCK_ROWS = 512
MOST_BLOCK_SHARES = 2
# Assumed, all of them:
BLOCK_BYTES = 1_048_576  # of compressed bodies: at most about ten thousand measurements
BLOCKS_AHEAD = 1  # judged blocks that wait for the store
LINGER_S = 0.25  # collects envelopes that arrive together into one block, where it is not full
# After a block of so many rows the next is collected for so long. With 450 results a second that is
# one block a second and not three; each takes as much of the engine, and of its merges, again.
BUSY_ROWS = 16
BUSY_LINGER_S = 1.0
IDLE_S = 60.0
_PAUSES = Backoff(0.25, 30.0, (0.5, 1.0))  # after failures of the store; assumed
RESTORED_ROWS = 5_000  # of the journal; a few seconds at the start
TRIM_EVERY_US = HOUR_US
PRESENCE_KEPT_US = 35 * DAY_US

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_P = ParamSpec("_P")


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


@dataclass(frozen=True, slots=True)
class _DecodedBlock:
    first: int
    last: int
    rows: DecodedRows


class _Retries:
    """Repeats of one kind of work, and its present error, "" while it succeeds."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0
        self.last_error = ""

    async def repeat(
        self, work: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Repeat the work until it succeeds, with growing pauses."""
        while True:
            try:
                result = await work(*args, **kwargs)
            except (StoreError, JournalError) as error:
                if str(error) != self.last_error:
                    _LOG.error("%s", error)
                self.last_error = str(error)
                self._failures += 1
                await asyncio.sleep(_PAUSES.draw_s(self._failures, self._rng))
            else:
                self.last_error = ""
                self._failures = 0
                return result


class StoreWriter:
    """Judge journal rows and write them to the store, block by block.

    The listeners get every stored block.
    """

    def __init__(
        self,
        journal: JudgedJournal,
        store: BlockStore,
        judge: RowJudge,
        *,
        clock: Clock,
        expiry: ExpiryTime,
        rng: random.Random,
        listeners: Sequence[BlockListener] = (),
        linger_s: float = LINGER_S,
    ) -> None:
        self._journal = journal
        self._store = store
        self._judge = judge
        self._clock = clock
        self._expiry = expiry
        self._listeners = listeners
        self._linger_s = linger_s
        self._cursor: int | None = None  # unknown until the store answers
        self._journal_retries = _Retries(rng)
        self._store_retries = _Retries(rng)
        self._trimmed_us = clock.monotonic_us()

    async def run(self) -> None:
        """Run until cancelled."""
        journal = self._journal.id
        self._cursor = await self._store_retries.repeat(self._store.cursor, journal)
        await self._restore_judge(self._cursor)
        pending = await self._store_retries.repeat(self._store.pending, journal)
        if pending is not None:  # the same bounds again, so that the store recognizes the block
            await self._store_block(await self._judge_block(await self._decode_pending(*pending)))
        decoded = asyncio.Queue[_DecodedBlock](1)
        blocks = asyncio.Queue[Block](BLOCKS_AHEAD)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._decode_blocks(self._cursor, decoded))
            group.create_task(self._judge_blocks(decoded, blocks))
            group.create_task(self._store_blocks(blocks))

    @property
    def behind(self) -> int | None:
        """Return the number of journal entries not stored, None before the first answer."""
        return None if self._cursor is None else self._journal.position - self._cursor

    def problems(self) -> list[str]:
        """Return sentences on errors that stop the writer.

        The detectors report how far it is behind.
        """
        errors = (self._store_retries.last_error, self._journal_retries.last_error)
        sentences = [error for error in dict.fromkeys(errors) if error]
        if self._cursor is None:
            return sentences or ["The store has not answered yet."]
        return sentences

    async def _decode_blocks(self, after: int, decoded: "asyncio.Queue[_DecodedBlock]") -> None:
        """Read and decode rows after a position, and queue them; forever."""
        linger_s = self._linger_s
        while True:
            if not await self._journal.wait_beyond(after, IDLE_S):
                await self._trim(self._cursor or 0)
                continue
            shares = min(max(1, self._judge.count_workers()), MOST_BLOCK_SHARES)
            full = after + shares * BLOCK_ROWS
            if not await self._journal.wait_beyond(full - 1, linger_s):
                await self._wait_until_due(full, decoded)
            committed = self._journal.position
            rows = await self._read(after, shares)
            linger_s = BUSY_LINGER_S if len(rows) >= BUSY_ROWS else self._linger_s
            last = rows[-1].position if rows else committed
            await decoded.put(await self._decode_rows(after + 1, last, rows))
            after = last

    async def _wait_until_due(self, full: int, decoded: "asyncio.Queue[_DecodedBlock]") -> None:
        """Wait until a block is full or no rows are being judged.

        A small block costs as much to store as a large one.

        Args:
            full: The position of the last row of a full block.
        """
        async with asyncio.TaskGroup() as group:
            tasks = (
                group.create_task(self._journal.wait_beyond(full - 1, IDLE_S)),
                group.create_task(decoded.join()),
            )
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    async def _judge_blocks(
        self, decoded: "asyncio.Queue[_DecodedBlock]", blocks: "asyncio.Queue[Block]"
    ) -> None:
        """Judge decoded blocks, and queue them for the store; forever."""
        while True:
            await blocks.put(await self._judge_block(await decoded.get()))
            decoded.task_done()

    async def _store_blocks(self, blocks: "asyncio.Queue[Block]") -> None:
        """Store queued blocks, in order; forever."""
        while True:
            block = await blocks.get()
            await self._store_block(block)
            await self._trim(block.last)

    async def _restore_judge(self, cursor: int) -> None:
        """Read the last RESTORED_ROWS rows before the cursor again."""
        after = max(0, cursor - RESTORED_ROWS)
        while after < cursor and (rows := await self._read(after)):
            await self._judge.restore([row for row in rows if row.position <= cursor])
            after = rows[-1].position

    async def _decode_pending(self, first: int, last: int) -> _DecodedBlock:
        return await self._decode_rows(first, last, await self._read_range(first, last))

    async def _decode_rows(
        self, first: int, last: int, rows: Sequence[JournalRow]
    ) -> _DecodedBlock:
        is_behind = self._journal.position > last
        return _DecodedBlock(first, last, await self._judge.decode(rows, is_behind=is_behind))

    async def _judge_block(self, decoded: _DecodedBlock) -> Block:
        """Judge a block once, because the judge keeps state."""
        results = await self._judge.judge(decoded.rows)
        return Block(
            journal=self._journal.id,
            first=decoded.first,
            last=decoded.last,
            judged=results.judged,
            presence=results.presence,
            refused=results.refused,
            bodies=results.bodies,
        )

    async def _store_block(self, block: Block) -> None:
        await self._store_retries.repeat(self._store.insert_block, block)
        self._cursor = block.last
        for listener in self._listeners:
            listener.on_block(block)
            await asyncio.sleep(0)  # some take 40 ms of a full block, in which agents wait

    async def _read_range(self, first: int, last: int) -> list[JournalRow]:
        rows: list[JournalRow] = []
        after = first - 1
        while after < last:
            next_rows = await self._read(after)
            rows += [row for row in next_rows if row.position <= last]
            after = next_rows[-1].position if next_rows else last
        return rows

    async def _read(self, after: int, shares: int = 1) -> list[JournalRow]:
        """Read the next rows, so many as that many processes share in a block."""
        return await self._journal_retries.repeat(
            self._journal.read, after, shares * BLOCK_ROWS, limit_bytes=shares * BLOCK_BYTES
        )

    async def _trim(self, cursor: int) -> None:
        now_us = self._clock.monotonic_us()
        if now_us - self._trimmed_us < TRIM_EVERY_US:
            return
        self._trimmed_us = now_us
        expiry_us = self._expiry.expiry_us()
        await self._journal_retries.repeat(
            self._journal.trim,
            cursor,
            expiry_us - self._journal.envelopes_kept_us,
            expiry_us - PRESENCE_KEPT_US,
        )
