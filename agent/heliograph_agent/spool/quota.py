"""Limit the spool's size by its bound and by the free space of the disk.

A database in WAL mode needs disk space even to delete rows, because deletions are written to the
journal first. So the file stops growing while the journal, and the pages that the journal will add
to the file, still fit.
"""

import shutil
import sqlite3
from pathlib import Path

from heliograph_agent.spool.schema import PAGE

JOURNAL_PART = 64  # one part in so many of the bound for the journal, which can double for a moment
LEAST_PAGES = 32
SLACK = 16  # one part in so many is reserved for P0 and P1
SPARE_BYTES = 262_144  # of the disk, left to other programs


def journal_pages(limit_bytes: int) -> int:
    """Return the size of the journal in pages at which it is written back."""
    return max(16, limit_bytes // JOURNAL_PART // PAGE)


class Quota:
    """Measure the use of the database file, and set its limit."""

    def __init__(self, db: sqlite3.Connection, path: Path, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._db = db
        self._path = path
        self._journal = Path(f"{path}-wal")
        self._max_pages = max(LEAST_PAGES, limit_bytes // PAGE - 2 * journal_pages(limit_bytes))
        self._pages = self._max_pages

    def limit_pages(self) -> None:
        """Limit the file to the pages that the disk can hold. Raises OSError."""
        pages = (
            self._max_pages if self._disk_has_room() else min(self._max_pages, self._page_count())
        )
        self._db.execute(f"PRAGMA max_page_count = {pages}")
        self._pages = pages

    def used_bytes(self) -> int:
        ((free,),) = self._db.execute("PRAGMA freelist_count").fetchall()
        return (self._page_count() - int(free)) * PAGE

    @property
    def soft_limit(self) -> int:
        """Return the bytes above which only P0 and P1 are stored."""
        return self._pages * PAGE * (SLACK - 1) // SLACK

    @property
    def step_bytes(self) -> int:
        """Return the bytes to free in one step."""
        return self._pages * PAGE // JOURNAL_PART

    def _disk_has_room(self) -> bool:
        reserved_bytes = max(0, self._page_count() * PAGE - self._path.stat().st_size)
        journal = self._journal.stat().st_size if self._journal.exists() else 0
        needed_bytes = max(0, journal_pages(self.limit_bytes) * PAGE * 5 // 4 - journal)
        free_bytes = shutil.disk_usage(self._path.parent).free
        return free_bytes - reserved_bytes > needed_bytes + SPARE_BYTES

    def _page_count(self) -> int:
        ((pages,),) = self._db.execute("PRAGMA page_count").fetchall()
        return int(pages)
