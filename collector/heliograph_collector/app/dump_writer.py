"""Writes the daily files of cells: when a day is over, and again when late data changed it."""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heliograph.clock import Clock
from heliograph_collector.aggregate.rollup import merge_small
from heliograph_collector.http.api.dumps import INDEX, read_index
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.api.parquet import BIN_S, SCHEMA, DayFile, Written, dictionary
from heliograph_collector.model.records import DAY_US, MAX_AGE_US, Cell, CellFilter
from heliograph_collector.store.store import Store, StoreError

log = logging.getLogger("heliograph.dumps")

HOUR_US = 3_600_000_000
GRACE_US = HOUR_US // 2  # after a day's end, so that what is on its way makes no second revision
AT_ONCE = 16  # days in one round: the rest follows soon
_SOON_S, _LATER_S = 60.0, 1_800.0
_LATE_US = MAX_AGE_US + 2 * DAY_US  # nothing older changes while the collector runs

Progress = Callable[[str], None]


@dataclass(slots=True)
class Shelf:
    """What lies in a folder. `seen`: day → when its cells had last changed, in µs, at that time."""

    folder: Path
    k: int
    files: dict[str, dict[str, Any]] = field(default_factory=dict)  # by day
    seen: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, k: int) -> "Shelf":
        """Raises OSError. What another k or another schema wrote is to be written again."""
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("cells-*.parquet.new"):
            left.unlink()
        found = read_index(folder)
        shelf = cls(folder, k, {file["day"]: file for file in found["files"]})
        if (found.get("k_anonymity"), found.get("schema")) == (k, SCHEMA):
            shelf.seen = dict(found.get("seen", {}))
        return shelf

    def put(self, day: str, seen_us: int, written: Written | None, at: str) -> bool:
        """Take down what was written; whether it is other than before."""
        before = self.files.pop(day, None)
        self.seen[day] = seen_us
        if written is None:
            return before is not None
        changed = before is None or before["sha256"] != written.sha256
        number = 0 if before is None else int(before["revision"])
        self.files[day] = {
            "name": name_of(day),
            "day": day,
            "revision": number + changed,
            **asdict(written),
            "written": at if before is None or changed else before["written"],
        }
        return changed

    def drop_before(self, day: str) -> None:
        """Raises OSError."""
        for old in [d for d in self.files if d < day]:
            (self.folder / self.files.pop(old)["name"]).unlink(missing_ok=True)
        self.seen = {d: us for d, us in self.seen.items() if d >= day}

    def save(self) -> None:
        """The list, put there whole. Raises OSError."""
        body = {
            "schema": SCHEMA,
            "k_anonymity": self.k,
            "files": [self.files[day] for day in sorted(self.files, reverse=True)],
            "seen": self.seen,
        }
        new = self.folder / f"{INDEX}.new"
        with new.open("w") as stream:
            json.dump(body, stream)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self.folder / INDEX)


def name_of(day: str) -> str:
    return f"cells-{day}.parquet"


def due(
    days: Sequence[tuple[int, int]], seen: Mapping[str, int], oldest_us: int, now_us: int
) -> list[tuple[int, int]]:
    """Of (midnight, last changed) those that are over and not written as they are; newest first."""
    return [
        (day_us, changed_us)
        for day_us, changed_us in sorted(days, reverse=True)
        if day_us >= oldest_us
        and day_us + DAY_US + GRACE_US <= now_us
        and changed_us > seen.get(write_time(day_us)[:10], -1)
    ]


async def write_day(store: Store, shelf: Shelf, day_us: int, changed_us: int, now_us: int) -> bool:
    """Hour by hour, so that no more than an hour's cells are held. Whether the file is another.

    Raises StoreError, OSError; then the file before is still there.
    """
    day = write_time(day_us)[:10]
    file = DayFile(shelf.folder / name_of(day), day_us, shelf.k)
    try:
        for since_us in range(day_us, day_us + DAY_US, HOUR_US):
            window = CellFilter(since_us=since_us, until_us=since_us + HOUR_US, bin_s=BIN_S)
            cells = await store.cells(window)
            await asyncio.to_thread(_add, file, cells, shelf.k)
        written = await asyncio.to_thread(file.close)
    finally:
        file.abandon()
    return shelf.put(day, changed_us, written, write_time(now_us // 1_000_000 * 1_000_000))


def _add(file: DayFile, cells: Sequence[Cell], k: int) -> None:
    file.add(merge_small(cells, k))


class DumpKeeper:
    """`run` belongs in the collector's TaskGroup. `kept_days` is for how long files are offered."""

    def __init__(self, store: Store, folder: Path, clock: Clock, k: int, kept_days: int) -> None:
        self._store, self._clock = store, clock
        self._folder, self._k = folder, k
        self._kept_us = kept_days * DAY_US
        self._shelf: Shelf | None = None
        self._all = False  # whether the days of before this process were looked at

    async def run(self) -> None:
        while True:
            done = await self.look()
            await asyncio.sleep(_LATER_S if done else _SOON_S)

    async def look(self) -> bool:
        """One round; whether nothing is left to do."""
        try:
            return await self._look()
        except (StoreError, OSError) as error:
            log.warning("Daily files are late: %s", error)
            return True

    async def _look(self) -> bool:
        if self._shelf is None:
            self._shelf = await asyncio.to_thread(Shelf.open, self._folder, self._k)
        shelf, now_us = self._shelf, self._clock.wall_us()
        oldest_us = (now_us - self._kept_us) // DAY_US * DAY_US
        since_us = max(oldest_us, now_us - _LATE_US) if self._all else oldest_us
        todo = due(await self._store.cell_days(since_us), shelf.seen, oldest_us, now_us)
        await asyncio.to_thread(shelf.drop_before, write_time(oldest_us)[:10])
        for day_us, changed_us in todo[:AT_ONCE]:
            if await write_day(self._store, shelf, day_us, changed_us, now_us):
                log.info("Daily file %s written.", name_of(write_time(day_us)[:10]))
            await asyncio.to_thread(shelf.save)
        self._all = self._all or len(todo) <= AT_ONCE
        return len(todo) <= AT_ONCE


async def export(
    store: Store, folder: Path, k: int, since_us: int, until_us: int, now_us: int, told: Progress
) -> list[dict[str, Any]]:
    """Write the files of the finished days of [since, until) and a README.json of their columns.

    Raises StoreError, OSError.
    """
    shelf = await asyncio.to_thread(Shelf.open, folder, k)
    days = [day for day in await store.cell_days(since_us) if day[0] < until_us]
    made = []
    for day_us, changed_us in reversed(due(days, {}, since_us, now_us)):
        day = write_time(day_us)[:10]
        told(day)
        await write_day(store, shelf, day_us, changed_us, now_us)
        await asyncio.to_thread(shelf.save)
        made += [shelf.files[day]] if day in shelf.files else []
    columns = json.dumps(dictionary() | {"k_anonymity": k}, indent=1)
    await asyncio.to_thread((folder / "README.json").write_text, columns + "\n")
    return made
