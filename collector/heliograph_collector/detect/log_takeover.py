"""The alert log of a collector that takes over from another, or may be taken over.

The log of a cluster is shared: each entry is published, in order, before it is written to the file
(`EntryFence`). A collector that takes over appends what it lacks; opening the log verifies that. A
host that only publishes follows it (`FollowedLog`).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from heliograph.durable_file import cut_torn_line, read_lines
from heliograph_collector.incidents.log_file import (
    LOG_FILE_NAME,
    AlertLogError,
    BadLineError,
    ChainVerifier,
    EntryFence,
    append_durably,
    body_of,
)
from heliograph_collector.incidents.state import IncidentBook, LogEntry

__all__ = [
    "AlertLogError",
    "EntryFence",
    "FollowedLog",
    "ForgedLogError",
    "adopt_lines",
    "list_own_lines",
]


class ForgedLogError(Exception):
    """The shared alert log lacks an entry, or has one without the leader's signature."""


class FollowedLog:
    """Shared alert log of a reader, which verifies every entry and writes none."""

    def __init__(self, public: bytes) -> None:
        """Begin before the first entry; `public` is the collector's Ed25519 key."""
        self._chain = ChainVerifier(public)
        self.public = public
        self.book = IncidentBook()

    @property
    def count(self) -> int:
        return len(self.book.entries)

    def take(self, lines: Iterable[bytes]) -> list[str]:
        """Take up the next lines; return the incidents that they are about, each once.

        Raises ForgedLogError; what came before that line is taken.
        """
        changed: dict[str, None] = {}
        for line in lines:
            number = self.count + 1
            try:
                self._chain.add(line)
                body = body_of(line)
            except (BadLineError, ValueError) as error:
                raise ForgedLogError(f"Entry {number} of the shared log: {error}.") from None
            entry = LogEntry(number, self._chain.head, line, body)
            self.book.append(entry)
            changed[entry.incident] = None
        return list(changed)


def list_own_lines(data: Path) -> list[bytes]:
    """Return the complete lines of the log, after cutting a torn one. Raises OSError."""
    file = data / LOG_FILE_NAME
    cut_torn_line(file)
    return list(read_lines(file))


def adopt_lines(data: Path, lines: Sequence[bytes]) -> None:
    """Append lines that another collector wrote. Raises OSError."""
    if lines:
        append_durably(data / LOG_FILE_NAME, b"".join(line + b"\n" for line in lines))
