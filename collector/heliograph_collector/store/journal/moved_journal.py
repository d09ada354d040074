"""The file of a journal that is moved to servers, and what its move returns."""

from dataclasses import dataclass
from pathlib import Path

from heliograph_collector.store.journal.group_commit import JournalError

FILE = "journal.db"
MOVED_FILE = "journal.db.moved"  # its name afterwards


@dataclass(frozen=True, slots=True)
class MovedJournal:
    """Summary of the moved rows, equal on both sides."""

    rows: int
    first: int  # position on the servers
    last: int
    agents: int  # with trimmed sequences
    digest: str  # SHA-256 of all rows in order


def find_old_file(data: Path) -> Path:
    """Return the file to move, or the one renamed after an earlier move.

    Raises JournalError.
    """
    for file in (data / FILE, data / MOVED_FILE):
        if file.exists():
            return file
    raise JournalError(f"{data / FILE} is not there: there is no journal to move.")


def check_not_moved(data: Path) -> None:
    """Refuse to start an empty journal where an earlier one was moved to servers.

    Only the moved one knows the sequences of repeats. Raises JournalError.
    """
    if (data / MOVED_FILE).exists() and not (data / FILE).exists():
        raise JournalError(
            f"The journal of {data} was moved to servers: set store.journal to them. Its old file "
            f"is {MOVED_FILE}, without what was acknowledged since."
        )
