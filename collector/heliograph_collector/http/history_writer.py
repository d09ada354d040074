"""Keep the history of past days up with the daily files."""

import logging
from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path

from heliograph_collector.http.api.parameter_types import read_time
from heliograph_collector.http.history_rows import read_day_rows
from heliograph_collector.model.published.files import DumpFile
from heliograph_collector.store.history import RUNNING, HistoryTable

log = logging.getLogger("heliograph.dumps")
DAYS_PER_ROUND = 16  # of a second each at most; the next round follows soon


class HistoryWriter:
    """Make the rows of each day whose daily file is new or was written again."""

    def __init__(self, folder: Path, file: Path) -> None:
        """`folder` has the daily files, `file` is the history."""
        self._folder = folder
        self._file = file

    def follow(self, files: Mapping[str, DumpFile]) -> bool:
        """Process new daily files, the newest first, some days at a time, in a thread.

        Returns whether nothing is left to do. Raises StoreError.
        """
        by_day = {read_time(f"{day}T00:00:00Z"): file for day, file in files.items()}
        with closing(HistoryTable(self._file)) as history:
            digests = history.read_digests()
            for day_us in digests.keys() - by_day.keys():
                # A day in progress keeps its rows until its file is there.
                if not digests[day_us].startswith(RUNNING) or day_us < min(by_day, default=0):
                    history.drop_day(day_us)
            due = [d for d in sorted(by_day, reverse=True) if digests.get(d) != by_day[d].sha256]
            added = (self._add_day(history, day_us, by_day[day_us]) for day_us in due)
            count = sum(islice(filter(None, added), DAYS_PER_ROUND))
        return count < DAYS_PER_ROUND

    def _add_day(self, history: HistoryTable, day_us: int, file: DumpFile) -> bool:
        try:
            rows = read_day_rows([self._folder / file.name], day_us)
        except OSError as error:  # a file that somebody took away must not stop the others
            log.warning("The history has no %s: %s", file.day, error)
            history.drop_day(day_us)  # rather absent than measured and empty
            return False
        history.replace_day(day_us, file.sha256, rows)
        return True
