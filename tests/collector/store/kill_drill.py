"""Kill a collector's journal, writer and store at random moments; then count rows.

    python kill_drill.py DIRECTORY KILLS SEED

A child appends envelopes and reports each acknowledgement through a pipe, while its writer takes
them into the store. What the engine needs is imported before the fork, so that a child spends its
short life writing; the engine itself starts threads at its import and cannot be forked.
Prints one JSON object.
"""

import asyncio
import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import clickhouse_connect.driver._backendclient
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa  # type: ignore[import-untyped]

from heliograph.clock import SystemClock
from heliograph_collector.judge.row_judge import LocalJudge
from heliograph_collector.judge.writer import StoreWriter
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.records import (
    JournalRow,
    JudgedMeasurement,
    ReceivedMeasurement,
    RowKind,
)
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.store import Store, StoreLimits
from support.rows import ANNA, NAMES, T0, blocked, envelope_row, measurement_pb, reachable
from support.stores import build_store

PRELOADED = (clickhouse_connect.driver._backendclient, pa, pd)
PER_ENVELOPE = 3
APPENDERS = 4
BACKLOG = 150  # rows: the writer is to be killed at work too, and to catch up in the end


class Judge:
    def restore(self, records: Sequence[ReceivedMeasurement]) -> None:
        """Remember nothing."""

    def assess(self, block: Sequence[ReceivedMeasurement]) -> list[JudgedMeasurement]:
        return [(one, (reachable(), blocked("dc1"))) for one in block]


def writer(journal: Journal, store: Store) -> StoreWriter:
    return StoreWriter(
        journal,
        store,
        LocalJudge(Judge(), NAMES),
        clock=SystemClock(),
        expiry=ExpiryClock(SystemClock(), 0, 0),
        rng=random.Random(1),
        linger_s=0,
    )


LIMITS = StoreLimits(memory_mib=2_048)


async def child(place: Path, first: int, acknowledged: int) -> None:
    """Append envelopes from `first` on without end; report each number when safe."""
    journal, store = Journal(place / "journal.db"), build_store(place, limits=LIMITS)
    await store.open()
    if await store.pending(journal.id) is not None:
        os.write(acknowledged, bytes(8))  # a block was torn by the last kill
    number = first

    taker = writer(journal, store)

    async def append() -> None:
        nonlocal number
        while True:
            while journal.position > (taker._cursor or 0) + BACKLOG:  # noqa: ASYNC110 no event for it
                await asyncio.sleep(0.001)
            mine, number = number, number + 1
            row = envelope_row(*[measurement_pb()] * PER_ENVELOPE, sequence=mine)
            there = JournalRow(kind=RowKind.LOST, agent=ANNA, received_us=T0 + mine)
            await journal.append([replace(row, position=0), there])
            os.write(acknowledged, mine.to_bytes(8, "big"))

    async with asyncio.TaskGroup() as group:
        group.create_task(taker.run())
        for _ in range(APPENDERS):
            group.create_task(append())


def one_life(place: Path, first: int, rng: random.Random) -> list[int]:
    """Fork, kill at a random moment, and return the acknowledged numbers.

    One in five dies while it opens, the others after their first acknowledgement.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.dup2(os.open(place / "child.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        asyncio.run(child(place, first, writing))
        os._exit(1)
    os.close(writing)
    young = rng.random() < 0.2
    told = b"" if young else until_acknowledged(reading)
    time.sleep(rng.uniform(0.05, 0.4) if young else rng.uniform(0, 0.25))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit((place / "child.log").read_text()[-2_000:])
    while select.select([reading], [], [], 0)[0] and (more := os.read(reading, 65_536)):
        told += more
    os.close(reading)
    return [int.from_bytes(told[n : n + 8], "big") for n in range(0, len(told), 8)]


def until_acknowledged(reading: int) -> bytes:
    """Read the pipe until an envelope is acknowledged; a torn block alone is none."""
    told = b""
    while (
        not any(told) and select.select([reading], [], [], 60)[0] and (more := os.read(reading, 8))
    ):
        told += more
    return told


async def count(place: Path) -> dict[str, Any]:
    """Let the writer catch up; count the rows as stored, without merging at reading."""
    journal, store = Journal(place / "journal.db"), build_store(place, limits=LIMITS)
    await store.open()
    task = asyncio.ensure_future(writer(journal, store).run())
    deadline = time.monotonic() + 60
    while await store.cursor(journal.id) < journal.position:  # each turn asks the engine
        if time.monotonic() > deadline or task.done():
            raise SystemExit(f"the writer does not catch up: {task}, {journal.position}")
    task.cancel()
    await asyncio.wait([task], timeout=60)

    def ask(columns: str, table: str) -> list[tuple[Any, ...]]:
        return store._clickhouse.query_written(f"SELECT {columns} FROM {table}", {})

    rows = await journal.read(0, 10**9, limit_bytes=10**12)
    found = {
        "envelopes": len([row for row in rows if row.sequence]),
        "journal": journal.position,
        "ids": sorted(row[0] for row in ask("id", "measurements")),
        "measurements": ask("count() AS a, uniqExact(id) AS b", "measurements")[0],
        "verdicts": ask("count() AS a, uniqExact(id, endpoint) AS b", "verdicts")[0],
        "presence": ask("count() AS a, uniqExact(position) AS b", "presence")[0],
        "quarantine": ask("count() AS a, 0 AS b", "quarantine")[0],
    }
    await store.close()
    await journal.close()
    return found


def in_own_process(place: Path) -> dict[str, Any]:
    """Run `count` in a fork: the engine must not run in the process that forks on."""
    pid = os.fork()
    if pid == 0:
        (place / "count.json").write_text(json.dumps(asyncio.run(count(place))))
        os._exit(0)
    os.waitpid(pid, 0)
    return dict(json.loads((place / "count.json").read_text()))


def main() -> None:
    place, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    began = time.monotonic()
    acknowledged: list[int] = []
    fruitful = torn = 0
    for life in range(kills):
        told = one_life(place, life * 1_000_000 + 1, rng)
        acknowledged += [number for number in told if number]
        torn += 0 in told
        fruitful += any(told)
    found = in_own_process(place)
    ids = set(found.pop("ids"))
    indices = range(PER_ENVELOPE)
    expected = [NAMES.measurement(ANNA, number, n) for number in acknowledged for n in indices]
    found |= {
        "kills": kills,
        "kills_after_an_acknowledgement": fruitful,
        "kills_that_tore_a_block": torn,
        "acknowledged": len(acknowledged),
        "lost": sum(id_ not in ids for id_ in expected),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
