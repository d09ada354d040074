"""Console users of one collector: DATA/operators.json."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from heliograph.durable_file import replace_file

FILE_NAME = "operators.json"
_MAX_FILE_BYTES = 262_144


class OperatorFile:
    """Users' file, an `OperatorDocument` that commands and `serve` share by a lock."""

    def __init__(self, data: Path) -> None:
        self._file = data / FILE_NAME
        self._cached: tuple[object, bytes | None] = (None, None)

    @property
    def name(self) -> str:
        return str(self._file)

    def read(self) -> bytes | None:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return None
        version = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._cached[0] != version:
            with self._file.open("rb") as stream:
                self._cached = (version, stream.read(_MAX_FILE_BYTES))
        return self._cached[1]

    def change(self, edit: Callable[[bytes | None], bytes]) -> None:
        with self._file.with_suffix(".lock").open("a") as lock:
            os.fchmod(lock.fileno(), 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            replace_file(self._file, edit(self.read()))
