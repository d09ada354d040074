"""Judge processes on other hosts, beside three real servers, some of them killed.

Each acknowledged result must be stored once, with the verdicts that one process gives for the same
blocks.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from heliograph.clock import SystemClock
from heliograph.services import load_shipped_services
from heliograph_collector.app.fleet_sharing import FleetPublisher
from heliograph_collector.app.judge_role import RemoteWorkers
from heliograph_collector.app.judge_workers import JudgeWorkers
from heliograph_collector.control.assessor import Assessor
from heliograph_collector.fleet.signed_lists import SignedLists
from heliograph_collector.judge import judge
from heliograph_collector.judge import writer as writer_module
from heliograph_collector.judge.row_judge import LocalJudge
from heliograph_collector.judge.writer import StoreWriter
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.records import Block, JournalRow, RowKind
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.journal.jetstream.journal import JetStreamJournal
from heliograph_collector.store.journal.opening import open_leading
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import Store
from support.cluster import Cluster, cluster
from support.judged_rows import build_rows
from support.stores import open_store
from support.waiting import until_true

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.xdist_group("nats")]
ROWS = 64  # of a block
SERVICES = load_shipped_services().services


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("judges")) as running:
        yield running


@dataclass
class Leader:
    """The judge role of a leader in this process, on the journal of real servers."""

    journal: JetStreamJournal
    workers: JudgeWorkers
    writer: StoreWriter
    pseudonyms: Pseudonyms
    blocks: list[Block]
    appended: dict[int, JournalRow]  # by position

    async def until_judging(self, count: int, blocks: int = 0) -> set[str]:
        """Append results until that many processes judge and more blocks are stored."""
        enough = len(self.blocks) + blocks
        while len(names := set(self.workers.list_names())) != count or len(self.blocks) < enough:
            if (self.writer.behind or 0) < 8 * ROWS:
                await self._append(build_rows(ROWS, seed=len(self.appended)))
            await asyncio.sleep(0.01)  # real hosts join when they have started
        return names

    async def _append(self, rows: list[JournalRow]) -> None:
        number = 1_000 * len(self.appended)
        rows = [replace(row, sequence=row.sequence + number) for row in rows]
        rows = [row for row in rows if row.kind is RowKind.ENVELOPE]
        for position, row in zip(await self.journal.append(rows), rows, strict=True):
            assert position is not None
            self.appended[position] = replace(row, position=position)


@asynccontextmanager
async def leading(running: Cluster, store: Store) -> AsyncIterator[Leader]:
    data = running.directory / "leader0"
    keyring = running.keyring
    clock = SystemClock()
    blocks: list[Block] = []
    pseudonyms = Pseudonyms(keyring.secret)
    async with AsyncExitStack() as stack:
        side = await stack.enter_async_context(open_leading(running.settings, data))
        publisher = FleetPublisher(data, side.table, keyring)
        stack.callback(publisher.close)
        await publisher.publish()
        remote = RemoteWorkers(side.bus, side.term, SERVICES)
        workers = JudgeWorkers(
            Assessor(judge, SERVICES), [remote], side.journal, SignedLists(data),
            pseudonyms=pseudonyms, clock=clock, rng=random.Random(1), registry=CollectorRegistry(),
        )  # fmt: skip
        expiry = ExpiryClock(clock, clock.wall_us(), 0)
        writer = StoreWriter(
            side.journal, store, workers, clock=clock, expiry=expiry,
            rng=random.Random(1), listeners=[BlockLog(blocks)], linger_s=0,
        )  # fmt: skip
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for run in (remote.run, workers.run, writer.run):
            stack.callback(group.create_task(run()).cancel)
        yield Leader(side.journal, workers, writer, pseudonyms, blocks, {})


@dataclass
class BlockLog:
    blocks: list[Block]

    def on_block(self, block: Block) -> None:
        self.blocks.append(block)


@pytest.mark.timeout(1_800)
async def test_killed_judges_cost_no_result_and_change_no_verdict(
    running: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed judges cost no result and change no verdict, under load.

    kill -9 of a host, and of one of the servers.
    """
    monkeypatch.setattr(writer_module, "BLOCK_ROWS", ROWS)
    data = running.directory / "leader0"
    data.mkdir()
    async with open_store(tmp_path) as store, leading(running, store) as leader:
        for number in range(2):
            await asyncio.to_thread(running.start_judge, number)
        first = await leader.until_judging(2)
        running.kill(running.judges[0])
        await leader.until_judging(1)
        await asyncio.to_thread(running.start_judge, 0)
        second = await leader.until_judging(2)
        assert len(first & second) == 1, "the other one went on"
        running.servers.kill(1)
        await leader.until_judging(2, blocks=8)
        await until_true(lambda: leader.writer.behind == 0)
        ids = [row[0] for row in store._clickhouse.query_written("SELECT id FROM measurements", {})]
    await check_blocks(leader)
    records = read_rows(list(leader.appended.values()), leader.pseudonyms).records
    assert Counter(ids) == Counter(record.id for record in records)


async def check_blocks(leader: Leader) -> None:
    """Check that one process alone gives the same verdicts for the same blocks."""
    alone = LocalJudge(Assessor(judge, SERVICES), leader.pseudonyms)
    last = 0
    for block in leader.blocks:
        assert block.first == last + 1
        last = block.last
        taken = [leader.appended[position] for position in range(block.first, last + 1)]
        expected = await alone.judge(await alone.decode(taken, is_behind=False))
        assert block.judged == expected.judged
        assert block.refused == expected.refused
    assert last == len(leader.appended)
