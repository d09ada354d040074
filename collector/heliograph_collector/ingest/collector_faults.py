"""Faults of the collector itself, recorded so that agents are not reported silent.

A stall is a time in which the event loop hung or the machine slept. A suspected fault is a state
(every control offline) that is recorded when it begins, every minute, and when it ends.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from heliograph.clock import Clock
from heliograph.observation import Link
from heliograph.units import MINUTE_US
from heliograph_collector.ingest.presence import ConnectionTable
from heliograph_collector.model.guarded_clock import MAX_AHEAD_US
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.journal import JournalError

# Assumed, all four.
MIN_STALL_US = 10_000_000
CHECK_INTERVAL_S = 1.0
ALIVE_INTERVAL_S = 5.0
MIN_OUTAGE_US = 15_000_000  # of the journal, between two marks

log = logging.getLogger("heliograph.intake")


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One reading of both clocks."""

    wall_us: int
    monotonic_us: int


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """Time span on the wall clock as it is now."""

    since_us: int
    until_us: int


def read_clocks(clock: Clock) -> ClockReading:
    return ClockReading(clock.wall_us(), clock.monotonic_us())


def detect_stall(previous: ClockReading, current: ClockReading) -> TimeSpan | None:
    """Return the time between two readings if it is at least MIN_STALL_US, else None."""
    elapsed_us = current.monotonic_us - previous.monotonic_us
    wall_us = current.wall_us - previous.wall_us
    if wall_us - elapsed_us <= MAX_AHEAD_US:  # else a clock without a battery was set at last
        elapsed_us = max(elapsed_us, wall_us)
    if elapsed_us < MIN_STALL_US:
        return None
    return TimeSpan(current.wall_us - elapsed_us, current.wall_us)


class StallMonitor:
    """Monitor of the event loop; a stall does not count for any silence timer.

    `spans` are the stalls to record, and `lag_s` is how late the loop ran its last check.
    """

    def __init__(self, clock: Clock, connections: ConnectionTable) -> None:
        self.lag_s = 0.0
        self.spans: list[TimeSpan] = []
        self._clock = clock
        self._connections = connections
        self._last_reading = read_clocks(clock)

    def check(self) -> ClockReading:
        """Detect a stall since the last check; return the present time."""
        previous = self._last_reading
        self._last_reading = read_clocks(self._clock)
        stall_span = detect_stall(previous, self._last_reading)
        if stall_span is not None:
            stalled_us = stall_span.until_us - stall_span.since_us
            self._connections.pause_silence(stalled_us, self._last_reading.monotonic_us)
            self.spans.append(stall_span)
        return self._last_reading

    async def run(self) -> None:
        """Check every second; never return.

        It waits for nothing else, because such a wait would look like a stall.
        """
        while True:
            slept_from_us = self._clock.monotonic_us()
            await asyncio.sleep(CHECK_INTERVAL_S)
            slept_s = (self._clock.monotonic_us() - slept_from_us) / 1e6
            self.lag_s = max(0.0, slept_s - CHECK_INTERVAL_S)
            self.check()


class AliveMarks(Protocol):
    async def mark_alive(self, at_us: int) -> None:
        """Write a mark. Raises JournalError."""
        ...


async def run_alive_marks(journal: AliveMarks, clock: Clock, outages: list[TimeSpan]) -> None:
    """Write an alive mark every 5 seconds and once at the end.

    A failed mark is not repeated: the next start then assumes a slightly earlier end. A time in
    which the journal stored nothing is added to `outages`, at its end: agents that wanted to return
    were refused, so that their silence was ours.
    """
    last_written = read_clocks(clock)
    has_failed = False
    try:
        while True:
            attempted = read_clocks(clock)
            is_written = await _write_alive_mark(journal, clock)
            now = read_clocks(clock)
            outage_us = now.monotonic_us - last_written.monotonic_us
            is_late = now.monotonic_us - attempted.monotonic_us >= MIN_STALL_US
            if is_written:
                if (has_failed or is_late) and outage_us >= MIN_OUTAGE_US:
                    outages.append(TimeSpan(now.wall_us - outage_us, now.wall_us))
                last_written = now
            has_failed = not is_written
            await asyncio.sleep(ALIVE_INTERVAL_S)
    finally:
        await _write_alive_mark(journal, clock)


async def _write_alive_mark(journal: AliveMarks, clock: Clock) -> bool:
    """Return whether the journal has it."""
    try:
        await journal.mark_alive(clock.wall_us())
    except JournalError as error:
        log.warning("%s", error)
        return False
    return True


COLLECTOR = bytes(16)  # agent id of rows about the collector itself
REPEAT_US = MINUTE_US  # interval of rows while a fault lasts
_NOT_OFFLINE_LINKS = (Link.ONLINE, Link.UNKNOWN)


@dataclass(frozen=True, slots=True)
class SuspectedFault:
    """Fault since a time; `written_us` is the time of its last row."""

    since_us: int
    written_us: int


def is_cut_off(controls: Sequence[Link]) -> bool:
    """Return whether every connected control reports that it is not online.

    The collector's own uplink is then in doubt. Without a connected control nothing is known.
    """
    return bool(controls) and not any(link in _NOT_OFFLINE_LINKS for link in controls)


def update_fault(
    fault: SuspectedFault | None, failing: bool, now_us: int
) -> tuple[SuspectedFault | None, TimeSpan | None]:
    """Return the present fault, and the span to record now, if any.

    The beginning is recorded at once, because a silence is confirmed within a minute and must be
    held back before that.
    """
    if not failing:
        return None, TimeSpan(fault.since_us, now_us) if fault else None
    if fault is None:
        return SuspectedFault(now_us, now_us), TimeSpan(now_us, now_us)
    if now_us - fault.written_us < REPEAT_US:
        return fault, None
    return SuspectedFault(fault.since_us, now_us), TimeSpan(fault.since_us, now_us)


def build_fault_row(
    reason: str, span: TimeSpan, country: str = "", carrier: str = ""
) -> JournalRow:
    """Build the row of a fault; "" means every country or every carrier.

    `reason` is probe, stalled, carrier or update.
    """
    return _build_row({"why": reason, "country": country, "carrier": carrier}, span)


def build_host_row(span: TimeSpan, country: str, now_us: int) -> JournalRow:
    """Build the row of agents that are unknown for a time that may end later than now."""
    fields = {"why": "host", "country": country, "until_us": span.until_us}
    return replace(_build_row(fields, span), received_us=now_us)


def _build_row(fields: Mapping[str, object], span: TimeSpan) -> JournalRow:
    return JournalRow(
        kind=RowKind.FAULT,
        agent=COLLECTOR,
        received_us=span.until_us,
        heard_us=span.since_us,
        body=json.dumps(fields, separators=(",", ":")).encode(),
    )
