"""Turn the plan into measurements in the spool, anchors first."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from heliograph.clock import Clock
from heliograph.failure import Failure
from heliograph.observation import Epoch, Link, Measurement, Observation, Trigger
from heliograph.plan import HELLO, Plan
from heliograph.units import SECOND_US
from heliograph_agent.runtime.early_runs import (
    HELLO_AGAIN_S,
    FailureMemory,
    draw_look_delay_s,
    find_full_task,
)
from heliograph_agent.runtime.link import classify_link
from heliograph_agent.runtime.own_signs import update_signs
from heliograph_agent.runtime.service_status import ServiceStates, service_states_of
from heliograph_agent.runtime.vantage import VantageState
from heliograph_agent.schedule import (
    Allowance,
    EarlyStart,
    History,
    Task,
    find_due_tasks,
    make_rounds,
    make_tasks,
)
from heliograph_agent.spool import Priority, PriorityClassifier, Spool, SpoolError

if TYPE_CHECKING:
    from heliograph_agent.runtime.runner import Runner

log = logging.getLogger("heliograph.agent")
LINK_WORDS = {
    Link.ONLINE: "this vantage is online",
    Link.OFFLINE: "this vantage is offline: measuring and storing, nothing is judged blocked",
    Link.DOMESTIC_ONLY: "only domestic hosts answer this vantage: measuring and storing",
    Link.NO_RESOLVER: "no name resolves on this vantage: measuring and storing",
    Link.CAPTIVE: "a login page stands before this vantage: nothing is judged blocked",
    Link.UNKNOWN: "the state of this vantage's link is not known",
}
NETWORK_CHANGED = "The network changed meanwhile: what was seen may belong to either."


class MeasurementHost(Protocol):
    """Declare what the loop needs. Implemented by runtime.agent.Agent."""

    @property
    def clock_offset_us(self) -> int | None:
        """Return the collector's clock minus this one, None while it is unknown."""

    def make_runner(self, plan: Plan) -> "Runner":
        """Make a runner within the plan's limits, which loads all experiments."""

    def note_online(self) -> None:
        """Note that the link became online."""

    def note_service_states(self, service_states: ServiceStates) -> None:
        """Note the states that one result shows."""

    def note_stored(self, *, is_urgent: bool) -> None:
        """Note a stored result; an urgent one shows a change and is delivered at once."""


