"""Console users of a cluster: one encrypted value on the servers.

Their second factors are secrets that must be there in clear to check a code.

A console, or a command on any host, that changes it writes over the value that it read; so a code
of a second factor counts once, whichever collector leads. The collector that leads keeps
DATA/operators.json equal to it, for backups and for the way back to one machine.
"""

import asyncio
import errno
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.durable_file import replace_file
from heliograph_collector.fleet.operator_file import FILE_NAME, OperatorFile
from heliograph_collector.fleet.operators import OperatorsError
from heliograph_collector.fleet.server_seal import UnsealError, seal, unseal
from heliograph_collector.store.journal.journal import FencedError, JournalError

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.shared_value import SharedValue

_PURPOSE = b"heliograph operators v1"
_NOBODY = b'{"people": {}}'  # but the built-in operator
CHANGE_S = 20.0  # of one change; the servers are asked for 10 s


class SharedOperators:
    """The value as an `operators.OperatorDocument`; changes are made from threads."""

    def __init__(self, value: "SharedValue", secret: bytes, mirror: Path | None = None) -> None:
        """Prepare; `mirror` is the data directory whose file is kept equal."""
        self._value = value
        self._secret = secret
        self._mirror = mirror
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._content: bytes | None = None
        self._mirror_lock = threading.Lock()
        self._mirrored: bytes | None = None

    @property
    def name(self) -> str:
        return "the list of users on the journal's servers"

    def read(self) -> bytes | None:
        """Return the content read last; `update` reads again."""
        return self._content

    def change(self, edit: Callable[[bytes | None], bytes]) -> None:
        future = asyncio.run_coroutine_threadsafe(self._change(edit), self._loop)
        try:
            future.result(CHANGE_S)
        except (JournalError, CancelledError, TimeoutError) as error:
            raise OSError(errno.EIO, str(error) or "no answer") from error
        finally:
            future.cancel()
        self.write_mirror()

    def write_mirror(self) -> None:
        """Write the content read last into the file. Raises OSError.

        It is written by threads that hold nothing else: all of them may wait for a change.
        """
        with self._mirror_lock:
            content = self._content
            if self._mirror is None or content is None or content == self._mirrored:
                return
            replace_file(self._mirror / FILE_NAME, content)
            self._mirrored = content

    async def take_over(self, data: Path) -> None:
        """Read the users as who leads; the first one stores those of its data directory.

        Raises JournalError, OperatorsError, OSError.
        """
        own = await asyncio.to_thread(OperatorFile(data).read)
        async with self._lock:
            await self._read()
            if self._content is None:
                with suppress(FencedError):
                    await self._write(own or _NOBODY)
                await self._read()
        await asyncio.to_thread(self.write_mirror)

    async def start(self) -> None:
        """Read the users as a command, which must not make its own file that of all.

        Raises JournalError, OperatorsError.
        """
        await self._read()
        if self._content is None:
            raise OperatorsError("no collector has begun with these servers yet: start `serve`")

    async def update(self) -> None:
        """Read what others have changed. Raises JournalError, OperatorsError, OSError."""
        async with self._lock:
            await self._read()
        await asyncio.to_thread(self.write_mirror)

    async def _change(self, edit: Callable[[bytes | None], bytes]) -> None:
        async with self._lock:
            await self._read()
            while True:
                try:
                    return await self._write(edit(self._content))
                except FencedError:
                    await self._read()

    async def _write(self, content: bytes) -> None:
        await self._value.write(seal(self._secret, _PURPOSE, content))
        self._content = content

    async def _read(self) -> None:
        sealed = await self._value.read()
        if sealed is None:
            return
        content = _unseal_operators(self._secret, sealed)
        if content != self._content:  # else the same object, by which readers know it
            self._content = content


def _unseal_operators(secret: bytes, sealed: bytes) -> bytes:
    """Decrypt the users. Raises OperatorsError."""
    try:
        return unseal(secret, _PURPOSE, sealed)
    except UnsealError:
        raise OperatorsError(
            "the users of the console on the journal's servers do not open with keys/secret.key: "
            "copy the folder keys of the collector that leads"
        ) from None
