"""Lock a file on Windows by LockFileEx; Python's msvcrt has only exclusive locks.

The lock is on one byte far beyond the end of the file, because Windows refuses others the reading
of a locked byte, and the number of the process that holds the lock is read from the beginning.

Source: https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-lockfileex
"""

import ctypes
import sys

_FAIL_IMMEDIATELY = 1
_EXCLUSIVE = 2
_ERROR_LOCK_VIOLATION = 33
_ERROR_IO_PENDING = 997
_ERROR_NOT_LOCKED = 158
_PLACE_HIGH = 0x4000_0000  # the upper half of the byte's offset


class _Overlapped(ctypes.Structure):
    """Hold OVERLAPPED of minwinbase.h; only the offset is used."""

    _fields_ = (
        ("internal", ctypes.c_size_t),
        ("internal_high", ctypes.c_size_t),
        ("offset", ctypes.c_uint32),
        ("offset_high", ctypes.c_uint32),
        ("event", ctypes.c_void_p),
    )


def lock(handle: int, *, is_exclusive: bool, is_waiting: bool = False) -> None:
    """Take or change the lock. Raises BlockingIOError while another excludes it.

    Windows changes no lock in place, so the own one is given up first.
    """
    unlock(handle)
    flags = (0 if is_waiting else _FAIL_IMMEDIATELY) | (_EXCLUSIVE if is_exclusive else 0)
    error = _call_kernel("LockFileEx", handle, flags)
    if error in (_ERROR_LOCK_VIOLATION, _ERROR_IO_PENDING):
        raise BlockingIOError("another process holds the lock")
    if error:
        raise OSError(error, "LockFileEx failed")


def unlock(handle: int) -> None:
    """Give the lock up; nothing happens without one."""
    error = _call_kernel("UnlockFileEx", handle)
    if error not in (0, _ERROR_NOT_LOCKED):
        raise OSError(error, "UnlockFileEx failed")


def _call_kernel(function: str, handle: int, *flags: int) -> int:
    """Call LockFileEx or UnlockFileEx for one byte; return the error, 0 without one."""
    if sys.platform != "win32":
        raise OSError("LockFileEx is Windows' own")
    import msvcrt

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    place = _Overlapped(offset_high=_PLACE_HIGH)
    file = ctypes.c_void_p(msvcrt.get_osfhandle(handle))
    arguments = (*map(ctypes.c_uint32, (*flags, 0, 1, 0)), ctypes.byref(place))
    is_done = getattr(kernel, function)(file, *arguments)
    return 0 if is_done else ctypes.get_last_error()
