"""The writer between a real journal and a real store, or one that fails."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.clock import Clock, SystemClock
from heliograph_collector.judge import writer as writer_module
from heliograph_collector.judge.row_judge import (
    NO_VERDICT,
    BlockAssessor,
    JudgedRows,
    LocalJudge,
    RowJudge,
)
from heliograph_collector.judge.writer import BLOCK_ROWS, BLOCKS_AHEAD, BUSY_ROWS, StoreWriter
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.filters import MeasurementFilter
from heliograph_collector.model.records import (
    MAX_AGE_US,
    MAX_AHEAD_US,
    Block,
    JournalRow,
    JudgedMeasurement,
    ReceivedMeasurement,
    RowKind,
)
from heliograph_collector.store.journal.decode import DecodedRows
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.store import Store, StoreError
from support.hand_clock import HandClock
from support.rows import ANNA, NAMES, T0, US, envelope_row, measurement_pb, reachable
from support.waiting import until_true


class FakeStore:
    """Blocks in memory; fails while `down`."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.down = ""
        self.begun: tuple[int, int] | None = None
        self.asked = asyncio.Event()
        self.takes_blocks = asyncio.Event()
        self.takes_blocks.set()

    async def cursor(self, journal: str) -> int:
        self._fail()
        return max((b.last for b in self.blocks if b.journal == journal), default=0)

    async def pending(self, journal: str) -> tuple[int, int] | None:
        return self.begun

    async def insert_block(self, block: Block) -> None:
        self._fail()
        await self.takes_blocks.wait()
        self.blocks.append(block)

    def _fail(self) -> None:
        self.asked.set()
        if self.down:
            raise StoreError(self.down)


class Judge:
    """A judge that finds all reachable and records its input."""

    def __init__(self) -> None:
        self.judged: list[Sequence[ReceivedMeasurement]] = []
        self.restored: list[str] = []

    def restore(self, records: Sequence[ReceivedMeasurement]) -> None:
        self.restored += [record.id for record in records]

    def assess(self, block: Sequence[ReceivedMeasurement]) -> list[JudgedMeasurement]:
        self.judged.append(block)
        return [(record, (reachable(),)) for record in block]


class HeldJudge(LocalJudge):
    """Judges when it may, and counts the blocks that it decodes before."""

    def __init__(self) -> None:
        super().__init__(Judge(), NAMES)
        self.decoded_count = 0
        self.may_judge = asyncio.Event()

    async def decode(self, rows: Sequence[JournalRow], *, is_behind: bool) -> DecodedRows:
        self.decoded_count += 1
        return await super().decode(rows, is_behind=is_behind)

    async def judge(self, decoded: DecodedRows) -> JudgedRows:
        await self.may_judge.wait()
        return await super().judge(decoded)


