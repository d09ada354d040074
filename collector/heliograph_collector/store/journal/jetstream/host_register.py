"""Register ingest hosts, and track which have applied the trimmed sequence ranges.

A row is deleted only after no host can store a copy of it again. A host registers in the bucket
NAME-state before it reads the ranges, and reports the revision up to which it has applied them. One
that has reported nothing for LATE_S has no message on its way, and is removed: else each later
leader would wait for it before it reports any agent silent. If it comes back after all, it
registers again before it reads the ranges and appends (`RangeFollower`), and reports within
CONFIRM_S.
"""

import asyncio
from contextlib import suppress

from heliograph_collector.store.journal.group_commit import JournalBusyError, JournalError
from heliograph_collector.store.journal.jetstream.row_writer import LATE_S
from heliograph_collector.store.journal.jetstream.streams import JournalState

WAIT_S = 30.0  # assumed; hosts report each second
CONFIRM_S = 10.0  # assumed; hosts report each second, and this process may have stood still
LOOK_S = 60.0  # assumed; far below LATE_S
_POLL_S = 0.2  # assumed; reports come each second


class HostRegister:
    def __init__(self, state: JournalState) -> None:
        self._state = state
        self._applied: dict[str, int] = {}  # revision of the bucket, by host
        self._heard_s: dict[str, float] = {}
        self._found_dead: dict[str, tuple[int, float]] = {}  # with its revision then, and when

    def note(self, host: str, applied: int) -> None:
        """Take note of a host's report."""
        self._applied[host] = applied
        self._heard_s[host] = asyncio.get_running_loop().time()
        self._found_dead.pop(host, None)

    async def list_all(self) -> list[str]:
        """List the registered hosts, also dead ones. Raises JournalError."""
        return await self._state.list_hosts()

    async def run(self) -> None:
        """Remove dead hosts; never return."""
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(JournalError):  # the next look does it
                await self.remove_dead()

    async def remove_dead(self) -> list[str]:
        """Remove hosts that were found dead CONFIRM_S ago or earlier.

        Returns all hosts that were registered. Raises JournalError.
        """
        now_s = asyncio.get_running_loop().time()
        hosts = await self._state.list_hosts()
        for host in hosts:
            if now_s - self._heard_s.setdefault(host, now_s) <= LATE_S:
                continue
            if host not in self._found_dead:
                self._found_dead[host] = (await self._state.find_host(host), now_s)
            revision, found_s = self._found_dead[host]
            if now_s - found_s >= CONFIRM_S:
                await self._state.remove_host(host, revision)
                del self._heard_s[host]  # one that registered since is given as long again
                del self._found_dead[host]
        return hosts

    async def wait_for_all(self, revision: int) -> None:
        """Wait until all hosts have applied a revision.

        Raises JournalBusyError if one does not within WAIT_S, JournalError.
        """
        deadline_s = asyncio.get_running_loop().time() + WAIT_S
        while late := await self._list_late(revision):
            if asyncio.get_running_loop().time() > deadline_s:
                raise JournalBusyError(
                    f"Old rows stay: {len(late)} ingest hosts have not taken over their numbers."
                )
            await asyncio.sleep(_POLL_S)

    async def _list_late(self, revision: int) -> list[str]:
        hosts = await self.remove_dead()
        return [host for host in hosts if self._applied.get(host, 0) < revision]
