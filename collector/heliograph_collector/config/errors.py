"""The exception that explains why a collector does not start, and its sentences."""

import errno
import sqlite3
from pathlib import Path

_TAKEN_PORTS = {
    "grpc": (
        "{address} cannot be listened on, it is probably taken: "
        "stop what listens there, or say --grpc HOST:PORT."
    ),
    "http": (
        "{address} cannot be listened on ({reason}): "
        "stop what listens there, or say --http HOST:PORT."
    ),
    "post": "{address} cannot be listened on: free it, or say --post HOST:PORT.",
    "echo": "{address} cannot be listened on: free it, or say --echo HOST:PORT.",
    "dns": (
        "{address} cannot be listened on (ports below 1024 need a right of their own): "
        "free it, or correct dns.listen."
    ),
}

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


class CannotServeError(Exception):
    """The collector cannot start; its operator can remove the cause.

    The text is a sentence for the operator.
    """


def explain_taken_port(listener: str, address: str, reason: str | None = "") -> CannotServeError:
    """Explain that a listener (grpc, http, post, echo or dns) cannot have its address."""
    return CannotServeError(_TAKEN_PORTS[listener].format(address=address, reason=reason))


def describe_os_error(path: Path | str, error: OSError) -> str:
    """Describe in a sentence why a path cannot be used, with the cure."""
    return f"{path} cannot be used ({error.strerror}): {_find_cure(error.errno)}."


def describe_database_error(file: Path | str, error: sqlite3.Error) -> str:
    """Describe in a sentence why a SQLite file cannot be used, with the cure."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code; the module's has none
    return f"{file} cannot be used ({error}): {_DATABASE_CURES.get(code, _RESTORE)}."


def _find_cure(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return _FREE_SPACE
    return _MAKE_WRITABLE if number in (errno.EROFS, errno.EACCES, errno.EPERM) else _OTHER_PLACE


def explain_unusable_directory(directory: Path, error: OSError) -> CannotServeError:
    return CannotServeError(describe_os_error(directory, error))


def explain_unusable_store(error: Exception) -> CannotServeError:
    return CannotServeError(f"{error} Correct store.url.")


def explain_unusable_database(file: Path, error: sqlite3.Error) -> CannotServeError:
    return CannotServeError(describe_database_error(file, error))
