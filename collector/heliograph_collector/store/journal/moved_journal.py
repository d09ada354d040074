"""The file of a journal that is moved to servers, and what its move returns."""

from dataclasses import dataclass
from pathlib import Path

from heliograph_collector.store.journal.group_commit import JournalError

FILE = "journal.db"
MOVED_FILE = "journal.db.moved"  # its name afterwards


@dataclass(frozen=True, slots=True)
class MovedJournal:
    """What was moved, as both sides have it."""

    rows: int
    first: int  # position on the servers
    last: int
    agents: int  # with trimmed sequences
    digest: str  # SHA-256 of all rows in order


def find_old_file(data: Path) -> Path:
    """Return the file that is to be moved, or was renamed as it was. Raises JournalError."""
    for file in (data / FILE, data / MOVED_FILE):
        if file.exists():
            return file
    raise JournalError(f"{data / FILE} is not there: there is no journal to move.")


def check_not_moved(data: Path) -> None:
    """Refuse an empty journal in place of a moved one, which knows the sequences of repeats.

    Raises JournalError.
    """
    if (data / MOVED_FILE).exists() and not (data / FILE).exists():
        raise JournalError(
            f"The journal of {data} was moved to servers: set store.journal to them. Its old file "
            f"is {MOVED_FILE}, without what was acknowledged since."
        )
