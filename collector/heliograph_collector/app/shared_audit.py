"""Audit trail of a cluster: one log on the servers, for each leader the same.

Theory of operation. Line n of the trail is message n of the stream NAME-audit, which the servers
take only after message n - 1, and never delete. The file of the collector that leads follows it.
A collector that takes the lease appends a line with the lease's term, before it shows a
console; commands on any host append too. A writer behind others' lines reads them and tries again,
unless one of them has a greater term: then another collector leads, and this one writes no more.

While the servers choose a leader, as after the end of one of them, a line waits: a log-in then
takes some seconds more. A line that had no answer for so long fails, and those that come within
PAUSE_S after it fail at once. Reads meanwhile may fail too, and no line fails with them.
"""

import asyncio
import errno
from collections.abc import Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Protocol

from heliograph.durable_file import cut_torn_line, read_lines, replace_file
from heliograph_collector.fleet.audit_log import FILE_NAME, format_line, parse_line
from heliograph_collector.store.journal.journal import (
    FencedError,
    JournalBusyError,
    JournalError,
)

LEAD = "collector.lead"
APPEND_S = 20.0  # of one line; the servers are asked for 10 s
FOLLOW_S = 5.0  # assumed; reading gives way to lines after it
PAUSE_S = 5.0  # assumed; after a failure lines are refused at once, so that none queue up


class LineLog(Protocol):
    """The log on the servers. Every method raises JournalError."""

    async def count(self) -> int: ...
    async def read_after(self, number: int) -> list[bytes]: ...
    async def append(self, number: int, line: bytes) -> None:
        """Append line `number`; raises FencedError if the last line has another number."""
        ...


class SharedAudit:
    """The log as an `audit_log.AuditFence`; lines come from threads."""

    def __init__(self, lines: LineLog, term: int = 0) -> None:
        """Prepare; `term` is that of the lease, 0 for a command, which needs none."""
        self._lines = lines
        self._term = term
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._count = 0  # lines that were read or written
        self._unwritten: list[bytes] = []  # … of them, those that the file lacks
        self._is_replaced = False  # for good
        self._paused_until_s = 0.0  # by the loop's clock

    def publish(self, line: bytes) -> list[bytes]:
        if self._loop.time() < self._paused_until_s:
            raise OSError(errno.EIO, "the journal's servers did not answer just now")
        future = asyncio.run_coroutine_threadsafe(self.append(line), self._loop)
        try:
            return future.result(APPEND_S)
        except (JournalError, CancelledError, TimeoutError) as error:
            self._paused_until_s = self._loop.time() + PAUSE_S
            raise OSError(errno.EIO, str(error) or "no answer") from error
        finally:
            future.cancel()

    def take_new(self) -> list[bytes]:
        return self._take_unwritten()

    def append_line(self, line: bytes) -> None:
        """Append a line of a command, which has no file. Raises OSError."""
        self.publish(line)

    async def start(self) -> None:
        """Begin after the last line, as a command does. Raises JournalError."""
        self._count = await self._lines.count()

    async def take_over(self, data: Path, now_us: int) -> None:
        """Begin to lead: rewrite the file from the log, and append its unshared lines.

        Raises JournalError, OSError.
        """
        file = data / FILE_NAME
        await asyncio.to_thread(cut_torn_line, file)
        own = await asyncio.to_thread(lambda: list(read_lines(file)))
        shared = await self._lines.read_after(0)
        self._count = len(shared)
        lead = format_line(now_us, "collector", LEAD, f"term {self._term}")
        for line in (*list_missing(own, shared), lead):
            shared += await self.append(line)
        await asyncio.to_thread(replace_file, file, [line + b"\n" for line in shared])

    async def append(self, line: bytes) -> list[bytes]:
        """Append a line; return what was added since the last call, this line last.

        Raises FencedError if another collector leads, JournalError.
        """
        async with self._lock:
            while True:
                self._check_leading()
                try:
                    await self._lines.append(self._count + 1, line)
                except FencedError:
                    await self._follow()
                else:
                    self._count += 1
                    self._unwritten.append(line)
                    return self._take_unwritten()

    async def follow(self) -> None:
        """Read what others wrote, for `take_new`. Raises JournalError."""
        try:
            async with asyncio.timeout(FOLLOW_S), self._lock:
                await self._follow()
        except TimeoutError:
            raise JournalBusyError("The journal's servers have not answered in time.") from None

    async def _follow(self) -> None:
        """Read the lines of others; terms of before our own line do not count."""
        lines = await self._lines.read_after(self._count)
        self._count += len(lines)
        self._unwritten += lines
        if self._term and any(_read_term(line) > self._term for line in lines):
            self._is_replaced = True

    def _check_leading(self) -> None:
        if self._is_replaced:
            raise FencedError("Another collector leads, and keeps the audit trail.")

    def _take_unwritten(self) -> list[bytes]:
        lines = self._unwritten
        self._unwritten = []
        return lines


def list_missing(own: Sequence[bytes], shared: Sequence[bytes]) -> list[bytes]:
    """List the lines of a file that the log lacks, in their order."""
    present = frozenset(shared)
    return [line for line in own if line not in present]


def _read_term(line: bytes) -> int:
    """Return the term of a line by which a collector took the lead, 0 of all others."""
    entry = parse_line(line)
    if entry is None or entry.did != LEAD:
        return 0
    digits = entry.about.removeprefix("term ")
    return int(digits) if digits.isdecimal() else 0
