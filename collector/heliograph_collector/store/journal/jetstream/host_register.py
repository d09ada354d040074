"""The ingest hosts of a journal: which have taken over the ranges of trimmed sequences.

A row is deleted only after no host can store a copy of it again. A host registers in the bucket
NAME-state before it reads the ranges, and reports the revision up to which it has applied them. One
that has reported nothing for LATE_S has no message on its way, and appends nothing any more.
"""

import asyncio

from heliograph_collector.store.journal.group_commit import JournalBusyError
from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.row_writer import LATE_S
from heliograph_collector.store.journal.jetstream.streams import JournalState

WAIT_S = 30.0  # assumed; hosts report each second
_POLL_S = 0.2  # assumed; reports come each second


class HostRegister:
    def __init__(self, connection: NatsConnection, state: JournalState) -> None:
        self._connection = connection
        self._state = state
        self._applied: dict[str, int] = {}  # revision of the bucket, by host
        self._heard_s: dict[str, float] = {}

    def note(self, host: str, applied: int) -> None:
        """Take note of a host's report."""
        self._applied[host] = applied
        self._heard_s[host] = asyncio.get_running_loop().time()

    async def list_all(self) -> list[str]:
        """List the registered hosts, also dead ones. Raises JournalError."""
        return await self._state.list_hosts()

    async def wait_for_all(self, revision: int) -> None:
        """Wait until all hosts have applied a revision. Raises JournalError if they do not."""
        deadline_s = asyncio.get_running_loop().time() + WAIT_S
        while late := await self._list_late(revision):
            if asyncio.get_running_loop().time() > deadline_s:
                raise JournalBusyError(
                    f"Old rows stay: {len(late)} ingest hosts have not taken over their numbers."
                )
            await asyncio.sleep(_POLL_S)

    async def _list_late(self, revision: int) -> list[str]:
        now_s = asyncio.get_running_loop().time()
        late = []
        for host in await self._state.list_hosts():
            if self._applied.get(host, 0) >= revision:
                continue
            if now_s - self._heard_s.setdefault(host, now_s) <= LATE_S:
                late.append(host)
            else:
                await self._state.remove_host(host)
        return late
