"""One process per data directory, told in a sentence instead of an engine's error."""

import fcntl
import os
from pathlib import Path


class DirectoryInUseError(Exception):
    """Another process holds the directory."""

    def __init__(self, directory: Path, content: str) -> None:
        super().__init__(
            f"The {content} in {directory} is in use by another process: stop that one, "
            "or give this one another --data directory."
        )


class DirectoryLock:
    """An advisory lock that the kernel drops when the process dies, however it dies."""

    def __init__(self, directory: Path, content: str) -> None:
        """Raises DirectoryInUseError, or OSError when the directory cannot be made."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / f"{content}.lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise DirectoryInUseError(directory, content) from None

    def release(self) -> None:
        os.close(self._descriptor)
