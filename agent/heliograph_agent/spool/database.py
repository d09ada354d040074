"""Open the spool's database in any state, and repair it if necessary.

During a shutdown nobody is there to delete a damaged file, so the agent must start without help.

An intact file is opened. A damaged one is moved to `.salvaging`; its intact rows are copied to
`.copy`, which takes the place of the file; then `.salvaging` becomes `.damaged`. A start after a
kill that finds `.salvaging` alone continues from there. A file of an earlier version is copied in
the same way, and then erased with its `.damaged`, because these show results.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from heliograph.clock import Clock
from heliograph.durable_file import move_file, sync_folder
from heliograph_agent.platform.file_lock import (
    lock_exclusive,
    lock_shared,
    open_lock_file,
    share_lock_again,
)
from heliograph_agent.spool import schema
from heliograph_agent.spool.operations import SpoolOperations
from heliograph_agent.spool.priority import SpoolError
from heliograph_agent.spool.quota import journal_pages
from heliograph_agent.spool.row_cipher import RowCipher
from heliograph_agent.spool.salvage import (
    COLUMNS,
    DAMAGE,
    ClearRow,
    erase_file,
    has_own_header,
    salvage_rows,
)
from heliograph_agent.spool.schema import PAGE, SEQUENCED, VERSION
from heliograph_agent.spool.sealing import BatchSealer

BUSY_S = 5.0
MAX_SEQUENCE = 1 << 62  # above every wall clock in microseconds, and far below SQLite's last number
# Errors of the disk, the lock or the process, never of the file itself.
ENVIRONMENT_ERRORS = frozenset(
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
# A full disk lacks room for the journal's index (-shm).
LACKS_SHARED_MEMORY = frozenset(
    {
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
    }
)


class SpoolDatabase:
    """Open the database file, which other processes may read and one may repair."""

    def __init__(self, path: Path, sealer: BatchSealer, clock: Clock, limit_bytes: int) -> None:
        self.path = path
        self._sealer = sealer
        self._cipher = RowCipher()  # of this process, however often the file is opened
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._lock: int | None = None

    def open(self, *, is_suspect: bool = False) -> SpoolOperations:
        """Open or repair the file. Raises sqlite3.Error, OSError or SpoolError.

        With `is_suspect`, because SQLite met damage, it is repaired even if the check finds none.
        """
        try:
            return self._open_checked(is_suspect=is_suspect, is_exclusive=False)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) not in LACKS_SHARED_MEMORY:
                raise
        return self._open_checked(is_suspect=is_suspect, is_exclusive=True)

    def _open_checked(self, *, is_suspect: bool, is_exclusive: bool) -> SpoolOperations:
        self._take_shared_lock()
        salvaging = self._sibling_path("salvaging")
        is_new = not self.path.exists() and not salvaging.exists()
        if not is_new and (
            is_suspect
            or not self.path.exists()
            or _find_sound_version(self.path, is_exclusive=is_exclusive) != VERSION
        ):
            self._repair(salvaging)
        db = _connect(self.path, self._limit_bytes, is_exclusive=is_exclusive)
        try:
            return self._prepare(db, is_new=is_new)
        except BaseException:
            db.close()
            raise

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _prepare(self, db: sqlite3.Connection, *, is_new: bool) -> SpoolOperations:
        """Prepare tables and sequences in one transaction, so that a kill undoes all."""
        operations = self._make_operations(db)
        operations.quota.limit_pages()
        db.execute("BEGIN IMMEDIATE")
        if not _read_version(db):
            schema.create_tables(db)
        operations.drop_doubtful()
        operations.raise_sequences(
            is_doubtful=is_new and operations.sequence_marks.read_marks() is not None
        )
        operations.offer_forked_again()
        operations.open_rows.may_send_orphans = self._is_alone()
        db.execute("COMMIT")
        if is_new:
            sync_folder(self.path.parent)
        return operations

    def _make_operations(self, db: sqlite3.Connection) -> SpoolOperations:
        return SpoolOperations(
            db, self.path, self._clock, self._limit_bytes, self._cipher, self._sealer
        )

    def _take_shared_lock(self) -> int:
        if self._lock is None:
            handle = open_lock_file(self._sibling_path("lock"))
            if not lock_shared(handle):
                os.close(handle)
                raise SpoolError(f"Another process is mending {self.path}: try again.")
            self._lock = handle
        return self._lock

    def _is_alone(self) -> bool:
        """Return whether no other process has the file open, whose rows are no orphans."""
        with suppress(SpoolError), self._take_exclusive_lock():
            return True
        return False

    def _repair(self, salvaging: Path) -> None:
        """Move the damaged file aside and replace it with a copy of its intact rows.

        After a kill at any point, the next start continues from there.
        """
        with self._take_exclusive_lock():
            _move_database(self.path, salvaging)
            copy = self._sibling_path("copy")
            for leftover in ("", "-journal", "-wal", "-shm"):
                Path(f"{copy}{leftover}").unlink(missing_ok=True)
            version = _find_sound_version(salvaging)
            has_clear_rows = self._salvage(salvaging, copy, is_damaged=not 0 < version < VERSION)
            move_file(copy, self.path)
            damaged = self._sibling_path("damaged")
            if has_clear_rows or 0 < version < VERSION:
                for leftover in ("", "-wal", "-shm"):
                    erase_file(Path(f"{damaged}{leftover}"))
                    erase_file(Path(f"{salvaging}{leftover}"))
            else:
                _move_database(salvaging, damaged)

    def _salvage(self, damaged: Path, copy: Path, *, is_damaged: bool) -> bool:
        """Copy the intact rows; return whether some of them were readable."""
        os.close(os.open(copy, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(_open_connection(copy)) as target:
            target.execute(f"PRAGMA page_size = {PAGE}")
            target.execute("BEGIN")
            schema.create_tables(target)
            clear_rows = salvage_rows(damaged, self._sibling_path("head"), target)
            operations = self._make_operations(target)
            doubtful_through = operations.drop_doubtful()
            if is_damaged:
                operations.drop_rows_older_than_envelopes()
            operations.raise_sequences(is_doubtful=True)
            self._encrypt_rows(operations, clear_rows, doubtful_through)
            operations.count_gap("damaged", int(is_damaged))
            target.execute("COMMIT")
        return bool(clear_rows)

    def _encrypt_rows(
        self, operations: SpoolOperations, clear_rows: list[ClearRow], doubtful_through: int
    ) -> None:
        """Insert the rows of an earlier version; those that may have arrived are dropped."""
        for row, priority, stored_us in clear_rows:
            if row.sequence <= doubtful_through:
                operations.count_gap("unreadable", 1)
                continue
            try:
                operations.open_rows.insert(row, priority, stored_us, self._sealer)
            except sqlite3.Error:
                raise
            except Exception as error:
                raise SpoolError(
                    f"Cannot seal what an earlier version left in {self.path} ({error}): "
                    "make the agent's key readable."
                ) from error

    @contextmanager
    def _take_exclusive_lock(self) -> Iterator[None]:
        handle = self._take_shared_lock()
        if not lock_exclusive(handle):
            share_lock_again(handle)
            raise SpoolError(
                f"{self.path} is damaged and another process has it open: stop that one first."
            )
        try:
            yield
        finally:
            share_lock_again(handle)

    def _sibling_path(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{ending}")


def _find_sound_version(path: Path, *, is_exclusive: bool = False) -> int:
    """Return an intact file's version; VERSION if it is empty, 0 if it is damaged."""
    if not (path.exists() and has_own_header(path)):
        return 0
    try:
        with closing(_open_connection(path, is_exclusive=is_exclusive)) as db:
            ((verdict,),) = db.execute("PRAGMA integrity_check(1)").fetchall()
            tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            names = {name for (name,) in tables} - {"sqlite_sequence"}
            version = _read_version(db)
            if version == VERSION and not _has_sound_tables(db):
                return 0
    except DAMAGE as error:
        if isinstance(error, sqlite3.Error) and _sqlite_code(error) in ENVIRONMENT_ERRORS:
            raise
        return 0
    if verdict != "ok":
        return 0
    if not (names or version):
        return VERSION
    is_known_version = 0 < version <= VERSION
    return version if is_known_version and names - {"epoch"} == set(COLUMNS) else 0


