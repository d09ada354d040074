"""A Unix socket in the data directory: how commands reach a running collector.

Only the collector's own user (and root) can connect: the socket has mode 0600.

Example:
    await serve(data, "backup.sock", self._answer)  # until cancelled
"""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_S = 1.0  # until another try: as asyncio's own servers wait (ACCEPT_RETRY_DELAY)
# Of accept(2), and over once a connection elsewhere ends: as for asyncio's own servers.
_PASSING_ERRORS = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED)
)


async def serve(data: Path, name: str, answer: Callable[[socket.socket], Awaitable[None]]) -> None:
    """Answer one connection after the other, until cancelled.

    While there is no file descriptor left for one, it waits for its turn. Raises OSError.
    """
    loop = asyncio.get_running_loop()
    with listen(data, name) as listener:
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno not in _PASSING_ERRORS:
                    raise
                await asyncio.sleep(_PAUSE_S)
                continue
            with connection:
                await answer(connection)


@contextmanager
def listen(data: Path, name: str) -> Iterator[socket.socket]:
    """Listen in `data`, which this process has locked, so an older socket is a dead one.

    Raises OSError.
    """
    with _open_folder(data) as folder, socket.socket(socket.AF_UNIX) as listener:
        file = folder / name
        file.unlink(missing_ok=True)
        listener.bind(str(file))
        # Nobody can connect before it listens. A umask would hold for folders of other threads too.
        file.chmod(0o600)
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
                connection.setblocking(False)  # where many wait, connect(2) would wait too
                try:
                    with _open_folder(data) as folder:
                        connection.connect(str(folder / name))
                except (FileNotFoundError, ConnectionError, BlockingIOError) as error:
                    connection.close()
                    problem = error
                    await asyncio.sleep(_PAUSE_S)
                except OSError:
                    connection.close()
                    raise
                else:
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
