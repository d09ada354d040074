"""kill -9 of the judge processes of a real `serve`, while results wait for it.

What must hold in the end: each result that was acknowledged is in the store exactly once, with one
set of verdicts. `make soak` kills HELIOGRAPH_KILLS / 8 times.
"""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph_collector.fleet import open_keyring
from heliograph_collector.model.records import RowKind
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import Store
from support.load_bench import Reader
from support.load_fleet import connected_fleet
from support.load_sender import Seal
from support.waiting import until

KILLS = max(1, int(os.environ.get("HELIOGRAPH_KILLS", "8")) // 8)
AGENTS = 24
# `serve` judges some hundred a second itself until the next process has learned, for which it waits
# a second or more; so several seconds of work wait for each kill.
RESULTS = 1_500 * KILLS
SEAL_US = 1  # sent as soon as all are sealed


@pytest.mark.skipif("HELIOGRAPH_KILLS" not in os.environ, reason="long: make soak")
@pytest.mark.timeout(3_600)
async def test_killed_judge_processes_of_a_loaded_collector_cost_no_result(tmp_path: Path) -> None:
    rng = random.Random(4)
    killed: set[int] = set()
    async with connected_fleet(tmp_path, AGENTS) as (own, sender):
        reader = Reader(own.http, (own.data / "keys" / "operator.password").read_text().strip())
        await sender.seal(Seal(results=RESULTS, seconds=1.0, seal_us=SEAL_US))
        sending = asyncio.create_task(sender.send(paced=False))

        async def is_all_stored() -> bool:
            for pid in set(list_judges(own.pid)) - killed if len(killed) < KILLS else ():
                await asyncio.sleep(rng.uniform(0.0, 1.5))  # the moment is the test's input
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            return sending.done() and await reader.unstored() == 0

        await until(is_all_stored, 3_000.0, pause_s=0.2)
        report = await sending
        await reader.close()
        await sender.leave()
        assert own.process is not None
        own.process.terminate()
        await own.process.wait()
        expected = await list_expected(own.data)
        stored, twice = await read_stored(own.data)
    print(f"\nkill -9: judge processes {len(killed)}; results {RESULTS}, stored {len(stored)}")
    assert killed, "no judge process was started"
    assert report.receipts == {"stored": RESULTS}
    assert Counter(stored) == Counter(expected)
    assert twice == []


def list_judges(serve: int) -> Iterator[int]:
    """List the judge processes that are children of `serve`."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):  # it ended as we looked
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == serve and b"judge_process" in (process / "cmdline").read_bytes():
                yield int(process.name)


async def list_expected(data: Path) -> list[str]:
    """List the ids of what the journal holds."""
    names = Pseudonyms(open_keyring(data, []).secret)
    journal = Journal(data / "journal.db")
    ids: list[str] = []
    after = 0
    while rows := await journal.read(after, 500, kinds=(RowKind.ENVELOPE,)):
        ids += [record.id for record in read_rows(rows, names).records]
        after = rows[-1].position
    await journal.close()
    return ids


async def read_stored(data: Path) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the ids of all measurements, and those with duplicate verdicts."""
    store = Store(f"chdb://{(data / 'store').resolve()}")
    await store.open()
    query = store._clickhouse.query_written
    ids = [row[0] for row in query("SELECT id FROM measurements", {})]
    twice = query(
        "SELECT id FROM verdicts GROUP BY id, endpoint, judged HAVING count() > 1 LIMIT 5", {}
    )
    await store.close()
    return ids, twice
