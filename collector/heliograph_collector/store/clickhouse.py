"""Access to chDB and clickhouse-connect, which no other module imports.

Faults of the embedded engine that this module avoids, each with a test:
- The output of a failed query precedes the next result of its handle, so an error discards the
  handle.
- The engine may keep answering 216, which discards the handle too.
- It allows one process per path and one path per process, so the directory is locked first.
- A reader must never write, so its handle is made read-only and cannot be changed back.
- Rows reach it by way of files, which `row_files.py` keeps inside the store.
Calls block: the store runs them in its own threads. The libraries are imported at `open`.
"""

import asyncio
import errno
import queue
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar, TypeVarTuple, cast
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from heliograph_collector.store.directory_lock import DirectoryLock
from heliograph_collector.store.disk_errors import describe_os_error
from heliograph_collector.store.engine_stderr import drop_cgroup_trace
from heliograph_collector.store.row_files import RowFiles

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.exceptions import Error

DATABASE = "heliograph"
CLONES = "heliograph_backup"  # database of the clones that a backup reads
READERS = 2
_MIB = 1_048_576
_WEDGED_CODE = 216  # QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING
_TIME_CODES = (159, 160)  # TIMEOUT_EXCEEDED, TOO_SLOW
_LIMIT_BY_CODE = dict.fromkeys(_TIME_CODES, "time") | dict.fromkeys((307, 158), "reading")
_LIMIT_BY_CODE |= {241: "memory", 396: "rows"}
_NO_SPACE_CODES = (243, 76)  # NOT_ENOUGH_SPACE, CANNOT_OPEN_FILE
_DISK_FULL = "The store's disk is full: free space on it."
_NO_DEDUPLICATION = {"insert_deduplicate": "0"}
_LOAD_SETTINGS = {**_NO_DEDUPLICATION, "max_partitions_per_insert_block": "0"}  # years of months

Parameters = Mapping[str, object]
_Settings = Mapping[str, int]
_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


class StoreError(Exception):
    """Failure of the store: a sentence, and the engine's `code` or None."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class TooMuchError(StoreError):
    """Query over its limits; the store keeps working."""


class TooSlowError(TooMuchError):
    """Query over its time, which a busy machine causes as well as a large question."""


async def run_with_deadline(
    pool: ThreadPoolExecutor,
    deadline_s: float,
    operation: Callable[[*_Args], _T],
    *args: *_Args,
) -> _T:
    """Await an operation; after the deadline its thread continues.

    A query has its own limit, and a block is inserted again.
    """
    try:
        async with asyncio.timeout(deadline_s):
            return await asyncio.get_running_loop().run_in_executor(pool, operation, *args)
    except TimeoutError:
        raise StoreError(f"The store did not answer within {deadline_s:.0f} s.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """Limits of the engine inside the collector's process."""

    memory_mib: int = 1_024  # of the whole process, as the engine counts it
    query_mib: int = 384  # per query
    query_s: int = 20
    query_rows: int = 1_000_000  # per answer
    threads: int = 2
    mark_cache_mib: int = 64  # the engine's default is 5 GiB


@dataclass(frozen=True, slots=True)
class _Engine:
    """Engine to connect to: embedded at a directory, or a server at an address."""

    embedded: bool
    location: str
    cluster: str
    limits: StoreLimits

    @classmethod
    def from_url(cls, url: str, limits: StoreLimits) -> "_Engine":
        """Parse `store.url`. Raises StoreError."""
        parts = urlsplit(url)
        if parts.scheme == "chdb" and not parts.netloc and len(parts.path) > 1:
            return cls(True, unquote(parts.path), "", limits)
        if parts.scheme in ("clickhouse", "clickhouses") and parts.hostname:
            scheme = "https" if parts.scheme == "clickhouses" else "http"
            cluster = parse_qs(parts.query).get("cluster", [""])[0]
            return cls(False, urlunsplit((scheme, parts.netloc, "", "", "")), cluster, limits)
        raise StoreError(
            f"{parts.scheme}:… is no store: store.url is chdb:///PATH, clickhouse://HOST:PORT "
            "or clickhouses://HOST:PORT."
        )

    def connect(self, settings: _Settings, database: str) -> "Client":
        from clickhouse_connect import get_client

        if not self.embedded:
            return get_client(
                dsn=self.location, database=database or "default", settings=dict(settings)
            )
        options = {
            "max_server_memory_usage": str(self.limits.memory_mib * _MIB),
            "mark_cache_size": str(self.limits.mark_cache_mib * _MIB),
        }
        with drop_cgroup_trace():
            return get_client(
                interface="chdb",
                path=self.location,
                database=database or None,
                settings=dict(settings),
                chdb_options=options,
            )

    def build_reader_settings(self) -> _Settings:
        """Return a reader's settings in order: nothing can be set after `readonly`."""
        return {
            "max_execution_time": self.limits.query_s,
            "max_memory_usage": self.limits.query_mib * _MIB,
            "max_result_rows": self.limits.query_rows,
            "max_threads": self.limits.threads,
            "do_not_merge_across_partitions_select_final": 1,
            "readonly": 1 if self.embedded else 2,
        }


