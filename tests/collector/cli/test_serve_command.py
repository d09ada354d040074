"""A failed start prints its cause and its cure; a log line is one line of JSON."""

import asyncio
import errno
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from heliograph_collector.app import startup
from heliograph_collector.app.log_lines import JsonLines
from heliograph_collector.cli import CommandError, serve
from heliograph_collector.config.errors import CannotServeError
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_full_disk_under_the_output_of_a_command_is_named_as_such(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        words = ["-m", "heliograph_collector", "sources", "list", "--data", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "stdout cannot be used (No space left on device): free space" in done.stderr
    assert done.stderr.count("\n") == 1


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


@pytest.mark.parametrize("is_stopped", [True, False])
def test_signal_that_ends_ingest_as_it_starts_is_no_failed_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_stopped: bool
) -> None:
    """systemd sends SIGTERM to all processes of the unit, and ingest may be the first to end."""

    @asynccontextmanager
    async def start(_: Config) -> AsyncIterator[None]:
        if is_stopped:
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
        raise CannotServeError("The ingest process did not start (status -15).")
        yield

    monkeypatch.setattr(startup, "run_collector", start)
    monkeypatch.setattr(serve, "configure_logging", len)
    if is_stopped:
        assert serve.serve(Config(data=tmp_path)) == 0
    else:
        with pytest.raises(CommandError, match="status -15"):
            serve.serve(Config(data=tmp_path))


def line(message: str, *args: object, error: BaseException | None = None) -> str:
    trace = (type(error), error, None) if error else None
    record = logging.LogRecord("heliograph.x", logging.WARNING, "f", 1, message, args, trace)
    record.created = 1_641_390_200.5
    return JsonLines().format(record)


def test_event_with_its_trace_is_one_line() -> None:
    text = line("The store is\n%d rows behind: «%s».", 7, "x", error=KeyError("x"))
    assert "\n" not in text
    assert json.loads(text) == {
        "time": "2022-01-05T13:43:20.500+00:00",
        "level": "warning",
        "logger": "heliograph.x",
        "message": "The store is\n7 rows behind: «x».",
        "error": "KeyError: 'x'",
    }
    assert "error" not in json.loads(line("well"))
