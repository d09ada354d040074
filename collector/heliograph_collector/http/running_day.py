"""Add the hours of the day in progress to the history, with today's cuts.

An hour is written a while after its end into a separate file, in the form of the daily files, and
the day's rows are rebuilt from these. The hour before is written once more, because most late data
come soon; the daily file has the rest when the day is over.
"""

import asyncio
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.aggregate.disclosure import BIN_S, Disclosure
from heliograph_collector.http.api.parquet import DayFile
from heliograph_collector.http.history_rows import read_day_rows
from heliograph_collector.model.filters import CellFilter
from heliograph_collector.store.history import RUNNING, HistoryTable
from heliograph_collector.store.store import Store

FOLDER = "running-day"  # in the data directory; it can be deleted
_GRACE_US = 10 * MINUTE_US  # after an hour's end; most data of it have arrived then
_REWRITTEN_HOURS = 2


class RunningDay:
    """Keeps the rows of the day in progress up to its last hour."""

    def __init__(
        self, store: Store, folder: Path, file: Path, k: int, services: Collection[str]
    ) -> None:
        """`folder` is for the hours alone, `file` is the history."""
        self._store = store
        self._folder = folder
        self._file = file
        self._k = k
        self._services = services
        self._end_us = 0  # of the last hour that is written

    async def follow(self, now_us: int) -> None:
        """Write the hours that are over. Raises StoreError, OSError."""
        day_us = now_us // DAY_US * DAY_US
        end_us = (now_us - _GRACE_US) // HOUR_US * HOUR_US
        if end_us <= max(day_us, self._end_us):
            return
        await asyncio.to_thread(self._drop_files, day_us)
        rewritten_us = end_us - _REWRITTEN_HOURS * HOUR_US
        for since_us in range(day_us, end_us, HOUR_US):
            if since_us >= rewritten_us or not self._hour_file(since_us).exists():
                await self._write_hour(day_us, since_us, now_us)
        await asyncio.to_thread(self._replace_rows, day_us, end_us)
        self._end_us = end_us

    async def _write_hour(self, day_us: int, since_us: int, now_us: int) -> None:
        window = CellFilter(since_us=since_us, until_us=since_us + HOUR_US, bin_s=BIN_S)
        cells = await self._store.cells(window)
        file = DayFile(self._hour_file(since_us), day_us, self._k)
        disclosure = Disclosure(self._k, self._services, now_us)
        try:
            await asyncio.to_thread(lambda: file.add(disclosure.release(cells)))
            await asyncio.to_thread(file.close)
        finally:
            file.abandon()

    def _hour_file(self, since_us: int) -> Path:
        return self._folder / f"{since_us // HOUR_US}.parquet"

    def _drop_files(self, day_us: int) -> None:
        """Drop files of other days, and of another process, whose plan or k was another."""
        self._folder.mkdir(parents=True, exist_ok=True)
        hours = range(day_us, day_us + DAY_US, HOUR_US)
        current_files = {self._hour_file(at) for at in hours} if self._end_us else set()
        for file in set(self._folder.iterdir()) - current_files:
            file.unlink()

    def _replace_rows(self, day_us: int, end_us: int) -> None:
        hours = [self._hour_file(at) for at in range(day_us, end_us, HOUR_US)]
        rows = read_day_rows([file for file in hours if file.exists()], day_us)
        with closing(HistoryTable(self._file)) as history:
            history.replace_day(day_us, f"{RUNNING}{end_us}", rows)
