"""The wrapper prevents traps of the embedded engine and hostile input."""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from heliograph_collector.model.filters import CellFilter, MeasurementFilter
from heliograph_collector.store.clickhouse import ClickHouse, StoreLimits, TooSlowError
from heliograph_collector.store.store import Store, StoreError, TooMuchError
from support.rows import T0, US, block, reachable, taken
from support.stores import open_store

HOUR = 3_600 * US
HOSTILE = (
    "'; DROP TABLE measurements; --",
    "' OR 1=1 --",
    "\\'; SYSTEM SHUTDOWN; --",
    "x') UNION ALL SELECT * FROM file('/etc/passwd', 'LineAsString') --",
    "{service:String}",
    "%s %(service)s $1 ?",
    "\\N\\t\\n\\0",  # escapes of TabSeparated; the codec refuses the characters themselves
    "Ж" * 2_000,
)


async def test_hostile_text_stays_data(store: Store) -> None:
    odd = [taken(number, service=text) for number, text in enumerate(HOSTILE)]
    plain = taken(len(odd))
    await store.insert_block(block(1, 1, *((one, (reachable(),)) for one in (*odd, plain))))
    for measurement, text in zip(odd, HOSTILE, strict=True):
        page = await store.measurements(MeasurementFilter(service=text, since_us=T0))
        assert [t for t, _ in page.items] == [measurement], text
        votes = await store.votes(T0, T0 + HOUR, 300, service=text)
        assert [v.service for v in votes] == [text]
        assert await store.votes(T0, T0 + HOUR, 300, country=text, region=text, access=text) == []
        assert await store.silences(T0, T0 + HOUR, 300, country=text) == [], text
        assert await store.measurement(text) is None, text
        assert await store.cells(CellFilter(since_us=T0, until_us=T0 + 1, service=text)) == []
        assert (await store.measurements(MeasurementFilter(state=text))).items == (), text
        every = await store.measurements(MeasurementFilter())
        assert len(every.items) == len(HOSTILE) + 1, text


async def test_control_characters_in_a_filter_stay_data(store: Store) -> None:
    """The codec lets none of them be stored, but anybody can ask for them."""
    text = "\x00\t\n\\N"
    await store.insert_block(block(1, 1, (taken(1), (reachable(),))))
    assert (await store.measurements(MeasurementFilter(service=text))).items == ()
    assert await store.votes(T0, T0 + HOUR, 300, service=text, country=text) == []
    assert await store.measurement(text) is None


async def test_embedded_engine_makes_no_machine_code(store: Store) -> None:
    """A unit with MemoryDenyWriteExecute ends such a query with CANNOT_MPROTECT."""
    query = "SELECT name, value FROM system.settings WHERE startsWith(name, 'compile_')"
    for ask in (store._clickhouse.query, store._clickhouse.query_written):
        settings = dict(ask(query, {}))
        assert "compile_expressions" in settings
        assert set(settings.values()) == {"0"}


