"""Backup and restore of a data directory, while the collector runs.

Order and consistency: files of the detectors and the logs are copied first, then all tables
of the store at one moment between two blocks, then the journal, the fleet and the keys. So the
journal holds all that the tables hold and what came later, which the writer stores after a restore;
the detectors' position is never beyond the tables. It is the state after a kill at the moment of
the tables, and everything in it reflects at least `Manifest.position` of the journal.

Example:
    await save_backup(store, data, Path("/mnt/backup/1"), prove=prove)
    await restore_backup(ArchiveReader(Path("/mnt/backup/1")), new_data, new_store)
"""

from pathlib import Path

RESTORE_MARK = "restore.unfinished"  # in a data directory that a killed `restore` has left
JOURNAL = "journal.db"


class BackupError(Exception):
    """Failure of a backup or a restore; the message is a sentence for the operator."""


def check_restored(data: Path) -> None:
    """Check that no restore ended halfway in a data directory. Raises BackupError."""
    if (data / RESTORE_MARK).exists():
        raise BackupError(f"{data} holds a restore that did not end: remove it, and restore again.")
