"""A cause is named with its cure: a full disk is no reason to restore a backup."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path

import pytest

from heliograph_collector.cli import CommandError, serve
from heliograph_collector.config.settings import Config
from heliograph_collector.store.disk_errors import describe_database_error
from heliograph_collector.store.journal.journal import JournalFullError


def test_full_database_wants_space_and_damaged_one_a_backup(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        db.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.Error) as full:
            db.executescript("CREATE TABLE a (b); CREATE TABLE c (d); CREATE TABLE e (f);")
    assert "free space" in describe_database_error("a.db", full.value)
    assert "restore a backup" in describe_database_error("a.db", sqlite3.DatabaseError("damaged"))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/d/keys"), "/d/keys .*: free space"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/d"), "/d .*: make it writable"),
        (JournalFullError("The journal cannot grow: free space."), "cannot grow"),
        (sqlite3.DatabaseError("malformed"), "restore a backup"),
    ],
)
def test_part_that_fails_ends_the_collector_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def fail(work: Coroutine[object, object, int]) -> int:
        work.close()
        raise ExceptionGroup("parts", [ExceptionGroup("inner", [error])])

    monkeypatch.setattr(asyncio, "run", fail)
    monkeypatch.setattr(serve, "configure_logging", len)
    with pytest.raises(CommandError, match=says):
        serve.serve(Config(data=tmp_path))
