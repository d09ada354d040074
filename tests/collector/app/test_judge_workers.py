"""Judge processes beside `serve` give the same verdicts, even if some are killed."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from heliograph.clock import Clock, SystemClock
from heliograph.codec import measurement_to_pb
from heliograph.observation import Digest, Link
from heliograph.services import load_shipped_services
from heliograph_collector.app import worker_count, worker_process
from heliograph_collector.app.frames import FrameError
from heliograph_collector.app.judge_messages import (
    VERSION,
    DecodedPart,
    JudgeSetup,
    decode_chunks,
    decode_evidence,
    decode_heads,
    encode_chunks,
    encode_part,
)
from heliograph_collector.app.judge_workers import JournalHistory, JudgeWorkers
from heliograph_collector.app.worker_process import LocalWorkers
from heliograph_collector.control import ControlContext
from heliograph_collector.control.assessor import Assessor, ContextJudge
from heliograph_collector.control.evidence import collect_evidence
from heliograph_collector.fleet.signed_lists import SignedLists
from heliograph_collector.judge import judge
from heliograph_collector.judge import writer as writer_module
from heliograph_collector.judge.row_judge import JudgedRows
from heliograph_collector.judge.writer import StoreWriter
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import Store
from support.control_records import RESET
from support.hand_clock import HandClock
from support.judged_rows import SECRET, build_rows
from support.rows import NAMES, US, envelope_row
from support.scenario import NOON_US, measurement
from support.waiting import until_true

LOST = "heliograph_judge_workers_lost_total"
ROWS = 64  # of a block
KILLS = max(1, int(os.environ.get("HELIOGRAPH_KILLS", "8")) // 8)
SERVICES = load_shipped_services().services


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "BLOCK_ROWS", ROWS)


@dataclass
class RowHistory:
    """The journal, as a new process reads it."""

    rows: Sequence[JournalRow]

    async def read(self, after: int, limit: int, *, limit_bytes: int) -> list[JournalRow]:
        return [row for row in self.rows if row.position > after][:limit]


def build_setup(data: Path) -> JudgeSetup:
    return JudgeSetup(version=VERSION, data=str(data), secret=SECRET, services=list(SERVICES))


@asynccontextmanager
async def judging(
    data: Path,
    history: JournalHistory,
    limit: int,
    clock: Clock | None = None,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[JudgeWorkers]:
    workers = JudgeWorkers(
        Assessor(judge, SERVICES),
        [LocalWorkers(build_setup(data), limit)],
        history,
        SignedLists(data),
        pseudonyms=Pseudonyms(SECRET),
        clock=clock or HandClock(),
        rng=random.Random(1),
        registry=registry or CollectorRegistry(),
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(workers.run())
        yield workers
        task.cancel()


async def judge_all(
    workers: JudgeWorkers, rows: Sequence[JournalRow], *, is_behind: bool = True
) -> list[JudgedRows]:
    return [
        await judge_block(workers, rows[at : at + 8], is_behind=is_behind)
        for at in range(0, len(rows), 8)
    ]


async def judge_block(
    workers: JudgeWorkers, rows: Sequence[JournalRow], *, is_behind: bool = True
) -> JudgedRows:
    return await workers.judge(await workers.decode(rows, is_behind=is_behind))


async def until_lost(registry: CollectorRegistry, count: int) -> None:
    await until_true(lambda: registry.get_sample_value(LOST) == count)


async def until_joined(workers: JudgeWorkers, count: int) -> None:
    """Judge nothing until that many processes have joined."""
    async with asyncio.timeout(240):
        while workers.count_workers() < count:
            await judge_block(workers, [])
            await asyncio.sleep(0.01)


@pytest.mark.timeout(600)
async def test_same_verdicts_whoever_judges_and_whoever_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One and two processes give the same verdicts, and a killed one costs none."""
    rows = build_rows(160)
    async with judging(tmp_path, RowHistory(rows), 0) as alone:
        expected = await judge_all(alone, rows)
        assert alone.count_workers() == 0
    assert sum(len(block.judged) for block in expected) > sum(
        len(read_rows([row], NAMES).records) for row in rows
    ), "no older measurement was judged again"
    assert {v[-1].state.value for b in expected for _, v in b.judged} >= {"reachable", "blocked"}
    clock = HandClock()
    async with judging(tmp_path, RowHistory(rows), 2, clock) as workers:
        results = await judge_all(workers, rows[:40])  # they start meanwhile …
        await until_joined(workers, 2)  # … and have learned what was judged before they began
        results += await judge_all(workers, rows[40:80])
        for at, number in ((80, signal.SIGKILL), (96, signal.SIGSTOP)):
            victim, _ = workers.list_names()
            block = asyncio.ensure_future(judge_all(workers, rows[at : at + 8]))
            await asyncio.sleep(0)  # the request is on its way
            os.kill(int(victim), number)
            monkeypatch.setattr(worker_process, "ANSWER_S", 5.0)  # what hangs is lost too
            results += await block
            monkeypatch.undo()
            results += await judge_all(workers, rows[at + 8 : at + 16])
            assert victim not in workers.list_names()
            clock.advance_us(120 * US)  # beyond the longest pause before another start
            await until_joined(workers, 2)
        results += await judge_all(workers, rows[112:])
        assert workers.measure_cpu_s() > 0
        names = workers.list_names()
    assert results == expected
    for name in names:
        with pytest.raises(ProcessLookupError):
            os.kill(int(name), 0)


