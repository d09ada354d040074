"""Opens the spool's database whatever state it is in: check, salvage, move aside, go on.

An agent that will not start until somebody deletes a file is no use on the day it was made for.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from heliograph.clock import Clock
from heliograph_agent.spool import schema
from heliograph_agent.spool.operations import Book
from heliograph_agent.spool.priority import SpoolError
from heliograph_agent.spool.quota import journal_pages
from heliograph_agent.spool.salvage import COLUMNS, DAMAGE, has_our_head, salvage
from heliograph_agent.spool.schema import PAGE

BUSY_S = 5.0
# What is said of the disk, the lock or the process, and never of the file itself.
OUTSIDE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)


class Shelf:
    """Where the book lies. Other processes may read it; only one at a time may mend it."""

    def __init__(self, path: Path, clock: Clock, limit_bytes: int) -> None:
        self.path = path
        self._clock = clock
        self._limit = limit_bytes
        self._lock: int | None = None

    def open(self, *, suspect: bool = False) -> Book:
        """Raises sqlite3.Error, OSError or SpoolError when there is no way to a usable file now.

        `suspect` when SQLite itself met damage: then the file is mended whatever the check says.
        """
        try:
            return self._open(suspect=suspect, alone=False)
        except sqlite3.OperationalError as error:
            if not _lacks_shared_memory(error):
                raise
        return self._open(suspect=suspect, alone=True)

    def _open(self, *, suspect: bool, alone: bool) -> Book:
        self._share()
        salvaging = self._beside("salvaging")
        fresh = not self.path.exists() and not salvaging.exists()
        if not fresh and (suspect or not self.path.exists() or not self._sound(alone=alone)):
            self._mend(salvaging)
        with ExitStack() as undo:
            db = undo.enter_context(closing(_connect(self.path, self._limit, alone=alone)))
            book = self._book(db, fresh=fresh)
            undo.pop_all()
        return book

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _book(self, db: sqlite3.Connection, *, fresh: bool) -> Book:
        """Tables and numbers in one transaction: killed here, the next start begins again."""
        book = Book(db, self.path, self._clock, self._limit)
        book.room.fit()
        db.execute("BEGIN IMMEDIATE")
        version = _version(db)
        if not version:
            schema.create(db)
        elif version < schema.VERSION:
            schema.upgrade(db)
        book.forget_doubtful()
        book.raise_sequences(doubtful=fresh and book.floor.read() is not None)
        db.execute("COMMIT")
        if fresh:
            _sync_directory(self.path.parent)
        return book

    def _share(self) -> int:
        if self._lock is None:
            handle = os.open(self._beside("lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                raise SpoolError(f"Another process is mending {self.path}: try again.") from None
            self._lock = handle
        return self._lock

    def _sound(self, *, alone: bool) -> bool:
        """Whether SQLite finds its own structure whole, and the tables ours."""
        if not has_our_head(self.path):
            return False
        try:
            with closing(_look(self.path, alone=alone)) as db:
                ((verdict,),) = db.execute("PRAGMA integrity_check(1)").fetchall()
                tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
                names = {name for (name,) in tables} - {"sqlite_sequence"}
                version = _version(db)
        except DAMAGE as error:
            if isinstance(error, sqlite3.Error) and _code(error) in OUTSIDE:
                raise
            return False
        known = 0 < version <= schema.VERSION
        ours = names == set(COLUMNS) if known else not (names or version)
        return bool(verdict == "ok" and ours)

    def _mend(self, salvaging: Path) -> None:
        """Move the damaged file aside, copy what can be read, put the copy in its place.

        Killed at any point, the next start goes on from there.
        """
        with self._alone():
            _move(self.path, salvaging)
            copy = self._beside("copy")
            for leftover in ("", "-journal", "-wal", "-shm"):
                Path(f"{copy}{leftover}").unlink(missing_ok=True)
            self._salvage(salvaging, copy)
            copy.replace(self.path)
            _sync_directory(self.path.parent)
            _move(salvaging, self._beside("damaged"))

    def _salvage(self, damaged: Path, copy: Path) -> None:
        os.close(os.open(copy, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(_look(copy)) as new:
            new.execute(f"PRAGMA page_size = {PAGE}")
            new.execute("BEGIN")
            schema.create(new)
            salvage(damaged, self._beside("head"), new)
            book = Book(new, self.path, self._clock, self._limit)
            book.forget_doubtful()
            book.raise_sequences(doubtful=True)
            book.note("damaged", 1)
            new.execute("COMMIT")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        handle = self._share()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpoolError(
                f"{self.path} is damaged and another process has it open: stop that one first."
            ) from None
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_SH)

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{ending}")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is wrong, as against the disk, the lock or the statement."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: sqlite3.Error) -> int:
    """Without what SQLite adds to it for connoisseurs."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _lacks_shared_memory(error: sqlite3.Error) -> bool:
    """A disk that is full to the last byte has no room for the index of the journal."""
    return getattr(error, "sqlite_errorcode", 0) in (
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
    )


def _connect(path: Path, limit_bytes: int, *, alone: bool) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # its journal inherits the mode
    db = _look(path, alone=alone)
    journal = journal_pages(limit_bytes)
    try:
        for pragma in (
            f"page_size = {PAGE}",
            "journal_mode = WAL",
            "synchronous = FULL",  # a commit is on the disk when it returns
            "secure_delete = ON",  # what was sealed is not to be read from a free page
            "cache_size = -1024",
            f"wal_autocheckpoint = {journal}",
            f"journal_size_limit = {2 * journal * PAGE}",
        ):
            db.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _look(path: Path, *, alone: bool = False) -> sqlite3.Connection:
    """`alone` needs no shared memory, and so no disk, to read; then nobody else can."""
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        if alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection) -> int:
    ((version,),) = db.execute("PRAGMA user_version").fetchall()
    return int(version)


def _move(source: Path, target: Path) -> None:
    """A database and its journal; the database first, for nothing reads a journal alone."""
    if source.exists():
        for leftover in ("-wal", "-shm"):
            Path(f"{target}{leftover}").unlink(missing_ok=True)
        source.replace(target)
    with suppress(FileNotFoundError):
        Path(f"{source}-wal").replace(f"{target}-wal")
    Path(f"{source}-shm").unlink(missing_ok=True)
    _sync_directory(source.parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
