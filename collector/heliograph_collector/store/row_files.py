"""Files in which rows reach the embedded engine.

The engine's library writes each block of rows to a file in the system's temporary directory, has
the engine read it, and deletes it. That directory is often another disk, small and in memory, which
would stop a store that has room; and a file that a kill left there would keep rows for longer than
the store itself, where nobody looks for them. Here these files lie inside the store's directory.
"""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# `tempfile.tempdir` is one for the whole process: two writers at once would restore each other's.
_HOLDING = threading.Lock()


class RowFiles:
    """Directory for the files of one store, which its lock keeps to one process."""

    def __init__(self, store: Path) -> None:
        self._directory = store / "rows"

    def prepare(self) -> None:
        """Make the directory, and delete what a kill left in it. Raises OSError."""
        if self._directory.exists():
            shutil.rmtree(self._directory)
        self._directory.mkdir(mode=0o700)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Direct the temporary files that a library makes in the block to the directory."""
        with _HOLDING:
            previous = tempfile.tempdir
            tempfile.tempdir = str(self._directory)
            try:
                yield
            finally:
                tempfile.tempdir = previous
