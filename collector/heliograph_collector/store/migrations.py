"""The schema as numbered files: applied in order, recorded, forward only.

One text serves one machine and a cluster: engine names and ON CLUSTER are substituted by name.
Every statement may run twice, so that a crash between two of them needs no cure.
"""

from collections.abc import Callable, Mapping
from importlib import resources
from string import Template

_DURABLE = (
    "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, "
    "ttl_only_drop_parts = 1, old_parts_lifetime = 30"  # merged parts are synced: 30 s is plenty
)

LOCAL = {
    "on_cluster": "",
    "replacing": "ReplacingMergeTree",
    "settings": f"SETTINGS {_DURABLE}",
}


class SchemaError(Exception):
    """The store's schema is not ours to use; the message is one sentence."""


def cluster(name: str) -> Mapping[str, str]:
    """The same schema, replicated. Untested: there was no cluster to try it on."""
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return {
        "on_cluster": f"ON CLUSTER '{quoted}'",
        "replacing": "ReplicatedReplacingMergeTree",
        "settings": f"SETTINGS replicated_deduplication_window = 1000, {_DURABLE}",
    }


def migrate(
    execute: Callable[[str], None], versions: Callable[[], set[int]], words: Mapping[str, str]
) -> None:
    """Apply what is missing. `execute` runs one statement, `versions` tells what is recorded.

    Raises SchemaError when the store is newer than this program.
    """
    for statement in statements(_MIGRATIONS, words):
        execute(statement)
    files = _files()
    applied = versions()
    if applied and max(applied) > max(files):
        raise SchemaError(
            f"The store was written by a newer Heliograph (schema {max(applied)}, this one knows "
            f"{max(files)}): update this one, or give it another store."
        )
    for version in sorted(files.keys() - applied):
        for statement in statements(files[version], words):
            execute(statement)
        execute(f"INSERT INTO migrations (version) VALUES ({version:d})")  # noqa: S608 a number


def statements(text: str, words: Mapping[str, str]) -> list[str]:
    """The statements of one file, comments dropped, words filled in."""
    lines = (line for line in text.splitlines() if not line.startswith("--"))
    filled = Template("\n".join(lines)).substitute(words)
    return [s.strip() for s in filled.split(";") if s.strip()]


def _files() -> dict[int, str]:
    folder = resources.files("heliograph_collector.store") / "schema"
    return {
        int(file.name[:4]): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS migrations $on_cluster
(version UInt32, applied DateTime DEFAULT now())
ENGINE = $replacing ORDER BY version $settings
"""
