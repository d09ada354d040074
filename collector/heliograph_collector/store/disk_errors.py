"""Sentences on files and databases that cannot be used, each with its cure."""

import errno
import sqlite3
from pathlib import Path

_FREE_SPACE = "free space on its disk"
_MAKE_WRITABLE = "make it writable for the collector's user, or name another --data directory"
_OTHER_PLACE = "name another --data directory"
_RESTORE = "restore a backup into an empty --data directory"
# A full disk is IOERR too, where the file of shared memory beside the database cannot grow.
_DATABASE_CURES = {
    sqlite3.SQLITE_FULL: _FREE_SPACE,
    sqlite3.SQLITE_IOERR: f"{_FREE_SPACE}, or replace the disk",
    sqlite3.SQLITE_READONLY: _MAKE_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: _MAKE_WRITABLE,
    sqlite3.SQLITE_PERM: _MAKE_WRITABLE,
    sqlite3.SQLITE_BUSY: "stop the other program that writes it",
}


def describe_os_error(path: Path | str, error: OSError) -> str:
    """Describe in a sentence why a path cannot be used, with the cure."""
    return f"{path} cannot be used ({error.strerror}): {_find_cure(error.errno)}."


def describe_database_error(file: Path | str, error: sqlite3.Error) -> str:
    """Describe in a sentence why a SQLite file cannot be used, with the cure."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code; the module's has none
    return f"{file} cannot be used ({error}): {_DATABASE_CURES.get(code, _RESTORE)}."


def describe_file_error(error: OSError | sqlite3.Error, data: Path) -> str:
    """Describe an error from opening a data directory or its fleet database."""
    if isinstance(error, OSError):
        return describe_os_error(data, error)
    return describe_database_error(data / "fleet.db", error)


def describe_cause(error: OSError | sqlite3.Error, data: Path) -> str:
    """Describe an error of a running collector over its data directory; "" for a bug."""
    if isinstance(error, sqlite3.Error):
        return describe_database_error(f"A database in {data}", error)
    return describe_os_error(error.filename or data, error) if error.errno else ""


def _find_cure(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return _FREE_SPACE
    if number == errno.ENOENT:
        return "name one that is there"
    return _MAKE_WRITABLE if number in (errno.EROFS, errno.EACCES, errno.EPERM) else _OTHER_PLACE
