"""Judge processes on a full journal: results a second and CPU of each process.

Rows of the default plan's own load wait in a journal; the writer judges them into a store with no
judge process, one and two. On two cores `serve` needs a core for itself, so what a second process
brings is read from CPU: the CPU of one process beside that of each of two. HELIOGRAPH_BENCH_RESULTS
is the number of results, 12,288. Printed are figures; asserted is that two share the work.
"""

import asyncio
import gc
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from heliograph.clock import SystemClock
from heliograph.services import load_shipped_services
from heliograph_collector.app.garbage_search import limit_garbage_search
from heliograph_collector.app.judge_messages import VERSION, JudgeSetup
from heliograph_collector.app.judge_workers import JudgeWorkers
from heliograph_collector.app.worker_process import LocalWorkers
from heliograph_collector.control import Assessor
from heliograph_collector.fleet.signed_lists import SignedLists
from heliograph_collector.judge import judge
from heliograph_collector.judge.writer import StoreWriter
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.records import JournalRow
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import Store
from support.load_bench import table
from support.unit_load import build_fleet, build_row, build_workload, list_batches
from support.waiting import until_true

RESULTS = int(os.environ.get("HELIOGRAPH_BENCH_RESULTS", "12288"))
WARM = 1_024  # before the figures
AGENTS = 48
SECRET = bytes(32)
SERVICES = load_shipped_services().services
JOIN_S = 240.0  # assumed; it takes some seconds on a quiet machine
LEAST_SHARED = 1.2  # the CPU of one process beside that of each of two


@dataclass(frozen=True)
class Figures:
    processes: int
    took_s: float
    serve_s: float
    judge_s: float  # of all processes

    @property
    def each_s(self) -> float:
        return self.judge_s / max(1, self.processes)


@pytest.fixture
def rare_garbage_search() -> Iterator[None]:
    """Limit the search for garbage, as `serve` does after its start."""
    limits = gc.get_threshold()
    limit_garbage_search()
    yield
    gc.unfreeze()
    gc.set_threshold(*limits)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
async def test_judge_processes_share_the_work(tmp_path: Path, rare_garbage_search: None) -> None:
    rows = await asyncio.to_thread(_list_rows, RESULTS + WARM)
    folders = [tmp_path / f"{count}" for count in range(3)]
    for folder in folders:
        folder.mkdir()
    figures = [await _measure(folder, rows, count) for count, folder in enumerate(folders)]
    print(_report(figures))
    assert figures[1].judge_s / figures[2].each_s >= LEAST_SHARED


def _list_rows(count: int) -> list[JournalRow]:
    begun_s = time.time() - 6 * 3_600
    batches = list_batches(build_workload(), build_fleet(AGENTS), begun_s, count)
    return [replace(build_row(batch, actor), position=0) for actor, batch in batches]


async def _measure(folder: Path, rows: Sequence[JournalRow], processes: int) -> Figures:
    clock = SystemClock()
    journal = Journal(folder / "journal.db")
    store = Store(f"chdb://{folder}/store")
    await store.open()
    setup = JudgeSetup(version=VERSION, data=str(folder), secret=SECRET, services=list(SERVICES))
    workers = JudgeWorkers(
        Assessor(judge, SERVICES), [LocalWorkers(setup, processes)], journal, SignedLists(folder),
        pseudonyms=Pseudonyms(SECRET), clock=clock, rng=random.Random(1),
        registry=CollectorRegistry(),
    )  # fmt: skip
    writer = StoreWriter(
        journal, store, workers, clock=clock, expiry=ExpiryClock(clock, clock.wall_us(), 0),
        rng=random.Random(1),
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        tasks = (group.create_task(workers.run()), group.create_task(writer.run()))
        await _judge_all(journal, writer, rows[:WARM])
        async with asyncio.timeout(JOIN_S):
            while workers.count_workers() < processes:
                await workers.decode([], is_behind=True)
                await asyncio.sleep(0.05)  # another process learns
        began = (time.monotonic(), time.process_time(), workers.measure_cpu_s())
        await _judge_all(journal, writer, rows[WARM:])
        ended = (time.monotonic(), time.process_time(), workers.measure_cpu_s())
        for task in tasks:
            task.cancel()
    await store.close()
    await journal.close()
    spent = [after - before for before, after in zip(began, ended, strict=True)]
    return Figures(processes, *spent)


async def _judge_all(journal: Journal, writer: StoreWriter, rows: Sequence[JournalRow]) -> None:
    for at in range(0, len(rows), 64):
        await journal.append(rows[at : at + 64])
    await until_true(lambda: writer.behind == 0)


def _report(figures: Sequence[Figures]) -> str:
    rows = [
        (
            f"{each.processes}",
            f"{RESULTS / each.took_s:.0f}",
            f"{1e6 * each.serve_s / RESULTS:.0f}",
            f"{1e6 * each.each_s / RESULTS:.0f}",
            f"{figures[1].judge_s / each.each_s:.2f}" if each.processes else "",
        )
        for each in figures
    ]
    head = ("judge processes", "results/s", "serve, CPU µs", "each process, CPU µs", "one to each")
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return f"\n{RESULTS} results of a journal that is full. {load}.\n{table([head, *rows])}"
