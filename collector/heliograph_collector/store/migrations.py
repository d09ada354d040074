"""Migrations of the schema: numbered files, applied in order, recorded.

They only go forward. The same text serves one machine and a cluster: engine names and ON CLUSTER
are substituted. Every statement can run twice, so that a crash between two of them needs no repair.
"""

import re
from collections.abc import Mapping
from functools import partial
from importlib import resources
from string import Template
from typing import Any, Protocol

from heliograph_collector.store.clickhouse import ClickHouse

_DURABLE = (
    "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, "
    "old_parts_lifetime = 30"  # merged parts are synced, so 30 s is enough
)

_KEEPER_PATH = "/heliograph/{shard}/{table}"
_REPLACING = re.compile(r"\$replacing(?:\((\w+)\))?")
LOCAL_SUBSTITUTIONS = {
    "on_cluster": "",
    "replacing": "ReplacingMergeTree",
    "settings": f"SETTINGS {_DURABLE}",
}


class SchemaError(Exception):
    """Unusable schema; the message is one sentence."""


def cluster_substitutions(name: str) -> Mapping[str, str]:
    """Return substitutions for a replicated schema. Never run, for lack of a cluster.

    A table's path is the same on every host of a shard, whatever the host's own default is; the
    servers' macros give `{shard}` and `{replica}`.
    """
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return {
        "on_cluster": f"ON CLUSTER '{quoted}'",
        "replacing": "ReplicatedReplacingMergeTree",
        "path": f"'{_KEEPER_PATH}', '{{replica}}'",
        "settings": f"SETTINGS replicated_deduplication_window = 1000, {_DURABLE}",
    }


def prepare_schema(clickhouse: ClickHouse) -> None:
    """Bring the schema up to date. Raises StoreError, SchemaError."""
    cluster = clickhouse.cluster
    _remove_ttl(clickhouse)
    apply_migrations(clickhouse, cluster_substitutions(cluster) if cluster else LOCAL_SUBSTITUTIONS)


def _remove_ttl(clickhouse: ClickHouse) -> None:
    """Remove the TTL from tables of earlier versions.

    The engine would apply it by its own clock.
    """
    sql = (
        "SELECT name FROM system.tables WHERE database = currentDatabase() "
        "AND position(engine_full, ' TTL ') > 0"
    )
    for (table,) in clickhouse.query_written(sql, {}):
        clickhouse.command(f"SYSTEM STOP TTL MERGES {table}")
        clickhouse.command(f"ALTER TABLE {table} REMOVE TTL")


class SchemaTarget(Protocol):
    """Database whose schema is brought up to date."""

    def command(self, statement: str) -> None: ...
    def query_written(
        self, sql: str, parameters: Mapping[str, object]
    ) -> list[tuple[Any, ...]]: ...


def apply_migrations(target: SchemaTarget, substitutions: Mapping[str, str]) -> None:
    """Apply missing migrations.

    Raises SchemaError for a store newer than this program.
    """
    for statement in split_statements(MIGRATIONS_TABLE, substitutions):
        target.command(statement)
    files = read_files()
    applied = {row[0] for row in target.query_written("SELECT version FROM migrations", {})}
    if applied and max(applied) > max(files):
        raise SchemaError(
            f"The store was written by a newer Heliograph (schema {max(applied)}, this one knows "
            f"{max(files)}): update this one, or give it another store."
        )
    for version in sorted(files.keys() - applied):
        for statement in split_statements(files[version], substitutions):
            target.command(statement)
        target.command(f"INSERT INTO migrations (version) VALUES ({version:d})")  # noqa: S608 the value is a number


def split_statements(script: str, substitutions: Mapping[str, str]) -> list[str]:
    """Split a file into statements without comments, and substitute names."""
    lines = (line for line in script.splitlines() if not line.startswith("--"))
    path = substitutions.get("path", "")
    text = _REPLACING.sub(partial(_add_path, path), "\n".join(lines)) if path else "\n".join(lines)
    expanded = Template(text).substitute(substitutions)
    return [s.strip() for s in expanded.split(";") if s.strip()]


def _add_path(path: str, engine: re.Match[str]) -> str:
    """Add the path before the column of the version, if the engine has one."""
    version = f", {engine[1]}" if engine[1] else ""
    return f"$replacing({path}{version})"


def read_files() -> dict[int, str]:
    folder = resources.files("heliograph_collector.store") / "schema"
    return {
        int(file.name[:4]): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


MIGRATIONS_TABLE = """
CREATE TABLE IF NOT EXISTS migrations $on_cluster
(version UInt32, applied DateTime DEFAULT now())
ENGINE = $replacing ORDER BY version $settings
"""
