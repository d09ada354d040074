"""Lock an open file for this process: shared or exclusive.

The system gives the lock up when the handle is closed, also by a kill. POSIX systems have flock(2),
and Windows has LockFileEx. Both lock what opened the file, so that two handles of one process
exclude each other as well.
"""

import os
from contextlib import suppress

try:
    import fcntl
except ImportError:  # Windows
    from heliograph_agent.platform.windows_lock import lock
else:

    def lock(handle: int, *, is_exclusive: bool, is_waiting: bool = False) -> None:
        """Take or change the lock. Raises BlockingIOError while another excludes it."""
        kind = fcntl.LOCK_EX if is_exclusive else fcntl.LOCK_SH
        fcntl.flock(handle, kind if is_waiting else kind | fcntl.LOCK_NB)


def open_lock_file(path: os.PathLike[str]) -> int:
    """Open or create a file that only its owner can read. Raises OSError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)


def lock_shared(handle: int) -> bool:
    """Share the lock; return False while another process excludes it."""
    with suppress(BlockingIOError):
        lock(handle, is_exclusive=False)
        return True
    return False


def share_lock_again(handle: int) -> None:
    """Share the lock after an exclusive one or an attempt; wait for another holder."""
    lock(handle, is_exclusive=False, is_waiting=True)


def lock_exclusive(handle: int) -> bool:
    """Take the lock alone; return False while another process has it too.

    After False even a shared lock is lost, on every system: share it again.
    """
    with suppress(BlockingIOError):
        lock(handle, is_exclusive=True)
        return True
    return False
