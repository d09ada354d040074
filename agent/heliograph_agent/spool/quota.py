"""Bound the spool's size by its own limit and by the free space of the disk.

A database in WAL mode needs disk space even to delete rows, because they go through the journal. So
it stops growing while the journal, and what the journal will add to the file, still fit.
"""

import os
import sqlite3
from pathlib import Path

from heliograph_agent.spool.schema import PAGE

JOURNAL_PART = 64  # of the bound; the journal is twice that for a moment
LEAST_PAGES = 32
SLACK = 16  # one part in so many is for P0 and P1 alone
SPARE_BYTES = 262_144  # left to others when the journal has all it needs


def journal_pages(limit_bytes: int) -> int:
    """Return after how many pages the journal is written back into the file."""
    return max(16, limit_bytes // JOURNAL_PART // PAGE)


class Quota:
    def __init__(self, db: sqlite3.Connection, path: Path, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._db = db
        self._path = path
        self._journal = Path(f"{path}-wal")
        self._max_pages = max(LEAST_PAGES, limit_bytes // PAGE - 2 * journal_pages(limit_bytes))
        self._pages = self._max_pages

    def limit_pages(self) -> None:
        """Bound the file by what the disk can still take. Raises OSError."""
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
        """Above this only P0 and P1 are taken."""
        return self._pages * PAGE * (SLACK - 1) // SLACK

    @property
    def step_bytes(self) -> int:
        """Bytes to thin at a time."""
        return self._pages * PAGE // JOURNAL_PART

    def _disk_has_room(self) -> bool:
        disk = os.statvfs(self._path.parent)
        reserved_bytes = max(0, self._page_count() * PAGE - self._path.stat().st_size)
        journal = self._journal.stat().st_size if self._journal.exists() else 0
        needed_bytes = max(0, journal_pages(self.limit_bytes) * PAGE * 5 // 4 - journal)
        return disk.f_bavail * disk.f_frsize - reserved_bytes > needed_bytes + SPARE_BYTES

    def _page_count(self) -> int:
        ((pages,),) = self._db.execute("PRAGMA page_count").fetchall()
        return int(pages)
