"""A Unix socket in the data directory: how commands reach a running collector.

Only the collector's own user (and root) can connect: the socket has mode 0600.

Example:
    with listen(data, "backup.sock") as listener:
        connection, _ = await loop.sock_accept(listener)
"""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_S = 1.0


@contextmanager
def listen(data: Path, name: str) -> Iterator[socket.socket]:
    """Listen in `data`, which this process has locked, so an older socket is a dead one.

    Raises OSError.
    """
    with _open_folder(data) as folder, socket.socket(socket.AF_UNIX) as listener:
        file = folder / name
        file.unlink(missing_ok=True)
        mask = os.umask(0o177)  # the socket is never open to others, not for a moment
        try:
            listener.bind(str(file))
        finally:
            os.umask(mask)
        listener.listen(4)
        listener.setblocking(False)
        try:
            yield listener
        finally:
            file.unlink(missing_ok=True)


async def connect(data: Path, name: str, timeout_s: float) -> socket.socket:
    """Connect, and wait for a collector that is just starting. Raises OSError."""
    problem: OSError | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                connection = socket.socket(socket.AF_UNIX)
                try:
                    with _open_folder(data) as folder:
                        connection.connect(str(folder / name))
                except (FileNotFoundError, ConnectionError) as error:
                    connection.close()
                    problem = error
                    await asyncio.sleep(_PAUSE_S)
                except OSError:
                    connection.close()
                    raise
                else:
                    connection.setblocking(False)
                    return connection
    except TimeoutError as error:
        raise problem or error from None


@contextmanager
def _open_folder(data: Path) -> Iterator[Path]:
    """Yield a short path of the folder: a socket's path has at most 107 bytes (unix(7))."""
    if not Path("/proc/self/fd").exists():
        yield data
        return
    handle = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