class WritePermission(Protocol):
    """Permission to write to a shared store. Implemented by lease.JournalLease."""

    @property
    def is_held(self) -> bool: ...


class ClickHouse:
    """One writing and READERS reading handles, to embedded chDB or to a server."""

    def __init__(self, url: str, limits: StoreLimits, permission: WritePermission | None) -> None:
        """Prepare; without a permission, and to an embedded engine, all is written."""
        self._engine = _Engine.from_url(url, limits)
        self._permission = None if self._engine.embedded else permission
        self._lock: DirectoryLock | None = None
        self._files = RowFiles(Path(self._engine.location)) if self._engine.embedded else None
        self._writer = _Handle(self._engine, {"async_insert": 0, "max_threads": limits.threads})
        # One thread: agents and readers matter more than the speed of a backup.
        self._exporter = _Handle(
            self._engine,
            {
                "max_threads": 1,
                "max_memory_usage": limits.query_mib * _MIB,
                "do_not_merge_across_partitions_select_final": 1,
            },
        )
        reader_settings = self._engine.build_reader_settings()
        self._readers = [_Handle(self._engine, reader_settings) for _ in range(READERS)]
        self._idle_readers: queue.SimpleQueue[_Handle] = queue.SimpleQueue()
        for reader in self._readers:
            self._idle_readers.put(reader)

    @property
    def cluster(self) -> str:
        return self._engine.cluster

    @property
    def is_only_writer(self) -> bool:
        """Return whether no other process writes: an embedded store's directory is locked."""
        return self._engine.embedded

    def open(self) -> None:
        """Lock the directory, start the engine and create the database.

        Raises StoreError, DirectoryInUseError.
        """
        location = self._engine.location
        on_cluster = f" ON CLUSTER '{self.cluster}'" if self.cluster else ""
        try:
            if self._engine.embedded:
                self._lock = DirectoryLock(Path(location), "store")
            if self._files is not None:
                self._files.prepare()
            database = _Handle(self._engine, {}, "")
            database.run(_run_command, f"CREATE DATABASE IF NOT EXISTS {DATABASE}{on_cluster}")
            if self._engine.embedded:
                interpreted = database.run(_list_compiler_settings)
                for handle in (self._writer, *self._readers):
                    handle.prepend_settings(interpreted)
            self.command("SELECT 1")
            database.close()
        except StoreError as error:
            self.close()
            if not self._engine.embedded or error.code in _NO_SPACE_CODES:
                raise
            cure = "move it away, then what the journal has comes back; or restore a backup"
            raise StoreError(f"{error} If {location} is damaged, {cure}.", error.code) from error
        except OSError as error:
            self.close()
            raise StoreError(describe_os_error(f"The store {location}", error)) from error

    def close(self) -> None:
        for handle in (self._writer, self._exporter, *self._readers):
            handle.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def command(self, statement: str, parameters: Parameters | None = None) -> None:
        """Run one fixed statement; only the writing thread may call this or other writers."""
        self._check_permission()
        self._writer.run(_run_command, statement, parameters)

    def insert(self, table: str, rows: "pa.Table", deduplication_token: str) -> None:
        """Insert rows; on a server, a block with a known token is ignored."""
        settings = {"insert_deduplication_token": deduplication_token}
        if self._engine.embedded or not deduplication_token:
            settings = _NO_DEDUPLICATION
        if rows.num_rows:
            self._check_permission()
            with self._hold_files():
                self._writer.run(_insert_rows, table, rows, settings)

    def _hold_files(self) -> AbstractContextManager[None]:
        return nullcontext() if self._files is None else self._files.hold()

    def _check_permission(self) -> None:
        if self._permission is not None and not self._permission.is_held:
            raise StoreError("Another collector may lead: this one writes nothing to the store.")

    def export(self, sql: str) -> Generator[bytes, None, None]:
        """Stream the rows of a query in the engine's Native format, all in one thread."""
        yield from self._exporter.stream(sql)

    def query_export(self, sql: str) -> list[tuple[Any, ...]]:
        """Query without a limit of time, in the thread of `export`."""
        return self._exporter.run(_run_query, sql, {}, ())

    def load(self, table: str, columns: Sequence[str], pieces: Iterable[bytes]) -> None:
        """Load what `export` streamed."""
        with self._hold_files():
            self._writer.run(_load_table, table, columns, pieces)

    def query_written(self, sql: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """Query through the writing handle, which surely sees the latest writes."""
        return self._writer.run(_run_query, sql, parameters, ())

    def query(
        self, sql: str, parameters: Parameters, binary_columns: Sequence[str] = ()
    ) -> list[tuple[Any, ...]]:
        """Query through a read-only handle; `binary_columns` are returned as bytes."""
        reader = self._idle_readers.get()
        try:
            return reader.run(_run_query, sql, parameters, binary_columns)
        finally:
            self._idle_readers.put(reader)

    def free_bytes(self) -> int | None:
        """Return the free bytes on the embedded store's disk, None for a server."""
        engine = self._engine
        return shutil.disk_usage(engine.location).free if engine.embedded else None


class _Handle:
    """Client that is discarded after an error and connects again on the next use."""

    def __init__(self, engine: _Engine, settings: _Settings, database: str = DATABASE) -> None:
        self._engine = engine
        self._settings = settings
        self._database = database
        self._client: Client | None = None

    def prepend_settings(self, settings: _Settings) -> None:
        """Put settings before those of this handle, from the next connection on."""
        self._settings = {**settings, **self._settings}

    def run(self, operation: "Callable[[Client, *_Args], _T]", *args: *_Args) -> _T:
        """Run an operation, once more if the engine was wedged. Raises StoreError."""
        from clickhouse_connect.driver.exceptions import Error

        for is_last_try in (False, True):
            try:
                if self._client is None:
                    self._client = self._engine.connect(self._settings, self._database)
                return operation(self._client, *args)
            except Error as error:
                self.close()
                if is_last_try or error.code != _WEDGED_CODE:
                    raise _translate_error(error) from error
            except OSError as error:
                self.close()
                reason = error.strerror or type(error).__name__
                lost = f"The store cannot be reached or written: {reason}."
                raise StoreError(_DISK_FULL if error.errno == errno.ENOSPC else lost) from error
        raise AssertionError("unreachable")

    def stream(self, sql: str) -> Generator[bytes, None, None]:
        """Stream a query's rows. Raises StoreError."""
        from clickhouse_connect.driver.exceptions import Error

        try:
            with self.run(_open_stream, sql) as rows:
                while piece := rows.read(_MIB):
                    yield piece
        except Error as error:
            self.close()
            raise _translate_error(error) from error

    def close(self) -> None:
        client = self._client
        self._client = None
        if client is not None:
            client.close()


def _list_compiler_settings(client: "Client") -> dict[str, int]:
    """Return the settings that keep the engine from compiling queries to machine code.

    The engine compiles a query that it is asked three times. Where no memory may be written and
    then executed (MemoryDenyWriteExecute) such a query fails, with CANNOT_MPROTECT.
    """
    rows = _run_query(
        client, "SELECT name FROM system.settings WHERE startsWith(name, 'compile_')", {}, ()
    )
    return {name: 0 for (name,) in rows}


def _run_command(client: "Client", statement: str, parameters: Parameters | None = None) -> None:
    client.command(statement, parameters=None if parameters is None else dict(parameters))


def _run_query(
    client: "Client", sql: str, parameters: Parameters, binary_columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    formats: dict[str, str | dict[str, str]] = dict.fromkeys(binary_columns, "bytes")
    result = client.query(sql, parameters=dict(parameters), column_formats=formats or None)
    return [tuple(row) for row in result.result_rows]


def _insert_rows(client: "Client", table: str, rows: "pa.Table", settings: dict[str, str]) -> None:
    client.insert_arrow(table, rows, settings=settings)


def _open_stream(client: "Client", sql: str) -> BinaryIO:
    return cast("BinaryIO", client.raw_stream(sql, fmt="Native"))


def _load_table(
    client: "Client", table: str, columns: Sequence[str], pieces: Iterable[bytes]
) -> None:
    rows = iter(pieces)
    first = next(rows, b"")  # nothing comes from an empty table
    if first:
        client.raw_insert(
            table,
            list(columns) or None,
            (piece for piece in chain((first,), rows)),
            fmt="Native",
            settings=_LOAD_SETTINGS,
        )


def _translate_error(error: "Error") -> StoreError:
    message = str(error).split(" (version", 1)[0].split("\n", 1)[0]
    message = message.rpartition("DB::Exception: ")[2][:300]
    if error.code in _LIMIT_BY_CODE:
        kind = TooSlowError if error.code in _TIME_CODES else TooMuchError
        return kind(
            f"The question needs more {_LIMIT_BY_CODE[error.code]} than the store may spend on "
            f"one: ask for a shorter time or fewer places. ({message})",
            error.code,
        )
    if error.code in _NO_SPACE_CODES or "No space left" in message:
        return StoreError(f"{_DISK_FULL} ({message})", error.code)
    return StoreError(f"The store answered: {message}", error.code)