def _has_sound_tables(db: sqlite3.Connection) -> bool:
    """Return whether the last numbers are possible. Raises DAMAGE for missing columns."""
    for table, columns in COLUMNS.items():  # a flipped bit may rename one
        db.execute(f"SELECT {columns} FROM {table} LIMIT 0")  # noqa: S608 names of ours
    last_by_table = dict(db.execute("SELECT name, seq FROM sqlite_sequence"))
    for table in SEQUENCED:
        ((highest,),) = db.execute(f"SELECT coalesce(max(sequence), 0) FROM {table}")  # noqa: S608 names of ours
        last = last_by_table.pop(table, 0)
        if not (isinstance(last, int) and highest <= last < MAX_SEQUENCE):
            return False
    return not last_by_table


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file itself is damaged, not the disk, lock or statement."""
    return _sqlite_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _sqlite_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _connect(path: Path, limit_bytes: int, *, is_exclusive: bool) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # its journal inherits the mode
    db = _open_connection(path, is_exclusive=is_exclusive)
    journal = journal_pages(limit_bytes)
    try:
        for pragma in (
            f"page_size = {PAGE}",
            "journal_mode = WAL",
            "synchronous = FULL",  # a commit is on the disk when it returns
            "secure_delete = ON",  # no free page may show results that were sealed
            "cache_size = -1024",
            f"wal_autocheckpoint = {journal}",
            f"journal_size_limit = {2 * journal * PAGE}",
        ):
            db.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _open_connection(path: Path, *, is_exclusive: bool = False) -> sqlite3.Connection:
    """Connect; `is_exclusive` avoids shared memory, so that a full disk is readable."""
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        if is_exclusive:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _read_version(db: sqlite3.Connection) -> int:
    ((version,),) = db.execute("PRAGMA user_version").fetchall()
    return int(version)


def _move_database(source: Path, target: Path) -> None:
    """Move a database, then its journal, which is useless without the database."""
    if source.exists():
        for leftover in ("-wal", "-shm"):
            Path(f"{target}{leftover}").unlink(missing_ok=True)
        source.replace(target)
    with suppress(FileNotFoundError):
        Path(f"{source}-wal").replace(f"{target}-wal")
    Path(f"{source}-shm").unlink(missing_ok=True)
    sync_folder(source.parent)
