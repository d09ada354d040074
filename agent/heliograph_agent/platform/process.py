"""Handle stop signals, keep a process's memory private, and find its user.

>>> isinstance(user_id(), int)
True
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows, which writes dumps only where its user set that up
    resource = None  # type: ignore[assignment]  # one module or none

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)


def forbid_core_dumps() -> None:
    """Let no dump of this process's memory, which holds results, reach the disk."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def call_on_stop(callback: Callable[[], object]) -> None:
    """Call back in the running loop when the user or the system stops this process.

    Ctrl-C and SIGTERM; on Windows Ctrl-C and Ctrl-Break, whose loop takes no signals itself.
    """
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        try:
            loop.add_signal_handler(number, callback)
        except NotImplementedError:  # the Proactor loop of Windows takes no signals
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(callback))


def stop_process(pid: int) -> None:
    """Ask a process to stop. Windows ends it at once, and its files stay intact."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def find_user_name(path: Path) -> str:
    """Return the name of a file's owner, or the number if it has none. Raises OSError."""
    try:
        return path.owner()
    except KeyError:  # a container's user has a number alone
        return str(path.stat().st_uid)


def user_id() -> int:
    """Return the effective user's number, 0 where users have none."""
    return os.geteuid() if hasattr(os, "geteuid") else 0
