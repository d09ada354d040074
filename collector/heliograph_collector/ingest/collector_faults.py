"""Detect and record faults of the collector itself, so that agents are not reported silent.

A stall is a time in which our event loop hung or the machine slept; a suspected fault is a state
(every control offline) that is written down when it begins, each minute, and when it ends.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph.observation import Link
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.journal import Journal, JournalError

MIN_STALL_US = 10_000_000
CHECK_INTERVAL_S = 1.0
ALIVE_INTERVAL_S = 5.0

log = logging.getLogger("heliograph.intake")


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One look at both clocks."""

    wall_us: int
    monotonic_us: int


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """From when until when, on the wall clock as it now stands."""

    since_us: int
    until_us: int


def read_clocks(clock: Clock) -> ClockReading:
    return ClockReading(clock.wall_us(), clock.monotonic_us())


def detect_stall(previous: ClockReading, current: ClockReading) -> TimeSpan | None:
    """The time in which nobody looked; None when there was none of `MIN_STALL_US`."""
    elapsed_us = max(
        current.monotonic_us - previous.monotonic_us, current.wall_us - previous.wall_us
    )
    return (
        TimeSpan(current.wall_us - elapsed_us, current.wall_us)
        if elapsed_us >= MIN_STALL_US
        else None
    )


async def run_stall_checks(
    check_stall: Callable[[], object], clock: Clock, on_lag: Callable[[float], object]
) -> None:
    """Look every second, and say by how many seconds that came late; never returns. It waits for
    nothing else: that would look like a hang."""
    while True:
        slept_from_us = clock.monotonic_us()
        await asyncio.sleep(CHECK_INTERVAL_S)
        on_lag(max(0.0, (clock.monotonic_us() - slept_from_us) / 1e6 - CHECK_INTERVAL_S))
        check_stall()


async def run_alive_marks(journal: Journal, clock: Clock) -> None:
    """Mark every five seconds that we live, and once more at the end.

    A mark that fails is left: the next collector then takes us for dead a little earlier.
    """
    try:
        while True:
            await _write_alive_mark(journal, clock)
            await asyncio.sleep(ALIVE_INTERVAL_S)
    finally:
        await _write_alive_mark(journal, clock)


async def _write_alive_mark(journal: Journal, clock: Clock) -> None:
    try:
        await journal.mark_alive(clock.wall_us())
    except JournalError as error:
        log.warning("%s", error)


COLLECTOR = bytes(16)  # the agent id of rows about the collector itself
REPEAT_US = 60_000_000  # a row so often while it lasts
_NOT_OFFLINE_LINKS = (Link.ONLINE, Link.UNKNOWN)


@dataclass(frozen=True, slots=True)
class SuspectedFault:
    """Something is wrong since then; `written_us` is when that was last written down."""

    since_us: int
    written_us: int


def is_cut_off(controls: Sequence[Link]) -> bool:
    """Whether every control that is connected says that it is not online.

    Then it is our own way to the world that is in doubt. With none connected nobody says so.
    """
    return bool(controls) and not any(link in _NOT_OFFLINE_LINKS for link in controls)


def update_fault(
    fault: SuspectedFault | None, failing: bool, now_us: int
) -> tuple[SuspectedFault | None, TimeSpan | None]:
    """What is in doubt from now on, and the span to be written down now, if any.

    At the beginning at once: a silence is confirmed within a minute, and has to be held until then.
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
    """`reason` is probe, stalled, carrier or update; "" stands for every country, every carrier."""
    fields = {"why": reason, "country": country, "carrier": carrier}
    return JournalRow(
        kind=RowKind.FAULT,
        agent=COLLECTOR,
        received_us=span.until_us,
        heard_us=span.since_us,
        body=json.dumps(fields, separators=(",", ":")).encode(),
    )
