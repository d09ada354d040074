"""LockFileEx and UnlockFileEx as documented, implemented by flock(2).

Unlike flock, a lock is not changed in place: a second one by the same handle is refused as if it
were another's, and unlocking what is not locked is an error.
"""

import fcntl
import os

NOT_LOCKED = 158
LOCK_VIOLATION = 33


class WindowsKernel:
    def __init__(self) -> None:
        self._held: set[tuple[int, int]] = set()  # handle and file, as a number is used again

    def call(self, function: str, handle: int, *flags: int) -> int:
        """Return the system's error, 0 when it is done."""
        key = (handle, os.fstat(handle).st_ino)
        if function == "UnlockFileEx":
            return self._unlock(key)
        if key in self._held:
            return LOCK_VIOLATION
        kind = fcntl.LOCK_EX if flags[0] & 2 else fcntl.LOCK_SH
        try:
            fcntl.flock(handle, kind | (fcntl.LOCK_NB if flags[0] & 1 else 0))
        except BlockingIOError:
            return LOCK_VIOLATION
        self._held.add(key)
        return 0

    def _unlock(self, key: tuple[int, int]) -> int:
        if key not in self._held:
            return NOT_LOCKED
        self._held.discard(key)
        fcntl.flock(key[0], fcntl.LOCK_UN)
        return 0