class WriterHarness:
    """A journal, a store, and the blocks that the writer reported."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal(path / "journal.db")
        self.store = FakeStore()
        self.told: list[Block] = []
        self._changed = self.store.asked

    def on_block(self, block: Block) -> None:
        self.told.append(block)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await self._changed.wait()
                self._changed.clear()

    def writer(
        self,
        judge: BlockAssessor | None = None,
        clock: Clock | None = None,
        linger_s: float = 0,
        row_judge: RowJudge | None = None,
    ) -> StoreWriter:
        clock = clock or SystemClock()
        return StoreWriter(
            self.journal,
            self.store,
            row_judge or LocalJudge(judge or Judge(), NAMES),
            clock=clock,
            expiry=ExpiryClock(clock, clock.wall_us(), 0),
            rng=random.Random(1),
            listeners=[self],
            linger_s=linger_s,
        )


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[WriterHarness]:
    bench = WriterHarness(tmp_path)
    yield bench
    await bench.journal.close()


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=60)


def lost(at_us: int = T0) -> JournalRow:
    return JournalRow(kind=RowKind.LOST, agent=ANNA, received_us=at_us)


async def test_writer_makes_judged_blocks_in_order(bench: WriterHarness) -> None:
    await bench.journal.append([envelope_row(measurement_pb(), measurement_pb()), lost()])
    writer = bench.writer()
    assert writer.problems() == ["The store has not answered yet."]
    async with running(writer.run()):
        await bench.until(lambda: bool(bench.told))
        await bench.journal.append([envelope_row(measurement_pb(), sequence=2)])
        await bench.until(lambda: len(bench.told) == 2)
    first, second = bench.told
    assert (first.first, first.last, second.first, second.last) == (1, 2, 3, 3)
    assert [len(first.judged), len(first.presence), len(second.judged)] == [2, 1, 1]
    assert first.judged[0][1] == (reachable(),)
    assert writer.problems() == []


async def test_next_block_is_decoded_while_one_is_judged_once_it_is_full(
    bench: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "BLOCK_ROWS", 2)
    await bench.journal.append(
        [envelope_row(measurement_pb(), sequence=number) for number in range(1, 6)]
    )
    judge = HeldJudge()
    async with running(bench.writer(row_judge=judge).run()):
        await until_true(lambda: judge.decoded_count == 2)
        judge.may_judge.set()
        await bench.until(lambda: len(bench.told) == 3)
    assert [(block.first, block.last) for block in bench.told] == [(1, 2), (3, 4), (5, 5)]
    assert [len(block.judged) for block in bench.told] == [2, 2, 1]


async def test_restarted_judge_learns_from_judged_rows(bench: WriterHarness) -> None:
    await bench.journal.append([envelope_row(measurement_pb()), lost()])
    async with running(bench.writer().run()):
        await bench.until(lambda: bool(bench.told))
    await bench.journal.append([envelope_row(measurement_pb(), sequence=2)])
    judge = Judge()
    async with running(bench.writer(judge).run()):
        await bench.until(lambda: len(bench.told) == 2)
    assert judge.restored == [record.id for record, _ in bench.told[0].judged]


async def test_writer_retries_while_the_store_fails(bench: WriterHarness) -> None:
    bench.store.down = "The store's disk is full."
    judge = Judge()
    writer = bench.writer(judge)
    await bench.journal.append([envelope_row(measurement_pb())])
    async with running(writer.run()), asyncio.timeout(60):
        await bench.until(lambda: "The store's disk is full." in writer.problems())
        bench.store.down = ""
        await bench.until(lambda: bool(bench.told))
        bench.store.down = "gone again"
        await bench.journal.append([envelope_row(measurement_pb(), sequence=2)])
        await bench.until(lambda: writer.problems() == ["gone again"])
        bench.store.down = ""
        await bench.until(lambda: len(bench.told) == 2)
    assert [len(block) for block in judge.judged] == [
        1,
        1,
    ]  # judged once, however often the store failed


async def test_blocks_are_judged_while_one_is_stored(bench: WriterHarness) -> None:
    """Blocks are judged while one is stored, in order and two more at most.

    What is judged and not stored is held in memory.
    """
    sequences = range(1, 5 * BLOCK_ROWS + 1)
    await bench.journal.append([envelope_row(measurement_pb(), sequence=n) for n in sequences])
    judge = Judge()
    bench.store.takes_blocks.clear()
    async with running(bench.writer(judge).run()):
        await until_true(lambda: len(judge.judged) == 2 + BLOCKS_AHEAD)
        await bench.journal.append([envelope_row(measurement_pb(), sequence=9_999)])
        assert len(judge.judged) == 2 + BLOCKS_AHEAD
        assert not bench.store.blocks
        bench.store.takes_blocks.set()
        await bench.until(lambda: bool(bench.told) and bench.told[-1].last == len(sequences) + 1)
    ends = [block.last for block in bench.told]
    assert [block.first for block in bench.told] == [1, *(end + 1 for end in ends[:-1])]
    assert [len(block.judged) for block in bench.told] == [*[BLOCK_ROWS] * 5, 1]


async def test_full_block_waits_for_no_more_rows(bench: WriterHarness) -> None:
    sequences = range(1, BLOCK_ROWS + 2)
    await bench.journal.append([envelope_row(measurement_pb(), sequence=n) for n in sequences])
    async with running(bench.writer(linger_s=3_600).run()):
        await bench.until(lambda: bool(bench.told))
    assert [(block.first, block.last) for block in bench.told] == [(1, BLOCK_ROWS)]


class SharedJudge(LocalJudge):
    """Judges as so many processes would, each its share of a block."""

    def __init__(self, workers: int) -> None:
        super().__init__(Judge(), NAMES)
        self._workers = workers

    def count_workers(self) -> int:
        return self._workers


@pytest.mark.parametrize(("workers", "size"), [(0, 4), (1, 4), (2, 8), (3, 8)])
async def test_processes_that_share_a_block_get_a_larger_one(
    bench: WriterHarness, monkeypatch: pytest.MonkeyPatch, workers: int, size: int
) -> None:
    monkeypatch.setattr(writer_module, "BLOCK_ROWS", 4)
    sequences = range(1, 2 * size + 1)
    await bench.journal.append([envelope_row(measurement_pb(), sequence=n) for n in sequences])
    async with running(bench.writer(linger_s=3_600, row_judge=SharedJudge(workers)).run()):
        await bench.until(lambda: len(bench.told) == 2)
    assert [(block.first, block.last) for block in bench.told] == [(1, size), (size + 1, 2 * size)]


async def test_block_after_a_busy_one_is_collected_for_longer(
    bench: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "BUSY_LINGER_S", 3_600.0)
    rows = [envelope_row(measurement_pb(), sequence=n) for n in range(BUSY_ROWS + BLOCK_ROWS)]
    await bench.journal.append(rows[:BUSY_ROWS])
    async with running(bench.writer().run()):
        await bench.until(lambda: bool(bench.told))
        for first in range(BUSY_ROWS, len(rows), BLOCK_ROWS // 4):
            await bench.journal.append(rows[first : first + BLOCK_ROWS // 4])
        await bench.until(lambda: len(bench.told) == 2)
    assert [len(block.judged) for block in bench.told] == [BUSY_ROWS, BLOCK_ROWS]


async def test_writer_repeats_a_pending_block(bench: WriterHarness) -> None:
    await bench.journal.append([envelope_row(measurement_pb(), sequence=n) for n in range(1, 6)])
    bench.store.begun = (1, 3)
    async with running(bench.writer().run()):
        await bench.until(lambda: bool(bench.told) and bench.told[-1].last == 5)
    assert [(b.first, b.last, len(b.judged)) for b in bench.told] == [(1, 3, 3), (4, 5, 2)]


async def test_writer_puts_undecodable_rows_aside(bench: WriterHarness) -> None:
    good = envelope_row(measurement_pb(), sequence=10)
    await bench.journal.append([replace(good, sequence=9, body=b"junk"), good])
    async with running(bench.writer().run()):
        await bench.until(lambda: bool(bench.told))
    (block,) = bench.told
    assert [r.reason for r in block.refused] == ["bad_compression"]
    assert len(block.judged) == 1


async def test_writer_trims_old_journal_rows(bench: WriterHarness) -> None:
    clock = HandClock(wall=T0 + 30 * 86_400 * US, monotonic=0)
    writer = bench.writer(clock=clock)
    await bench.journal.append([lost(), envelope_row(measurement_pb())])
    async with running(writer.run()):
        await bench.until(lambda: bool(bench.told))
    await writer._trim(2)
    assert len(await bench.journal.read(0, 10)) == 2  # not yet
    clock.monotonic = 3_601 * US
    await writer._trim(2)
    assert [r.kind for r in await bench.journal.read(0, 10)] == [RowKind.LOST]
    assert await bench.journal.append([envelope_row(measurement_pb())]) == [None]


async def test_writer_writes_to_the_real_store(bench: WriterHarness, store: Store) -> None:
    bench.store = store  # type: ignore[assignment]
    await bench.journal.append([envelope_row(measurement_pb(), measurement_pb()), lost()])
    async with running(bench.writer().run()):
        await bench.until(lambda: bool(bench.told))
    page = await store.measurements(MeasurementFilter())
    assert [(t.vantage.country, v) for t, v in page.items] == [("KZ", (reachable(),))] * 2
    async with running(bench.writer().run()):  # a new writer continues, and takes nothing twice
        await bench.journal.append([envelope_row(measurement_pb(), sequence=2)])
        await bench.until(lambda: len(bench.told) == 2)
    assert len((await store.measurements(MeasurementFilter())).items) == 3


async def test_writer_judges_no_impossible_times(bench: WriterHarness) -> None:
    def row(number: int, age_us: int) -> JournalRow:
        return replace(envelope_row(measurement_pb(), sequence=number), received_us=T0 + age_us)

    ages_us = (MAX_AGE_US + 1, MAX_AGE_US, -MAX_AHEAD_US - 1, -MAX_AHEAD_US)
    judge = Judge()
    await bench.journal.append([row(number, age_us) for number, age_us in enumerate(ages_us, 1)])
    async with running(bench.writer(judge).run()):
        await bench.until(lambda: bool(bench.told))
    given = {record.position: verdicts for record, verdicts in bench.told[0].judged}
    assert given == {1: (NO_VERDICT,), 2: (reachable(),), 3: (NO_VERDICT,), 4: (reachable(),)}
    assert [[record.position for record in block] for block in judge.judged] == [[2, 4]]
