"""Notify receivers of problems that keep the collector itself from working.

States of the collector: ready; failing, from the first problem; reported, once it has failed for
PERSIST_US; and ready again, once it has worked for as long. Receivers with `health` are notified
of the last two, and every REMIND_US that it is still not ready. What fails and works in turn may
never fail for PERSIST_US; it is unsteady (`RecentFailures`), is reported at its next failure, and
is ready again once it has worked for UNSTEADY_WINDOW_US.

A receiver of the kind `heartbeat` gets a request each HEARTBEAT_S while there is no problem and it
is steady: the switch behind it calls people when the requests stop, so also when the machine is
off.

None of this state is on the disk, because a full disk is what it most often reports: after a
restart a problem that is still there is reported again, and an end that was not delivered is not.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from heliograph.clock import Clock
from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.alerting.dispatcher import SendPermission, Transports
from heliograph_collector.alerting.http_client import DeliveryError
from heliograph_collector.alerting.message import HealthReport, Message
from heliograph_collector.alerting.outbox import next_retry_us
from heliograph_collector.config.receivers import HealthPolicy, Receiver, ReceiverKind

log = logging.getLogger("heliograph.alerting")

CHECK_S = 5.0  # problems are worked out when asked, as by /readyz, and announce themselves nowhere
HEARTBEAT_S = 60.0  # the shortest period that public switches offer
PERSIST_US = 2 * MINUTE_US  # assumed; a restart of the store takes less
REMIND_US = 6 * HOUR_US  # assumed
UNSTEADY_WINDOW_US = 15 * MINUTE_US  # assumed
UNSTEADY_COUNT = 4  # failures within the window; a restart of the store is one, or two. Assumed.
UNSTEADY_SHARE = 0.2  # of the window, in two or more failures; assumed


class HealthSource(Protocol):
    """Problems that keep the collector from being ready, as /readyz lists them."""

    def problems(self) -> Sequence[str]: ...


@dataclass(slots=True)
class FailurePeriod:
    """A time in which the collector was not ready, as far as it was looked at."""

    since_us: int  # wall clock
    begin_us: int  # monotonic, as is the end
    end_us: int
    is_over: bool = False


class RecentFailures:
    """The failures within UNSTEADY_WINDOW_US, and whether they are many."""

    def __init__(self) -> None:
        self._failures: deque[FailurePeriod] = deque()

    def add(self, now_us: int, monotonic_us: int, *, is_failing: bool) -> None:
        """Add what was seen now, and forget what is too old."""
        failures = self._failures
        newest = failures[-1] if failures and not failures[-1].is_over else None
        if newest is not None:
            newest.end_us = monotonic_us
            newest.is_over = not is_failing
        elif is_failing:
            failures.append(FailurePeriod(now_us, monotonic_us, monotonic_us))
        window_us = monotonic_us - UNSTEADY_WINDOW_US
        while failures and failures[0].end_us <= window_us:
            failures.popleft()
        for failure in failures:
            failure.begin_us = max(failure.begin_us, window_us)

    def __len__(self) -> int:
        return len(self._failures)

    @property
    def since_us(self) -> int:
        """Return when the first of them began, by the wall clock."""
        return self._failures[0].since_us

    @property
    def are_many(self) -> bool:
        """Return whether nobody can rely on the collector, although it works between them."""
        total_us = sum(failure.end_us - failure.begin_us for failure in self._failures)
        is_long = total_us >= UNSTEADY_SHARE * UNSTEADY_WINDOW_US and len(self) > 1
        return len(self) >= UNSTEADY_COUNT or is_long


class HealthState:
    """Decide when the collector's health is reported; remember the last report."""

    def __init__(self) -> None:
        self._since_us: int | None = None  # wall clock, of the first problem
        self._changed_us = 0  # monotonic, when problems began or ended
        self._is_failing = False
        self._reported_us: int | None = None  # monotonic, of the last report; None after an end
        self._failures = RecentFailures()
        self.is_unsteady = False  # until it has worked for UNSTEADY_WINDOW_US

    def update(
        self, problems: Sequence[str], now_us: int, monotonic_us: int
    ) -> HealthReport | None:
        """Return what receivers are to be notified of, None if of nothing new."""
        if bool(problems) is not self._is_failing:
            self._is_failing = bool(problems)
            self._changed_us = monotonic_us
        if problems and self._since_us is None:
            self._since_us = now_us
        self._failures.add(now_us, monotonic_us, is_failing=bool(problems))
        if self._failures.are_many:
            self.is_unsteady = True
            self._since_us = min(self._since_us or now_us, self._failures.since_us)
        elif not self._failures:
            self.is_unsteady = False
        if self._since_us is None or not self._is_due(problems, monotonic_us):
            return None
        return self._report(problems, monotonic_us)

    def _is_due(self, problems: Sequence[str], monotonic_us: int) -> bool:
        if self.is_unsteady:
            return bool(problems)
        return monotonic_us - self._changed_us >= PERSIST_US

    def _report(self, problems: Sequence[str], monotonic_us: int) -> HealthReport | None:
        """Report lasting problems, unless the same were reported lately."""
        reported_us = self._reported_us
        since = _format_time(self._since_us or 0)
        if not problems:
            self._since_us = None
            self._reported_us = None
            return HealthReport(problems=(), since=since) if reported_us is not None else None
        if reported_us is not None and monotonic_us - reported_us < REMIND_US:
            return None
        self._reported_us = monotonic_us
        if self.is_unsteady:
            minutes = UNSTEADY_WINDOW_US // MINUTE_US
            count = len(self._failures)
            problems = [*problems, f"It failed {count} times in {minutes} minutes, and came back."]
        return HealthReport(problems=tuple(problems), since=since)


