"""The writer between a real journal and a real store, and one that fails on demand."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.clock import Clock, SystemClock
from heliograph_collector.judge.writer import NO_VERDICT, NOT_JUDGED, ProfileMemory, StoreWriter
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
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.store import Store, StoreError
from support.hand_clock import HandClock
from support.rows import ANNA, NAMES, T0, US, envelope_row, measurement_pb, reachable, taken


class FakeStore:
    """Blocks in memory; fails while `down`."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.down = ""
        self.begun: tuple[int, int] | None = None
        self.asked = asyncio.Event()

    async def cursor(self, journal: str) -> int:
        self._fail()
        return max((b.last for b in self.blocks if b.journal == journal), default=0)

    async def pending(self, journal: str) -> tuple[int, int] | None:
        return self.begun

    async def insert_block(self, block: Block) -> None:
        self._fail()
        self.blocks.append(block)

    def _fail(self) -> None:
        self.asked.set()
        if self.down:
            raise StoreError(self.down)


class Judge:
    """Finds all reachable, has a bug at one time, and remembers what it got."""

    def __init__(self, bug_us: int = 0) -> None:
        self.judged: list[Sequence[ReceivedMeasurement]] = []
        self._bug_us = bug_us

    def assess(self, block: Sequence[ReceivedMeasurement]) -> list[JudgedMeasurement]:
        self.judged.append(block)
        if any(record.measurement.started_us == self._bug_us for record in block):
            raise KeyError("no such rule")
        return [(record, (reachable(),)) for record in block]


class WriterHarness:
    """A journal, a store and the blocks that the writer told of."""

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
        judge: Judge | None = None,
        clock: Clock | None = None,
        profiles: ProfileMemory | None = None,
    ) -> StoreWriter:
        clock = clock or SystemClock()
        return StoreWriter(
            self.journal,
            self.store,
            judge or Judge(),
            NAMES,
            clock=clock,
            expiry=ExpiryClock(clock, clock.wall_us(), 0),
            rng=random.Random(1),
            listeners=[self],
            linger_s=0,
            profiles=profiles,
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


class Profiles:
    """Remembers what it was told before the first block."""

    def __init__(self) -> None:
        self.restored: list[str] = []

    def restore(self, records: Sequence[ReceivedMeasurement]) -> None:
        self.restored += [record.id for record in records]
        raise ValueError("a bug costs the profiles and not the verdicts")


async def test_restarted_writer_restores_profiles_from_judged_rows(bench: WriterHarness) -> None:
    await bench.journal.append([envelope_row(measurement_pb()), lost()])
    async with running(bench.writer().run()):
        await bench.until(lambda: bool(bench.told))
    await bench.journal.append([envelope_row(measurement_pb(), sequence=2)])
    profiles = Profiles()
    async with running(bench.writer(profiles=profiles).run()):
        await bench.until(lambda: len(bench.told) == 2)
    assert profiles.restored == [record.id for record, _ in bench.told[0].judged]


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


async def test_bug_in_a_rule_costs_one_verdict(
    bench: WriterHarness, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.journal.append([envelope_row(*(measurement_pb(T0 + n) for n in range(3)))])
    async with running(bench.writer(Judge(bug_us=T0 + 1)).run()):
        await bench.until(lambda: bool(bench.told))
    verdicts = [given for _, given in bench.told[0].judged]
    assert verdicts == [(reachable(),), (NOT_JUDGED,), (reachable(),)]
    assert "could not be judged" in caplog.text


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
    async with running(bench.writer().run()):  # a new writer goes on, and takes nothing twice
        await bench.journal.append([envelope_row(measurement_pb(), sequence=2)])
        await bench.until(lambda: len(bench.told) == 2)
    assert len((await store.measurements(MeasurementFilter())).items) == 3


async def test_writer_judges_no_impossible_times(bench: WriterHarness) -> None:
    judge = Judge()
    oldest = replace(taken(1), received_us=T0 + MAX_AGE_US)
    newest = replace(taken(2), received_us=T0 - MAX_AHEAD_US)
    stale = replace(taken(3), received_us=T0 + MAX_AGE_US + 1)
    ahead = replace(taken(4), received_us=T0 - MAX_AHEAD_US - 1)
    judged = dict(bench.writer(judge)._judge_records([stale, oldest, ahead, newest]))
    assert judge.judged == [[oldest, newest]]
    assert judged[stale] == judged[ahead] == (NO_VERDICT,)
    assert judged[oldest] == judged[newest] == (reachable(),)
