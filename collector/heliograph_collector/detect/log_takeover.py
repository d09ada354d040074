"""The alert log of a collector that takes over from another, or may be taken over.

The log of a cluster is shared: each entry is published, in order, before it is written to the file
(`EntryFence`). A collector that takes over appends what it lacks; opening the log verifies that.
"""

from collections.abc import Sequence
from pathlib import Path

from heliograph_collector.incidents.log_file import (
    LOG_FILE_NAME,
    AlertLogError,
    EntryFence,
    append_durably,
    cut_torn_line,
    read_lines,
)

__all__ = ["AlertLogError", "EntryFence", "adopt_lines", "list_own_lines"]


def list_own_lines(data: Path) -> list[bytes]:
    """Return the lines of the log, without one that a crash left incomplete. Raises OSError."""
    file = data / LOG_FILE_NAME
    cut_torn_line(file)
    return list(read_lines(file))


def adopt_lines(data: Path, lines: Sequence[bytes]) -> None:
    """Append lines that another collector wrote. Raises OSError."""
    if lines:
        append_durably(data / LOG_FILE_NAME, b"".join(line + b"\n" for line in lines))
