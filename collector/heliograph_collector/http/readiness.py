"""Readiness checks: test journal, store and disk regularly by real operations."""

import asyncio
import shutil
from pathlib import Path
from typing import Protocol

from heliograph.clock import Clock
from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.journal.journal import JournalError

CHECK_INTERVAL_S = 10.0
PROBLEM_INTERVAL_S = 1.0  # while something fails: a proxy asks about as often, and must see the end
TIMEOUT_S = 20.0
MIN_FREE_BYTES = 256 * 1_048_576  # bytes: some hours of envelopes, and space for a merge
_MIB = 1_048_576


class MarkedJournal(Protocol):
    async def mark_alive(self, now_us: int) -> None:
        """Write a mark. Raises JournalError."""
        ...


class CheckedStore(Protocol):
    async def health(self) -> object:
        """Query the engine's state. Raises StoreError."""
        ...


class Readiness:
    """Readiness of the collector; start `run` in its TaskGroup once the store is open."""

    def __init__(
        self,
        journal: MarkedJournal | None,
        store: CheckedStore,
        data: Path,
        clock: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._journal = journal
        self._store = store
        self._data = data
        self._clock = clock
        self._timeout_s = timeout_s
        self._problems: list[str] = []

    def problems(self) -> list[str]:
        return list(self._problems)

    async def run(self) -> None:
        while True:
            await self.run_checks()
            await asyncio.sleep(PROBLEM_INTERVAL_S if self._problems else CHECK_INTERVAL_S)

    async def run_checks(self) -> None:
        problems = [
            await self._check_journal(),
            await self._check_store(),
            await self._check_disk(),
        ]
        self._problems = [problem for problem in problems if problem]

    async def _check_journal(self) -> str:
        """Return a sentence on the problem, "" if there is none, as all checks do."""
        if self._journal is None:  # a host that only publishes
            return ""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._journal.mark_alive(self._clock.wall_us())
        except TimeoutError:
            return f"The journal took nothing for {self._timeout_s:.0f} s."
        except JournalError as error:
            return f"The journal cannot be written: {error}"
        return ""

    async def _check_store(self) -> str:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._store.health()
        except TimeoutError:
            return f"The store did not answer within {self._timeout_s:.0f} s."
        except StoreError as error:
            return f"The store does not answer: {error}"
        return ""

    async def _check_disk(self) -> str:
        try:
            free_bytes = (await asyncio.to_thread(shutil.disk_usage, self._data)).free
        except OSError as error:
            return f"The data directory cannot be looked at: {error.strerror}."
        if free_bytes >= MIN_FREE_BYTES:
            return ""
        return (
            f"The disk of the data directory has {free_bytes // _MIB} MiB left, fewer than "
            f"{MIN_FREE_BYTES // _MIB}: free some."
        )