class HealthNotifier:
    """Notify the receivers that ask for it, each by a task, until cancelled."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        transports: Transports,
        source: HealthSource,
        *,
        clock: Clock,
        rng: random.Random,
        permission: SendPermission | None = None,
    ) -> None:
        self._receivers = [r for r in receivers if r.health is not HealthPolicy.LEAVE_OUT]
        self._switches = [r for r in receivers if r.kind is ReceiverKind.HEARTBEAT]
        self._transports = transports
        self._source = source
        self._clock = clock
        self._rng = rng
        self._permission = permission
        self._state = HealthState()
        self._wake_events = {receiver.name: asyncio.Event() for receiver in self._receivers}
        self._newest: Message | None = None

    async def run(self) -> None:
        if not self._receivers and not self._switches:
            return
        async with asyncio.TaskGroup() as group:
            for receiver in self._receivers:
                group.create_task(self._serve_receiver(receiver))
            for switch in self._switches:
                group.create_task(self._beat(switch))
            while True:
                self.check()
                await asyncio.sleep(CHECK_S)

    def check(self) -> None:
        """Look at the problems, and wake the receivers if there is something to report."""
        if not self._may_send():  # the next leader reports what it finds, and nothing waits here
            self._state = HealthState()
            self._newest = None
            return
        report = self._state.update(
            self._source.problems(), self._clock.wall_us(), self._clock.monotonic_us()
        )
        if report is None:
            return
        log.warning(
            "%s", report.problems[0] if report.problems else "The collector is ready again."
        )
        self._newest = Message(
            id=f"msg_{self._rng.getrandbits(128):032x}", alerts=(), health=report
        )
        for wake_event in self._wake_events.values():
            wake_event.set()

    def _may_send(self) -> bool:
        return self._permission is None or self._permission.is_held

    async def _serve_receiver(self, receiver: Receiver) -> None:
        """Deliver the newest report; one that is newer takes the place of one that waits."""
        wake_event = self._wake_events[receiver.name]
        while True:
            await wake_event.wait()
            wake_event.clear()
            tries = 0
            while self._newest and not wake_event.is_set():
                wait_s = await self._deliver(receiver, self._newest, tries)
                if wait_s is None:
                    break
                tries += 1
                await _wait_at_most(wake_event, wait_s)

    async def _deliver(self, receiver: Receiver, message: Message, tries: int) -> float | None:
        """Try once; return the wait before the next try, None if there is none."""
        now_us = self._clock.wall_us()
        try:
            await self._transports.deliver(receiver, message, now_us)
        except DeliveryError as error:
            log.warning("%s got no report of the collector's health: %s.", receiver.name, error)
            retry_us = next_retry_us(tries + 1, now_us, error.retry_after_s, self._rng)
            is_over = error.is_final or retry_us is None
            return None if is_over else ((retry_us or now_us) - now_us) / SECOND_US
        return None

    async def _beat(self, switch: Receiver) -> None:
        """Request the switch's address while all is well; it reports missing requests."""
        message = Message(id="", alerts=())
        while True:
            if self._source.problems() or self._state.is_unsteady or not self._may_send():
                await asyncio.sleep(CHECK_S)
                continue
            try:
                await self._transports.deliver(switch, message, self._clock.wall_us())
            except DeliveryError as error:
                log.warning("%s got no heartbeat: %s.", switch.name, error)
            await asyncio.sleep(HEARTBEAT_S)


async def _wait_at_most(wake_event: asyncio.Event, wait_s: float) -> None:
    try:
        async with asyncio.timeout(wait_s):
            await wake_event.wait()
    except TimeoutError:
        return


def _format_time(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
