"""Write the status as a whole after a change, at most once a second.

The status is written to the machine's memory. The disk gets status.json: the part without tests,
results and the state of the link, with its times in whole minutes.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypedDict, cast

from heliograph.units import HOUR_US, minute_of
from heliograph_agent.platform.power import read_boot_clock_us
from heliograph_agent.runtime.absence import Absence, AbsenceRecorder, StatusSample
from heliograph_agent.runtime.findings import NetworkFindings, describe_findings
from heliograph_agent.runtime.pause import read_pause
from heliograph_agent.runtime.volatile_file import VolatileFile
from heliograph_agent.state import STATUS, Collector, State, StateError

if TYPE_CHECKING:
    from heliograph.v1 import intake_pb2
    from heliograph_agent.spool import Spool, SpoolCounts

MIN_INTERVAL_S = 1.0  # each writing counts the queue
OWN_TEST_OLD_US = HOUR_US  # assumed, the slowest plan tests each hour
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
    """Describe the status, which may be missing, partial or older than this version."""

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
    absence: Absence | None  # the last long time without the collector
    findings: NetworkFindings | None  # what the collector publishes about this network
    own_signs: Mapping[str, str]  # vantage.OwnSign → detail
    allowance: Mapping[str, float]


# The parts of the status that the disk gets, beside those of the queue.
ON_DISK = frozenset(
    {
        "written_us", "connected", "way", "last_success_us", "last_word_us", "epoch",
        "plan_version", "cloned", "allowance",
    }
)  # fmt: skip
_TIMES = frozenset({"written_us", "last_success_us", "last_word_us", "oldest_us", "wall_us"})


def read_status(state: State) -> AgentStatus:
    """Read the last status; after a restart of the machine only the part on the disk."""
    status: dict[str, object] = {}
    with suppress(StateError):  # a power cut may leave half a file
        status.update(state.read_json(STATUS) or {})
    with suppress(StateError, OSError):
        collector = state.collector()
        if collector is not None:
            status.update(VolatileFile(collector.agent).read(state.root.stat().st_uid))
    return cast("AgentStatus", status)


def find_own_state(status: AgentStatus, service: str) -> tuple[str, int]:
    """Return (ServiceState, time) of our newest test; ("", 0) without a recent one.

    The time is by the wall clock, in microseconds.
    """
    state, at_us = (status.get("lives") or {}).get(service, ("", 0))
    is_old = at_us + OWN_TEST_OLD_US < status.get("written_us", 0)
    return ("", 0) if is_old else (state, at_us)


def forget_clone(state: State, previous: Collector | None) -> None:
    """Remove the status's note that another machine uses the key. Raises StateError."""
    if previous is not None:
        VolatileFile(previous.agent).remove()
    status = state.read_json(STATUS)
    if status is not None:
        state.write_json(STATUS, {**status, "cloned": False})


def describe_for_disk(status: AgentStatus) -> dict[str, object]:
    """Return the part of a status that a seized disk may show."""
    kept = ON_DISK | QueueStatus.__annotations__.keys()
    return {name: _coarsen(name, value) for name, value in status.items() if name in kept}


def _coarsen(name: str, value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _coarsen(str(key), member) for key, member in value.items()}
    return minute_of(value) if name in _TIMES and isinstance(value, int) else value


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

    def __init__(
        self, state: State, spool: "Spool", volatile: VolatileFile, source: StatusSource
    ) -> None:
        self._state = state
        self._volatile = volatile
        self._spool = spool
        self._source = source
        self._wake_event = asyncio.Event()
        self._findings: NetworkFindings | None = None
        earlier = read_status(state)
        self._absence = AbsenceRecorder(
            earlier.get("written_us", 0),
            earlier.get("last_success_us", 0),
            sum((earlier.get("dropped") or {}).values()),
        )
        self._has_warned = False

    def take_findings(self, findings: "intake_pb2.Findings") -> None:
        """Show from now on what the collector publishes about this network.

        Findings without services only name its country; of the same one they hide none.
        """
        described = describe_findings(findings)
        previous = self._findings
        if described["services"] or previous is None or previous["country"] != described["country"]:
            self._findings = described
            self.mark_changed()

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
        """Write both files now; log an error once and never raise it."""
        queue = describe_queue(await self._spool.read_counts())
        described = self._source.describe_status()
        self._absence.take_sample(
            StatusSample(
                now_us=described["written_us"],
                link=described["link"],
                waiting=queue["queued_measurements"],
                dropped=sum(queue["dropped"].values()),
                success_us=described["last_success_us"],
                is_connected=described["connected"],
                is_paused=read_pause(self._state, described["written_us"]) is not None,
                boot_us=read_boot_clock_us(),
            )
        )
        status: AgentStatus = {
            **described,
            **queue,
            "absence": self._absence.last,
            "findings": self._findings,
        }
        try:
            self._volatile.write(cast("Mapping[str, object]", status))
            self._state.write_json(STATUS, describe_for_disk(status), durable=False)
            self._has_warned = False
        except StateError as error:
            if not self._has_warned:
                log.warning("%s", error)
            self._has_warned = True
