"""The schema: applied once, in order, recorded; a newer store is not touched."""

from pathlib import Path

import pytest

from heliograph_collector.store import migrations
from heliograph_collector.store.migrations import LOCAL_SUBSTITUTIONS, SchemaError, apply_migrations
from heliograph_collector.store.store import Store
from support.crowds import keep
from support.examples import only_in_soak
from support.rows import blocked, observations, taken
from support.stores import open_store

FILES = list(Path(migrations.__file__).parent.glob("schema/*.sql"))
KNOWN = range(1, len(FILES) + 1)


class Recorder:
    """Database that records statements, with these migrations applied."""

    def __init__(self, *versions: int) -> None:
        self._versions = versions
        self.statements: list[str] = []

    def command(self, statement: str) -> None:
        self.statements.append(statement)

    def query_written(self, sql: str, parameters: object) -> list[tuple[int]]:
        return [(version,) for version in self._versions]


def test_missing_migrations_are_applied_and_recorded() -> None:
    everything, rest = Recorder(), Recorder(1)
    apply_migrations(everything, LOCAL_SUBSTITUTIONS)
    apply_migrations(rest, LOCAL_SUBSTITUTIONS)
    assert len(rest.statements) < len(everything.statements)
    recorded = [s.split("(")[-1] for s in everything.statements if s.startswith("INSERT")]
    assert recorded == [f"{n})" for n in KNOWN]
    assert everything.statements[-1].startswith("INSERT INTO migrations")
    assert all(
        "IF NOT EXISTS" in s or "TABLE IF EXISTS" in s or s.startswith("INSERT")
        for s in everything.statements
    )
    assert not any("$" in s for s in everything.statements)


def test_newer_store_is_refused_untouched() -> None:
    newer = Recorder(*KNOWN, 999)
    with pytest.raises(SchemaError, match=f"schema 999, this one knows {KNOWN[-1]}\\)"):
        apply_migrations(newer, LOCAL_SUBSTITUTIONS)
    assert len(newer.statements) == 1  # its own table of versions


async def test_refused_store_is_released(store: Store, tmp_path: Path) -> None:
    store._clickhouse.command("INSERT INTO migrations (version) VALUES (999)")
    await store.close()
    for _ in range(2):
        again = Store(f"chdb://{tmp_path}/store")
        with pytest.raises(SchemaError, match="newer Heliograph"):
            await again.open()
        await again.close()


@pytest.mark.parametrize(
    "done",
    # A table without rows is still there: what drops it with rows drops it then too.
    [(), pytest.param(("TRUNCATE",), marks=only_in_soak), ("TRUNCATE", "DROP")],
    ids=len,
)
async def test_store_with_a_row_for_each_step_keeps_all_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: tuple[str, ...]
) -> None:
    """A store of schema 13, with a row per step, keeps everything that is read.

    No query used its table of steps; `done` are migrations before a crash.
    """
    files = migrations.read_files()
    before = {version: text for version, text in files.items() if version <= 13}
    judged = (taken(1, steps=observations()), (blocked(), blocked("dc1")))
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "read_files", lambda: before)
        async with open_store(tmp_path, is_copied=False) as store:
            await keep(store, judged)
            steps = "SELECT id, arrayJoin(range(4)), 1 FROM measurements"
            command = store._clickhouse.command
            command(f"INSERT INTO observations (id, step, position) {steps}")
            for word in done:
                command(f"{word} TABLE observations")
    for _ in range(2):
        async with open_store(tmp_path) as again:
            assert await again.measurement(judged[0].id) == judged
            query = again._clickhouse.query_written
            assert query("EXISTS TABLE observations", {}) == [(0,)]
            recorded = query("SELECT max(version) FROM migrations", {})
            assert recorded == [(KNOWN[-1],)]
            async with again.open_snapshot() as snapshot:
                assert "observations" not in {table.name for table in snapshot.tables}
