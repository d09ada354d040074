"""Lock that admits one process per data directory and fails with a clear sentence."""

import fcntl
import os
from pathlib import Path


class DirectoryInUseError(Exception):
    """Error: another process uses the directory."""

    def __init__(self, directory: Path, content: str) -> None:
        super().__init__(
            f"The {content} in {directory} is in use by another process: stop that one, "
            "or give this one another --data directory."
        )


class DirectoryLock:
    """Advisory lock that the kernel releases whenever the process ends."""

    def __init__(self, directory: Path, content: str) -> None:
        """Take the lock. Raises DirectoryInUseError, or OSError without a directory."""
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