async def test_rows_never_pass_through_the_machines_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows never pass through the machine's temporary directory.

    It is small and in memory in a container, and what a kill leaves there is never deleted.
    """
    async with open_store(tmp_path) as store:
        full = str(tmp_path / "full")
        monkeypatch.setattr(tempfile, "tempdir", full)
        await store.insert_block(block(1, 1, (taken(1), (reachable(),))))
        assert len((await store.measurements(MeasurementFilter())).items) == 1
        assert tempfile.gettempdir() == full


async def test_rows_that_a_kill_left_in_a_file_are_deleted(tmp_path: Path) -> None:
    async with open_store(tmp_path):
        left = tmp_path / "store" / "rows" / "left.raw"
        left.write_bytes(b"rows of somebody")
    async with open_store(tmp_path):
        assert not left.exists()


WRITES = (
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "INSERT INTO FUNCTION file('/tmp/x.csv', 'CSV') SELECT 1",
    "SYSTEM SHUTDOWN",
    "DROP TABLE measurements",
    "SET readonly = 0",
    "SELECT 1; DROP TABLE measurements",
    "ALTER TABLE measurements DELETE WHERE 1",
)


async def test_reader_cannot_write(store: Store) -> None:
    allowed = []
    for statement in WRITES:
        try:
            store._clickhouse.query(statement, {})
            allowed.append(statement)
        except StoreError:
            assert store._clickhouse.query("SELECT count() AS n FROM measurements", {}) == [(0,)]
    assert allowed == []


async def test_failed_query_leaves_nothing_in_later_answers(store: Store) -> None:
    """The engine would prepend it to the next answer of the same handle."""
    half = "SELECT number, throwIf(number = 900000) AS t FROM numbers(1000000)"
    for ask in (store._clickhouse.query, store._clickhouse.query_written):
        for _ in range(4):  # each of the handles
            with pytest.raises(StoreError):
                ask(half, {})
            assert ask("SELECT 7 AS x", {}) == [(7,)]


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("SELECT count() AS n FROM numbers(1000000000000)", "time"),
        ("SELECT groupArray(number) AS a FROM numbers(1000000000)", "memory"),
        ("SELECT number FROM numbers(5000000)", "rows"),
    ],
)
async def test_query_over_its_limits_raises_and_writes_go_on(
    tmp_path: Path, question: str, word: str
) -> None:
    async with open_store(tmp_path, limits=StoreLimits(query_s=2, query_mib=100)) as store:
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(asyncio.to_thread(_ask, store._clickhouse, question))
            for n in range(1, 6):
                await store.insert_block(block(n, n, (taken(n), (reachable(),))))
        error = asked.result()
        assert f"needs more {word} than the store may spend" in str(error)
        assert isinstance(error, TooSlowError) is (word == "time")
        assert await store.cursor("j") == 5


def _ask(clickhouse: ClickHouse, question: str) -> TooMuchError:
    with pytest.raises(TooMuchError) as caught:
        clickhouse.query(question, {})
    return caught.value


async def test_wedged_handle_is_replaced(store: Store) -> None:
    class Wedged:
        closed = False

        def query(self, *_: object, **__: object) -> None:
            raise DatabaseError("Code: 216. Query with id … already running", code=216)

        def close(self) -> None:
            self.closed = True

    wedged = Wedged()
    store._clickhouse._writer.close()
    store._clickhouse._writer._client = wedged  # type: ignore[assignment]
    assert store._clickhouse.query_written("SELECT 1 AS x", {}) == [(1,)]
    assert wedged.closed


async def test_store_refuses_second_process(store: Store, tmp_path: Path) -> None:
    code = f"""
import asyncio
from heliograph_collector.store.store import DirectoryInUseError, Store
try:
    asyncio.run(Store("chdb://{tmp_path}/store").open())
except DirectoryInUseError as error:
    print(error)
"""
    other = await asyncio.to_thread(_python, code)
    said = f"The store in {tmp_path}/store is in use by another process"
    assert other.stdout == f"{said}: stop that one, or give this one another --data directory.\n"
    assert other.stderr == ""


async def test_memory_is_bounded_and_every_table_syncs_inserts(store: Store) -> None:
    mib = {"max_server_memory_usage": 1_024, "mark_cache_size": 64}
    setting = f"SELECT name, value FROM system.server_settings WHERE name IN {tuple(mib)}"
    found = dict(store._clickhouse.query(setting, {}))
    assert found == {name: str(value * 2**20) for name, value in mib.items()}
    tables = "SELECT name, engine_full FROM system.tables WHERE database = 'heliograph'"
    rows = store._clickhouse.query(tables, {})
    assert len(rows) == 11
    assert all("fsync_after_insert = 1, fsync_part_directory = 1" in full for _, full in rows)


def test_engine_is_loaded_when_opened() -> None:
    code = (
        "import sys, heliograph_collector.store.store, heliograph_collector.judge.writer;"
        "print(sorted({'chdb', 'clickhouse_connect', 'pyarrow', 'pandas'} & set(sys.modules)))"
    )
    assert _python(code).stdout == "[]\n"


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )


def test_unusable_directory_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(f"chdb://{tmp_path}/file/store")
    with pytest.raises(StoreError, match="cannot be"):
        asyncio.run(store.open())
