"""Writer of the daily files of cells: after a day's end, again after late data."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from heliograph.clock import Clock
from heliograph.durable_file import replace_file
from heliograph.timestamps import format_day, format_second
from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.aggregate.disclosure import BIN_S, Disclosure
from heliograph_collector.http.api.dumps import INDEX_FILE, DumpIndex, read_index
from heliograph_collector.http.api.parquet import SCHEMA, DayFile, WrittenDump, build_dictionary
from heliograph_collector.http.backend import DEFAULT_LICENSE
from heliograph_collector.http.history_writer import HistoryWriter
from heliograph_collector.http.running_day import RunningDay
from heliograph_collector.model.expiry_clock import ExpiryTime
from heliograph_collector.model.filters import CellFilter
from heliograph_collector.model.published.files import DumpFile
from heliograph_collector.model.records import (
    MAX_AGE_US,
    Cell,
)
from heliograph_collector.store.store import Store, StoreError

EARLIER_FILE = "earlier.json"  # beside the index: the files of who led a cluster before
_REVISIONS = msgspec.json.Decoder(tuple[DumpFile, ...])

log = logging.getLogger("heliograph.dumps")

GRACE_US = HOUR_US // 2  # after a day's end, so that data in transit cause no second revision
DAYS_PER_ROUND = 16  # days in one round; the next round follows soon
_BUSY_PAUSE_S = 60.0
_IDLE_PAUSE_S = 1_800.0
_MAX_LATENESS_US = MAX_AGE_US + 2 * DAY_US  # older cells do not change while the collector runs


@dataclass(slots=True)
class DumpStore:
    """The files of a folder; `changed_us_by_day` is the data version of each file."""

    folder: Path
    k_anonymity: int
    services: Collection[str]  # that the plan lists; no other is named
    files: dict[str, DumpFile] = field(default_factory=dict)  # by day
    changed_us_by_day: dict[str, int] = field(default_factory=dict)
    license_name: str = DEFAULT_LICENSE
    earlier: dict[str, DumpFile] = field(default_factory=dict)  # by day; due here, as they differ

    @classmethod
    def open(
        cls,
        folder: Path,
        k_anonymity: int,
        services: Collection[str],
        license_name: str = DEFAULT_LICENSE,
    ) -> "DumpStore":
        """Open a folder. Raises OSError.

        Files of another k or another schema are due again.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("cells-*.parquet.new"):
            leftover.unlink()
        index = read_index(folder)
        store = cls(folder, k_anonymity, services, {file.day: file for file in index.files})
        store.license_name = license_name
        if (index.k_anonymity, index.schema) == (k_anonymity, SCHEMA):
            store.changed_us_by_day = index.seen
        for day, file in _choose_newest(read_earlier(folder), index.files).items():
            if day not in store.files or store.files[day].sha256 != file.sha256:
                store.earlier[day] = file
                store.changed_us_by_day.pop(day, None)
        return store

    def record_dump(
        self, day: str, changed_us: int, written: WrittenDump | None, timestamp: str
    ) -> bool:
        """Record a written file and return whether it differs from the previous one."""
        own = self.files.pop(day, None)
        previous = self.earlier.pop(day, own)
        self.changed_us_by_day[day] = changed_us
        if written is None:
            return previous is not None
        has_changed = previous is None or previous.sha256 != written.sha256
        revision = 0 if previous is None else previous.revision
        self.files[day] = DumpFile(
            name=dump_name(day),
            day=day,
            revision=revision + has_changed,
            rows=written.rows,
            bytes=written.bytes,
            sha256=written.sha256,
            written=timestamp if previous is None or has_changed else previous.written,
        )
        return has_changed

    def drop_before(self, day: str) -> None:
        """Delete the files before a day. Raises OSError."""
        for old_day in [d for d in self.files if d < day]:
            (self.folder / self.files.pop(old_day).name).unlink(missing_ok=True)
        self.changed_us_by_day = {d: us for d, us in self.changed_us_by_day.items() if d >= day}

    def save_index(self) -> None:
        """Replace the index atomically. Raises OSError."""
        index = DumpIndex(
            schema=SCHEMA,
            k_anonymity=self.k_anonymity,
            files=tuple(self.files[day] for day in sorted(self.files, reverse=True)),
            seen=self.changed_us_by_day,
        )
        replace_file(self.folder / INDEX_FILE, msgspec.json.encode(index), mode=0o644)


