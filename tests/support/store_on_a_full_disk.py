"""Fill the disk under a journal and a store, make room, and print the result.

Run as a program, as root, in a separate mount namespace, with an empty folder to mount on: `unshare
--mount python -m support.store_on_a_full_disk FOLDER`; prints one JSON object.
"""

import asyncio
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from heliograph.clock import SystemClock
from heliograph_collector.judge.row_judge import LocalJudge
from heliograph_collector.judge.writer import StoreWriter
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.records import JudgedMeasurement, ReceivedMeasurement
from heliograph_collector.store.journal.journal import Journal, JournalFullError
from heliograph_collector.store.store import Store
from support.rows import NAMES, envelope_row, measurement_pb, reachable
from support.small_disk import fill_up, mount
from support.stores import build_store

DISK = "96m"
ROOM = 400_000  # bytes left when the other files have taken the rest
DEADLINE_S = 120


class Judge:
    def restore(self, records: Sequence[ReceivedMeasurement]) -> None:
        """Remember nothing."""

    def assess(self, block: Sequence[ReceivedMeasurement]) -> list[JudgedMeasurement]:
        return [(one, (reachable(),)) for one in block]


async def append(journal: Journal, numbers: range) -> tuple[list[int], int]:
    taken, refused = [], 0
    for number in numbers:
        try:
            await journal.append([envelope_row(measurement_pb(), sequence=number)])
            taken.append(number)
        except JournalFullError:
            refused += 1
    return taken, refused


async def until_in(journal: Journal, store: Store) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while await store.cursor(journal.id) < journal.position:  # noqa: ASYNC110 no event
            await asyncio.sleep(0.1)


async def until_troubled(writer: StoreWriter) -> list[str]:
    async with asyncio.timeout(DEADLINE_S):
        while not writer.problems():  # noqa: ASYNC110 no event for it
            await asyncio.sleep(0.02)
    return writer.problems()


async def story(place: Path) -> dict[str, object]:
    journal = Journal(place / "journal.db")
    store = build_store(place)
    await store.open()
    writer = StoreWriter(
        journal,
        store,
        LocalJudge(Judge(), NAMES),
        clock=SystemClock(),
        expiry=ExpiryClock(SystemClock(), 0, 0),
        rng=random.Random(1),
        linger_s=0,
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(writer.run())
        before, _ = await append(journal, range(1, 51))
        await until_in(journal, store)
        ballast = place / "other-files"
        fill_up(ballast)
        with ballast.open("r+b") as file:
            file.truncate(ballast.stat().st_size - ROOM)
        during, refused = await append(journal, range(51, 2_000))
        problems = await until_troubled(writer)
        ballast.unlink()
        after, refused_after = await append(journal, range(3_000, 3_050))
        await until_in(journal, store)
        quiet = writer.problems()
        running.cancel()
    acknowledged = before + during + after
    ids = [row[0] for row in store._clickhouse.query_written("SELECT id FROM measurements", {})]
    await store.close()
    await journal.close()
    return {
        "acknowledged": len(acknowledged),
        "acknowledged_while_full": len(during),
        "refused_while_full": refused,
        "refused_after": refused_after,
        "problems": problems,
        "problems_after": quiet,
        "stored": len(ids),
        "double": len(ids) - len(set(ids)),
        "lost": len({NAMES.measurement(b"A" * 16, n, 0) for n in acknowledged} - set(ids)),
    }


def main() -> None:
    place = Path(sys.argv[1])
    assert mount(DISK, place)
    print(json.dumps(asyncio.run(story(place))))


if __name__ == "__main__":
    main()
