"""Readiness checks: test journal, store and disk regularly by real operations."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.journal.journal import JournalError

CHECK_INTERVAL_S = 10.0
TIMEOUT_S = 20.0
MIN_FREE_BYTES = 256 * 1_048_576  # bytes: some hours of envelopes, and space for a merge
_MIB = 1_048_576

Check = Callable[[], Awaitable[str]]  # returns a sentence on the problem, "" if there is none


class Readiness:
    """Readiness of the collector; start `run` in its TaskGroup once the store is open."""

    def __init__(
        self,
        write_mark: Callable[[], Awaitable[None]],
        query_store: Callable[[], Awaitable[object]],
        data: Path,
        *,
        timeout_s: float = TIMEOUT_S,
        read_free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        """Take the checks as callables.

        `write_mark` writes to the journal (JournalError), `query_store` queries the store
        (StoreError), `read_free_bytes` returns the free bytes on a directory's disk.
        """
        self._write_mark = write_mark
        self._query_store = query_store
        self._data = data
        self._read_free_bytes = read_free_bytes
        self._timeout_s = timeout_s
        self._problems: list[str] = []

    def problems(self) -> list[str]:
        return list(self._problems)

    async def run(self) -> None:
        while True:
            await self.run_checks()
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def run_checks(self) -> None:
        checks: tuple[Check, ...] = (self._check_journal, self._check_store, self._check_disk)
        self._problems = [problem for check in checks if (problem := await check())]

    async def _check_journal(self) -> str:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._write_mark()
        except TimeoutError:
            return f"The journal took nothing for {self._timeout_s:.0f} s."
        except JournalError as error:
            return f"The journal cannot be written: {error}"
        return ""

    async def _check_store(self) -> str:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._query_store()
        except TimeoutError:
            return f"The store did not answer within {self._timeout_s:.0f} s."
        except StoreError as error:
            return f"The store does not answer: {error}"
        return ""

    async def _check_disk(self) -> str:
        try:
            free_bytes = await asyncio.to_thread(self._read_free_bytes, self._data)
        except OSError as error:
            return f"The data directory cannot be looked at: {error.strerror}."
        if free_bytes >= MIN_FREE_BYTES:
            return ""
        return (
            f"The disk of the data directory has {free_bytes // _MIB} MiB left, fewer than "
            f"{MIN_FREE_BYTES // _MIB}: free some."
        )