class MeasurementLoop:
    """Run one plan at a time on one network at a time.

    `change_plan` replaces the plan. `change_epoch` begins another network, whose link is unknown
    until its anchors are measured; until then no other task starts. An anchor result sets the link.
    A failed task on an online link counts only if anchors that are measured after it still show an
    online link.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        clock: Clock,
        rng: random.Random,
        plan: Plan,
        vantage: VantageState,
        allowance: Allowance | None,
        host: MeasurementHost,
    ) -> None:
        self.vantage = vantage
        self.plan = plan
        self.history = History.create(clock.monotonic_us(), rng, allowance)
        self._spool = spool
        self._host = host
        self._runner: Runner | None = None  # made for the first task
        self._accounted_bytes = 0
        self._clock = clock
        self._rng = rng
        self._classifier = PriorityClassifier()
        self._anchor_lock = asyncio.Lock()
        self._anchors_checked_us = -1  # monotonic, start of the last finished anchor task
        self._wake_event = asyncio.Event()
        self._is_spool_full = False
        self._failure_memory = FailureMemory()

    def bring_forward(self, task: Task, delay_s: float, trigger: Trigger) -> None:
        """Run a task after a delay, unless it is due earlier or the plan forbids it."""
        if not self.plan.fixed_schedule:
            at_us = self._clock.monotonic_us() + int(delay_s * SECOND_US)
            self.history = self.history.bring_forward(task, EarlyStart(at_us, trigger))
            self._wake_event.set()

    def change_plan(self, plan: Plan) -> None:
        """Replace the plan; running tasks end under the old one."""
        if plan != replace(self.plan, tasks=plan.tasks, version=plan.version):
            self._runner = None  # it has the plan's limits, hellos and roots
        self.plan = plan
        self.history = self.history.change_plan(plan, self._clock.monotonic_us())
        self._wake_event.set()

    def change_epoch(self, epoch: Epoch) -> None:
        """Begin another network, whose anchors are measured before all other tasks."""
        self.vantage.epoch = epoch
        self.vantage.link_known = False
        self.vantage.own_signs = {}
        self._failure_memory.forget()
        self._set_link(Link.UNKNOWN)
        anchors = {task.key for task in make_tasks(self.plan) if _is_anchor(task)}
        start_times = {key: at for key, at in self.history.starts.items() if key not in anchors}
        now_us = self._clock.monotonic_us()
        self.history = replace(self.history, starts=start_times, began_us=now_us)
        self._wake_event.set()

    def stretch_intervals(self, percent: int) -> None:
        """Run all but the anchors at these percentages of their intervals, for a while."""
        self.history = self.history.stretch(self.plan, percent, self._clock.monotonic_us())
        self._wake_event.set()

    def compute_schedule(self) -> int:
        """Compute the first schedule; return the microseconds until a task is due."""
        now_us = self._clock.monotonic_us()
        return find_due_tasks(self.plan, self.history, now_us, self._rng)[1] - now_us

    async def run(self) -> None:
        """Start due tasks until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                now_us = self._clock.monotonic_us()
                self.history = self.history.end_stretch(self.plan, now_us)
                tasks, wake_us = find_due_tasks(self.plan, self.history, now_us, self._rng)
                for task in self._filter_allowed(tasks):
                    trigger = self.history.find_trigger(task, now_us)
                    self.history = self.history.record_start(task, now_us)
                    group.create_task(self._measure_task(task, trigger))
                with suppress(TimeoutError):
                    async with asyncio.timeout((wake_us - now_us) / 1e6):
                        await self._wake_event.wait()
                self._wake_event.clear()

    async def run_once(self, progress: Callable[[int, int], None]) -> int:
        """Run every task of the plan, anchors first; return the count of results.

        Hosts in turn, of which there are many, have their turns in `run` alone.
        """
        tasks = [task for task in make_rounds(self.plan) if task.experiment != HELLO]
        done = 0

        async def measure(task: Task) -> None:
            nonlocal done
            self.history = self.history.record_start(task, self._clock.monotonic_us())
            await self._measure_task(task)
            done += 1
            progress(done, len(tasks))

        for anchors in (True, False):
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    if _is_anchor(task) is anchors:
                        group.create_task(measure(task))
        return done

    async def measure_visit(self, task: Task) -> None:
        """Run a visit now, unless this control is not online."""
        if self.vantage.link is Link.ONLINE:
            self.history = self.history.record_start(task, self._clock.monotonic_us())
            await self._measure_task(task)

    def _filter_allowed(self, tasks: tuple[Task, ...]) -> list[Task]:
        if self.vantage.link_known or not any(_is_anchor(t) for t in make_tasks(self.plan)):
            return list(tasks)
        return [task for task in tasks if _is_anchor(task)]

    async def _measure_task(self, task: Task, trigger: str = "") -> None:
        epoch = self.vantage.epoch
        link = self.vantage.link
        measurement = await self._run_task(task, epoch, link, trigger)
        changed = False
        if _is_anchor(task) and epoch is self.vantage.epoch:
            measurement, changed = self._apply_anchor_result(measurement)
        elif link is Link.ONLINE and has_failed(measurement):
            measurement = await self._confirm_failure(measurement)
        if link is Link.ONLINE is measurement.link:
            for part_task, part in zip(
                task.parts or (task,), measurement.list_parts(), strict=True
            ):
                self._plan_second_look(part_task, part)
        if epoch is not self.vantage.epoch:  # which may explain the result
            measurement = measurement.with_reason(NETWORK_CHANGED)
        await self._store_measurement(task, measurement, epoch, changed=changed)

    async def _run_task(self, task: Task, epoch: Epoch, link: Link, trigger: str) -> Measurement:
        from heliograph_agent.runtime.runner import TaskContext

        runner = self._get_runner()
        context = TaskContext(
            epoch=epoch.id,
            link=link,
            plan_version=self.plan.version,
            services_version=self.plan.services_version,
            clock_offset_us=self._host.clock_offset_us,
            addresses=task.addresses,
            trigger=trigger,
        )
        try:
            if task.parts:
                return await runner.run_round(task, task.parts, context)
            return await runner.run(task, context)
        finally:
            self._account_bytes(task, runner)

    async def _confirm_failure(self, measurement: Measurement) -> Measurement:
        """Measure the anchors again after a failure, and adopt a link that is not online.

        A failure is evidence only between two anchor measurements that both show an online link.
        The previous one may be minutes old. One new one serves all tasks that failed meanwhile.
        """
        if not await self.check_anchors() or self.vantage.link is Link.ONLINE:
            return measurement
        return measurement.with_link(self.vantage.link)

    async def check_anchors(self, trigger: str = "") -> bool:
        """Measure the anchors now, once for all who wait; return whether the plan has any."""
        anchors = [task for task in make_tasks(self.plan) if _is_anchor(task)]
        asked_us = self._clock.monotonic_us()
        async with self._anchor_lock:
            if self._anchors_checked_us < asked_us:
                for task in anchors:
                    self.history = self.history.record_start(task, self._clock.monotonic_us())
                    await self._measure_task(task, trigger)
        return bool(anchors)

    def _plan_second_look(self, task: Task, measurement: Measurement) -> None:
        """Test again soon after a first failure between two looks at online anchors."""
        if measurement.not_measured or measurement.is_visit or _is_anchor(task):
            return
        now_us = self._clock.monotonic_us()
        memory = self._failure_memory
        for hello in memory.choose_hellos(measurement, self.plan, self.history.early, now_us):
            delay_s = HELLO_AGAIN_S if task.experiment == HELLO else 0.0
            self.bring_forward(hello, delay_s, Trigger.SECOND_LOOK)
        for page in memory.choose_pages(measurement, self.plan, now_us):
            self.bring_forward(page, draw_look_delay_s(self._rng), Trigger.SECOND_LOOK)
        if task.experiment == HELLO:  # it has sent ours twice
            return
        failed = frozenset(x.endpoint for x in measurement.observations if is_evident_failure(x))
        if memory.deserves_look(measurement, failed, now_us):
            full_task = find_full_task(task, self.plan)
            self.bring_forward(full_task, draw_look_delay_s(self._rng), Trigger.SECOND_LOOK)

    def _get_runner(self) -> "Runner":
        if self._runner is None:
            self._runner = self._host.make_runner(self.plan)
            self._accounted_bytes = 0
        return self._runner

    def _account_bytes(self, task: Task, runner: "Runner") -> None:
        moved_bytes = 0
        if runner is self._runner:
            moved_bytes = runner.moved_bytes - self._accounted_bytes
            self._accounted_bytes = runner.moved_bytes
        if task.addresses is not None:
            moved_bytes = 0  # visits have a limit in VisitQueue: they must not starve the plan
        now_us = self._clock.monotonic_us()
        self.history = self.history.record_finish(task, now_us, moved_bytes, self.plan.limits)
        self._wake_event.set()

    def _apply_anchor_result(self, measurement: Measurement) -> tuple[Measurement, bool]:
        """Set the link from an anchor result; anchors that did not run leave it unknown."""
        link = Link.UNKNOWN if measurement.not_measured else classify_link(measurement.observations)
        self.vantage.link_known = True
        self._anchors_checked_us = max(self._anchors_checked_us, measurement.monotonic_us)
        return replace(measurement, link=link), self._set_link(link)

    def _set_link(self, link: Link) -> bool:
        if link is self.vantage.link:
            return False
        self.vantage.link = link
        level = logging.INFO if link in (Link.ONLINE, Link.UNKNOWN) else logging.WARNING
        log.log(level, LINK_WORDS[link])
        if link is Link.ONLINE:
            self._host.note_online()
        return True

    async def _store_measurement(
        self, task: Task, measurement: Measurement, epoch: Epoch, *, changed: bool
    ) -> None:
        priority = Priority.P1  # of a visit, for which a verdict waits
        if not measurement.is_visit:  # one endpoint shows neither a service's state nor a change
            states_service = None if measurement.is_light else task.service
            service_states = service_states_of(measurement, states_service)
            self.vantage.service_states |= service_states
            if epoch is self.vantage.epoch:
                for part in measurement.list_parts():
                    self.vantage.own_signs = update_signs(self.vantage.own_signs, part)
            self._host.note_service_states(service_states)
            priority = self._classifier.classify(measurement, task.priority)
        if changed:
            priority = min(priority, Priority.P1)
        try:
            await self._spool.append(measurement, epoch, priority)
        except SpoolError as error:
            if not self._is_spool_full:
                log.warning("%s Results are lost until then.", error)
            self._is_spool_full = True
            return
        self._is_spool_full = False
        for part in measurement.list_parts():
            self.vantage.last_results[part.experiment] = self._clock.wall_us()
        self._host.note_stored(is_urgent=changed or priority is Priority.P1)


def has_failed(measurement: Measurement) -> bool:
    """Return whether any step failed in a way that a dead link would explain."""
    return any(is_evident_failure(x) for p in measurement.list_parts() for x in p.observations)


def is_evident_failure(x: Observation) -> bool:
    """Return whether a step failed as on no online link: no AAAA record, no IPv6."""
    if x.tcp is not None and ":" in x.tcp.address:
        ordinary = (Failure.NETWORK_UNREACHABLE, Failure.ADDRESS_NOT_AVAILABLE)
        return x.failure is not None and x.failure not in ordinary
    return x.failure not in (None, Failure.DNS_NO_ANSWER)


def _is_anchor(task: Task) -> bool:
    return task.priority is Priority.P0
