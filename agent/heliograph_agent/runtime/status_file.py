"""Write status.json as a whole after a change, at most once a second."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypedDict, cast

from heliograph_agent.state import STATUS, State, StateError

if TYPE_CHECKING:
    from heliograph_agent.spool import Spool, SpoolCounts

MIN_INTERVAL_S = 1.0
REFRESH_S = 60.0  # at least this often, so that the counts are never old
log = logging.getLogger("heliograph.agent")


class QueueStatus(TypedDict, total=False):
    """Describe the spool's part of status.json."""

    queued_measurements: int
    queued_envelopes: int
    quarantined: int
    spool_bytes: int
    oldest_us: int | None  # wall clock
    acked_measurements: int
    summed: Mapping[str, int]  # results by cause
    dropped: Mapping[str, int]
    problem: str


class TransportFailure(TypedDict):
    """Describe the last failure of the way to the collector."""

    reason: str
    at_us: int  # wall clock


class AgentStatus(QueueStatus, total=False):
    """Describe status.json, which may be missing or older than this version."""

    written_us: int
    connected: bool
    way: str
    last_success_us: int
    last_word_us: int
    last_failure: Mapping[str, TransportFailure]
    link: str
    epoch: str
    plan_version: int
    not_agreed: list[str]
    cloned: bool
    last_results: Mapping[str, int]
    lives: Mapping[str, tuple[str, int]]
    allowance: Mapping[str, float]


def read_status(state: State) -> AgentStatus:
    """Read the last status; a power cut may leave half a file."""
    try:
        return cast("AgentStatus", state.read_json(STATUS) or {})
    except StateError:
        return {}


class StatusSource(Protocol):
    """Declare what the status file needs of the agent."""

    def describe_status(self) -> AgentStatus:
        """Describe everything but the queue."""


def describe_queue(counts: "SpoolCounts") -> QueueStatus:
    return {
        "queued_measurements": counts.open + counts.waiting_measurements,
        "queued_envelopes": counts.waiting,
        "quarantined": counts.quarantined,
        "spool_bytes": counts.bytes,
        "oldest_us": counts.oldest_us,
        "acked_measurements": counts.acked,
        "summed": dict(counts.summed),
        "dropped": dict(counts.dropped),
        "problem": counts.problem,
    }


class StatusFile:
    """Write the file after `mark_changed`; the queue is read from the spool."""

    def __init__(self, state: State, spool: "Spool", source: StatusSource) -> None:
        self._state = state
        self._spool = spool
        self._source = source
        self._wake_event = asyncio.Event()
        self._has_warned = False

    def mark_changed(self) -> None:
        self._wake_event.set()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._wake_event.wait()
            self._wake_event.clear()
            await self.write()
            await asyncio.sleep(MIN_INTERVAL_S)

    async def write(self) -> None:
        """Write the file now; log an error once and never raise it."""
        queue = describe_queue(await self._spool.read_counts())
        status: AgentStatus = {**self._source.describe_status(), **queue}
        try:
            self._state.write_json(STATUS, status, durable=False)
            self._has_warned = False
        except StateError as error:
            if not self._has_warned:
                log.warning("%s", error)
            self._has_warned = True
