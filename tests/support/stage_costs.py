"""Measure the CPU of each stage of the collector alone, per result, by getrusage.

`python -m support.stage_costs stages DATA ENVELOPES FOLDER` takes the directory of a collector that
has ended, and a file of envelopes sealed to it; `bulk FOLDER` loads the rows which that left in the
folder into an empty store. Both print JSON. Each runs in a new process, since a process opens only
one directory.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from heliograph import envelope
from heliograph.clock import SystemClock
from heliograph.services import load_shipped_services
from heliograph.v1 import envelope_pb2
from heliograph_collector.aggregate.cell_updater import update_bins
from heliograph_collector.app.garbage_search import limit_garbage_search
from heliograph_collector.control import Assessor
from heliograph_collector.fleet import Fleet, open_keyring
from heliograph_collector.fleet.keyring import SealingKeys
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.envelope_opener import check_batch
from heliograph_collector.judge import judge
from heliograph_collector.judge.row_judge import JudgedRows, collect_judged
from heliograph_collector.judge.writer import BLOCK_ROWS
from heliograph_collector.model.records import (
    AgentRole,
    Block,
    JournalRow,
    RowKind,
)
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import Store
from heliograph_collector.store.table_snapshot import TableSummary

AT_ONCE = 16  # appends that wait for one commit
MINUTE_US = 60_000_000
EXPORTED = "rows.json"
RESULTS = "results"
STAGES = ("open", "count", "journal", "decode", "judge", "columns and insert", "cells")


class Meter:
    def __init__(self, results: int) -> None:
        self._results = results
        self.cpu_us: dict[str, float] = {}
        self.wall_s: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        before, began_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        yield
        after = resource.getrusage(resource.RUSAGE_SELF)
        spent_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        self.cpu_us[name] = 1e6 * spent_s / self._results
        self.wall_s[name] = time.perf_counter() - began_s


def envelopes_of(file: Path) -> Iterator[envelope_pb2.Envelope]:
    data, at = file.read_bytes(), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield envelope_pb2.Envelope.FromString(data[at + 4 : at + 4 + size])
        at += 4 + size


def blocks_of(rows: Sequence[JournalRow]) -> Iterator[Sequence[JournalRow]]:
    for at in range(0, len(rows), BLOCK_ROWS):
        yield rows[at : at + BLOCK_ROWS]


async def stages(data: Path, file: Path, folder: Path) -> dict[str, object]:
    """Run the stages one after another, each for all envelopes.

    The first rows of the journal warm the judge up.
    """
    limit_garbage_search()  # as `serve` does once it has started
    envelopes = list(envelopes_of(file))
    meter = Meter(len(envelopes))
    rows = await _arrive(data, folder, envelopes, meter)
    names = Pseudonyms(open_keyring(data, []).secret)
    with meter.stage("decode"):
        decoded = [read_rows(each, names) for each in blocks_of(rows)]
    assessor = Assessor(judge, load_shipped_services().services)
    for each in blocks_of(await _stored(data)):
        assessor.assess(read_rows(each, names).records)
    with meter.stage("judge"):
        judged = [collect_judged(each, assessor.assess(each.records)) for each in decoded]
    counted = await _store(judged, folder, meter)
    (folder / "exported" / RESULTS).write_text(str(len(envelopes)))
    return {"results": len(envelopes), "cpu_us": meter.cpu_us, "wall_s": meter.wall_s, **counted}


async def _arrive(
    data: Path, folder: Path, envelopes: Sequence[envelope_pb2.Envelope], meter: Meter
) -> list[JournalRow]:
    fleet, sealers = Fleet(data), SealingKeys(data)
    roll, now_us = AgentDirectory(fleet), SystemClock().wall_us()
    with meter.stage("open"):
        opened = [_open(each, sealers, roll) for each in envelopes]
    with meter.stage("count"):
        for each in opened:
            check_batch(each, now_us)
    rows = [_build_row(each, roll) for each in opened]
    journal = Journal(folder / "journal.db")
    with meter.stage("journal"):
        for at in range(0, len(rows), AT_ONCE):
            await asyncio.gather(*(journal.append([row]) for row in rows[at : at + AT_ONCE]))
    await journal.close()
    fleet.close()
    return [replace(row, position=number) for number, row in enumerate(rows, start=1)]


def _build_row(opened: envelope.VerifiedBatch, roll: AgentDirectory) -> JournalRow:
    """Build the row of an envelope that arrives when sealed, from its named network."""
    agent = roll.get(opened.agent)
    assert agent is not None
    (epoch,) = opened.batch.epochs
    return JournalRow(
        kind=RowKind.ENVELOPE, agent=opened.agent, received_us=opened.batch.sealed_us,
        country=epoch.country, asn=100 + opened.agent[0] % 12, prefix=opened.agent.hex(),
        role=AgentRole(agent.role), sequence=opened.sequence, body=opened.compressed, since_s=1,
    )  # fmt: skip


def _open(
    message: envelope_pb2.Envelope, sealers: SealingKeys, roll: AgentDirectory
) -> envelope.VerifiedBatch:
    key = sealers.find(message.key_id)
    assert key is not None
    return envelope.open_envelope(
        message, key, lambda agent: next(iter(roll.list_keys(agent)), None)
    )


async def _stored(data: Path) -> list[JournalRow]:
    journal = Journal(data / "journal.db")
    rows = await journal.read(0, 4 * BLOCK_ROWS, kinds=(RowKind.ENVELOPE,))
    await journal.close()
    return rows


async def _store(blocks: Sequence[JudgedRows], folder: Path, meter: Meter) -> dict[str, object]:
    store = Store(f"chdb://{folder}/store")
    await store.open()
    await store.insert_block(Block(journal="first", first=1, last=1))  # loads its libraries
    with meter.stage("columns and insert"):
        for number, rows in enumerate(blocks):  # by positions, or no measurement would be new
            bounds = (number * BLOCK_ROWS + 1, (number + 1) * BLOCK_ROWS)
            await store.insert_block(
                Block(
                    journal="j",
                    first=bounds[0],
                    last=bounds[1],
                    judged=rows.judged,
                    bodies=rows.bodies,
                )
            )
    judged = [each for rows in blocks for each in rows.judged]
    moments = [taken.started_us for taken, _ in judged]
    since_us = min(moments) // MINUTE_US * MINUTE_US
    until_us = (max(moments) // MINUTE_US + 1) * MINUTE_US
    with meter.stage("cells"):
        await update_bins(store, since_us, until_us, 60)
    exported = folder / "exported"
    exported.mkdir()
    async with store.open_snapshot() as snapshot:
        (exported / EXPORTED).write_bytes(msgspec.json.encode(snapshot.tables))
        for table in snapshot.tables:
            with (exported / f"{table.name}.native").open("wb") as file:
                async for piece in store.read_table(table.name):
                    file.write(piece)
    await store.close()
    return {
        "observations": sum(len(t.measurement.observations) for t, _ in judged),
        "verdicts": sum(len(verdicts) for _, verdicts in judged),
        "rows": sum(table.rows for table in snapshot.tables),
    }


async def bulk(folder: Path) -> dict[str, object]:
    exported = folder / "exported"
    content = (exported / EXPORTED).read_bytes()
    tables = msgspec.json.decode(content, type=tuple[TableSummary, ...])
    store = Store(f"chdb://{folder}/bulk")
    await store.open()
    meter = Meter(int((exported / RESULTS).read_text()))
    with meter.stage("bulk"):
        for table in tables:
            with (exported / f"{table.name}.native").open("rb") as file:
                await store.load_table(table, iter(partial(file.read, 1_048_576), b""))
    await store.close()
    return {"cpu_us": meter.cpu_us, "wall_s": meter.wall_s}


def main(words: Sequence[str]) -> None:
    folders = [Path(word) for word in words[1:]]
    work = stages(*folders) if words[0] == "stages" else bulk(*folders)
    print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main(sys.argv[1:])