def read_earlier(folder: Path) -> tuple[DumpFile, ...]:
    """Read the list of an earlier leader's files; empty if it is missing or damaged."""
    try:
        return _REVISIONS.decode((folder / EARLIER_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return ()


def read_revisions(folder: Path) -> bytes:
    """Return each day's newest revision, for the next leader; b"" without any."""
    files = _choose_newest(read_earlier(folder), read_index(folder).files)
    return msgspec.json.encode([files[day] for day in sorted(files)]) if files else b""


def adopt_revisions(folder: Path, content: bytes) -> None:
    """Go on from the revisions of an earlier leader. Raises ValueError, OSError."""
    _REVISIONS.decode(content)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / EARLIER_FILE, content, mode=0o644)


def _choose_newest(earlier: Iterable[DumpFile], own: Iterable[DumpFile]) -> Mapping[str, DumpFile]:
    """Return each day's file with the greater revision; of equal ones the earlier."""
    newest = {file.day: file for file in own}
    for file in earlier:
        if file.day not in newest or newest[file.day].revision <= file.revision:
            newest[file.day] = file
    return newest


def dump_name(day: str) -> str:
    return f"cells-{day}.parquet"


def list_due_days(
    days: Sequence[tuple[int, int]],
    changed_us_by_day: Mapping[str, int],
    oldest_us: int,
    now_us: int,
) -> list[tuple[int, int]]:
    """List (midnight, last changed) of finished days with outdated files.

    The newest day comes first.
    """
    return [
        (day_us, changed_us)
        for day_us, changed_us in sorted(days, reverse=True)
        if day_us >= oldest_us
        and day_us + DAY_US + GRACE_US <= now_us
        and changed_us != changed_us_by_day.get(format_day(day_us))
    ]


async def write_day(
    store: Store, dump_store: DumpStore, day_us: int, changed_us: int, now_us: int
) -> bool:
    """Write a day hour by hour, to hold at most the cells of one hour in memory.

    Returns whether the file changed. Raises StoreError, OSError; the previous file then remains.
    """
    day = format_day(day_us)
    file = DayFile(
        dump_store.folder / dump_name(day),
        day_us,
        dump_store.k_anonymity,
        dump_store.license_name,
    )
    disclosure = Disclosure(dump_store.k_anonymity, dump_store.services, now_us)
    try:
        for since_us in range(day_us, day_us + DAY_US, HOUR_US):
            window = CellFilter(since_us=since_us, until_us=since_us + HOUR_US, bin_s=BIN_S)
            cells = await store.cells(window)
            await asyncio.to_thread(_add_cells, file, cells, disclosure)
        written = await asyncio.to_thread(file.close)
    finally:
        file.abandon()
    return dump_store.record_dump(day, changed_us, written, format_second(now_us))


def _add_cells(file: DayFile, cells: Sequence[Cell], disclosure: Disclosure) -> None:
    file.add(disclosure.release(cells))


class DumpWriter:
    """Write daily files and keep them for `retention_days`.

    `run` belongs in the collector's TaskGroup.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        clock: Clock,
        *,
        expiry: ExpiryTime,
        k_anonymity: int,
        retention_days: int,
        services: Collection[str],
        license_name: str = DEFAULT_LICENSE,
        history: HistoryWriter | None,
        running_day: RunningDay | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._expiry = expiry
        self._folder = folder
        self._k_anonymity = k_anonymity
        self._services = services
        self._license_name = license_name
        self._history = history
        self._running_day = running_day
        self._retention_us = retention_days * DAY_US
        self._dump_store: DumpStore | None = None
        self._has_checked_all = False  # the days before this process were checked

    async def run(self) -> None:
        while True:
            is_done = await self.run_round()
            await asyncio.sleep(_IDLE_PAUSE_S if is_done else _BUSY_PAUSE_S)

    async def run_round(self) -> bool:
        """Run one round and return whether nothing is left to do."""
        try:
            is_done = await self._write_due_days()
            if self._running_day is not None:
                await self._running_day.follow(self._clock.wall_us())
            return is_done
        except (StoreError, OSError) as error:
            log.warning("Daily files are late: %s", error)
            return True

    async def _write_due_days(self) -> bool:
        if self._dump_store is None:
            self._dump_store = await asyncio.to_thread(
                DumpStore.open,
                self._folder,
                self._k_anonymity,
                self._services,
                self._license_name,
            )
        dump_store = self._dump_store
        now_us = self._clock.wall_us()
        oldest_us = (self._expiry.expiry_us() - self._retention_us) // DAY_US * DAY_US
        since_us = max(oldest_us, now_us - _MAX_LATENESS_US) if self._has_checked_all else oldest_us
        due_days = list_due_days(
            await self._store.cell_days(since_us), dump_store.changed_us_by_day, oldest_us, now_us
        )
        await asyncio.to_thread(dump_store.drop_before, format_day(oldest_us))
        for day_us, changed_us in due_days[:DAYS_PER_ROUND]:
            if await write_day(self._store, dump_store, day_us, changed_us, now_us):
                log.info("Daily file %s written.", dump_name(format_day(day_us)))
            await asyncio.to_thread(dump_store.save_index)
        self._has_checked_all = self._has_checked_all or len(due_days) <= DAYS_PER_ROUND
        is_done = len(due_days) <= DAYS_PER_ROUND
        if self._history is None:
            return is_done
        return await asyncio.to_thread(self._history.follow, dump_store.files) and is_done


async def export_days(
    store: Store,
    folder: Path,
    k_anonymity: int,
    services: Collection[str],
    since_us: int,
    until_us: int,
    now_us: int,
    on_day: Callable[[str], None],
    license_name: str = DEFAULT_LICENSE,
) -> list[DumpFile]:
    """Write the files of finished days of [since, until), and a README.json.

    The README.json describes the columns. Raises StoreError, OSError.
    """
    dump_store = await asyncio.to_thread(
        DumpStore.open, folder, k_anonymity, services, license_name
    )
    days = [day for day in await store.cell_days(since_us) if day[0] < until_us]
    written_files: list[DumpFile] = []
    for day_us, changed_us in reversed(list_due_days(days, {}, since_us, now_us)):
        day = format_day(day_us)
        on_day(day)
        await write_day(store, dump_store, day_us, changed_us, now_us)
        dump_store.changed_us_by_day.clear()  # the folder may be published, and these are exact
        await asyncio.to_thread(dump_store.save_index)
        written_files += [dump_store.files[day]] if day in dump_store.files else []
    dictionary = msgspec.json.format(
        msgspec.json.encode(build_dictionary(k_anonymity, license_name)), indent=1
    )
    await asyncio.to_thread((folder / "README.json").write_bytes, dictionary + b"\n")
    return written_files
