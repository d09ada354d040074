"""Asks journal, store and disk again and again whether they do: readiness is to mean it."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.journal.journal import JournalError

EVERY_S = 10.0
PATIENCE_S = 20.0
LEAST_FREE = 256 * 1_048_576  # bytes: some hours of envelopes, and room for a merge
_MIB = 1_048_576

Check = Callable[[], Awaitable[str]]  # a sentence on what is wrong, "" when nothing is


class Readiness:
    """`run` belongs in the collector's TaskGroup, from when the store is open on."""

    def __init__(
        self,
        write: Callable[[], Awaitable[None]],
        ask: Callable[[], Awaitable[object]],
        data: Path,
        *,
        patience_s: float = PATIENCE_S,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        """`write` puts a mark into the journal (JournalError), `ask` a question to the store
        (StoreError); `free` gives the bytes left on a directory's disk."""
        self._write, self._ask, self._data, self._free = write, ask, data, free
        self._patience_s = patience_s
        self._found: list[str] = []

    def problems(self) -> list[str]:
        return list(self._found)

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        checks: tuple[Check, ...] = (self._journal, self._store, self._disk)
        self._found = [problem for check in checks if (problem := await check())]

    async def _journal(self) -> str:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._write()
        except TimeoutError:
            return f"The journal took nothing for {self._patience_s:.0f} s."
        except JournalError as error:
            return f"The journal cannot be written: {error}"
        return ""

    async def _store(self) -> str:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._ask()
        except TimeoutError:
            return f"The store did not answer within {self._patience_s:.0f} s."
        except StoreError as error:
            return f"The store does not answer: {error}"
        return ""

    async def _disk(self) -> str:
        try:
            free = await asyncio.to_thread(self._free, self._data)
        except OSError as error:
            return f"The data directory cannot be looked at: {error.strerror}."
        if free >= LEAST_FREE:
            return ""
        return (
            f"The disk of the data directory has {free // _MIB} MiB left, fewer than "
            f"{LEAST_FREE // _MIB}: free some."
        )