@pytest.mark.parametrize(
    ("configured", "cores", "memory_gib", "count", "ingest"),
    [
        (None, 1, 8, 0, 0),
        (None, 2, 8, 1, 1),
        (None, 64, 8, 4, 1),
        (None, 8, 1, 0, 0),
        (0, 8, 8, 0, 0),
        (3, 1, 1, 3, 3),
    ],
)
def test_small_machine_has_one_process(
    configured: int | None, cores: int, memory_gib: int, count: int, ingest: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(worker_count, "read_memory_bytes", lambda: memory_gib * 2**30)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
    assert worker_count.choose_worker_count(configured) == count
    assert worker_count.choose_ingest_count(configured) == ingest


def test_memory_is_that_of_the_unit_or_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker_count.read_memory_bytes() > 2**20  # of this machine
    (tmp_path / "meminfo").write_text("MemTotal:       16384000 kB\nMemFree: 1 kB\n")
    (tmp_path / "cgroup").write_text("0::/unit\n")
    (tmp_path / "unit").mkdir()
    monkeypatch.setattr(worker_count, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(worker_count, "_OWN_GROUP", tmp_path / "cgroup")
    monkeypatch.setattr(worker_count, "_GROUPS", tmp_path)
    assert worker_count.read_memory_bytes() == 16_384_000 * 1_024
    (tmp_path / "unit" / "memory.max").write_text("max\n")
    assert worker_count.read_memory_bytes() == 16_384_000 * 1_024
    (tmp_path / "unit" / "memory.max").write_text("1073741824\n")
    assert worker_count.read_memory_bytes() == 2**30


async def test_process_is_not_started_while_the_judge_keeps_up(tmp_path: Path) -> None:
    rows = build_rows(64)
    async with judging(tmp_path, RowHistory(rows), 2) as workers:
        for at in range(0, 64, 8):  # one block in four leaves rows waiting
            await judge_all(workers, rows[at : at + 8], is_behind=at % 32 != 0)
        assert not workers.is_starting


async def test_process_that_cannot_start_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that cannot start costs nothing: no program, or another version.

    A version differs after an update under a running `serve`.
    """
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    rows = build_rows(80)
    clock, registry = HandClock(), CollectorRegistry()
    async with judging(tmp_path, RowHistory(rows), 1, clock, registry) as workers:
        results = await judge_all(workers, rows)
        await until_lost(registry, 1)
        monkeypatch.undo()
        (source,) = workers._sources
        assert isinstance(source, LocalWorkers)
        source.setup = msgspec.structs.replace(source.setup, version="older")
        clock.advance_us(120 * US)
        await judge_block(workers, [])
        await until_lost(registry, 2)
    async with judging(tmp_path, RowHistory(rows), 0) as alone:
        assert results == await judge_all(alone, rows)


def test_records_arrive_as_they_were_sent() -> None:
    records = read_rows(build_rows(60), NAMES).records
    assert decode_chunks(encode_chunks(records)) == records


def test_heads_are_the_records_whose_bodies_hold_their_steps() -> None:
    certain = replace(
        measurement(RESET), certificates=(b"der",), clock_offset_us=-1, link=Link.CAPTIVE
    )
    told = Digest(step_s=60, classes=("foreign", "dns"), lives=bytes([1, 1, 2, 2, 1, 3]))
    digest = replace(
        measurement(()), experiment="digest", digest=told, started_us=NOON_US - 300 * US
    )
    messages = map(measurement_to_pb, (certain, digest))
    decoded = read_rows([*build_rows(60), envelope_row(*messages, sequence=61)], NAMES)
    records = decoded.records
    assert any(record.id not in decoded.bodies for record in records)  # made of a digest
    part = encode_part(decoded)
    heads = decode_heads(part)
    assert [head.measurement.step_count for head in heads] == [
        len(record.measurement.observations) for record in records
    ]
    assert heads == records
    assert [hash(head.measurement) for head in heads] == [hash(r.measurement) for r in records]
    assert decode_chunks(encode_chunks(heads)) == records  # as what is due travels
    later = [replace(head.measurement, sequence=7).observations for head in heads]
    assert later == [record.measurement.observations for record in records]
    with pytest.raises(FrameError):
        decode_heads(msgspec.structs.replace(part, bodies={}))


def test_context_finds_the_same_by_heads_and_evidence() -> None:
    """The context finds the same by heads and evidence decoded by another process."""
    decoded = read_rows(build_rows(160), NAMES)
    sent = msgspec.msgpack.encode(encode_part(decoded, has_evidence=True))
    part = msgspec.msgpack.decode(sent, type=DecodedPart)
    heads = decode_heads(part)
    found = decode_evidence(part)
    assert found == [collect_evidence(record.measurement) for record in decoded.records]
    evidence = {head.id: each for head, each in zip(heads, found, strict=True)}
    whole, apart = (ContextJudge(judge, ControlContext(SERVICES)) for _ in range(2))
    for at in range(0, len(heads), 8):
        block = slice(at, at + 8)
        assert apart.take_up(heads[block], evidence) == whole.take_up(decoded.records[block])
        records = zip(heads[block], decoded.records[block], strict=True)
        assert all(apart.judge(head) == whole.judge(record) for head, record in records)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_killed_processes_lose_nothing_and_store_nothing_twice(
    tmp_path: Path, store: Store
) -> None:
    """kill -9 of judge processes loses nothing and stores nothing twice.

    It kills HELIOGRAPH_KILLS / 8 times, while results flow to the store.
    """
    journal = Journal(tmp_path / "journal.db")
    clock, registry = SystemClock(), CollectorRegistry()
    expected: list[str] = []
    async with judging(tmp_path, journal, 2, clock, registry) as workers, asyncio.TaskGroup() as g:
        writer = StoreWriter(
            journal, store, workers, clock=clock, expiry=ExpiryClock(clock, clock.wall_us(), 0),
            rng=random.Random(1), linger_s=0,
        )  # fmt: skip
        task = g.create_task(writer.run())
        killed_count = 0
        lost_count = 0.0  # a loss is noticed with the next block, so results flow until then
        while lost_count < KILLS or writer.behind != 0:
            lost_count = registry.get_sample_value(LOST) or 0.0
            if lost_count < KILLS and (writer.behind or 0) < 8 * ROWS:
                rows = build_rows(ROWS, seed=len(expected))
                rows = [replace(row, sequence=row.sequence + 1_000 * len(expected)) for row in rows]
                expected += [record.id for record in read_rows(rows, Pseudonyms(SECRET)).records]
                await journal.append([row for row in rows if row.kind is RowKind.ENVELOPE])
            if killed_count <= lost_count < KILLS and (names := workers.list_names()):
                os.kill(int(random.Random(killed_count).choice(names)), signal.SIGKILL)
                killed_count += 1
            await asyncio.sleep(0.01)
        task.cancel()
    ids = [row[0] for row in store._clickhouse.query_written("SELECT id FROM measurements", {})]
    sql = "SELECT id FROM verdicts GROUP BY id, endpoint, judged HAVING count() > 1"
    assert store._clickhouse.query_written(sql, {}) == []
    assert sorted(ids) == sorted(expected)
    await journal.close()
