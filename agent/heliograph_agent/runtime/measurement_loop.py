"""Turns the plan into measurements in the spool, anchors first."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from heliograph.clock import Clock
from heliograph.failure import Failure
from heliograph.observation import Epoch, Link, Measurement, Observation
from heliograph.plan import Plan
from heliograph_agent.runtime.service_status import Lives, lives_of
from heliograph_agent.runtime.vantage import link_of
from heliograph_agent.schedule import Allowance, History, Task, due, tasks_of
from heliograph_agent.spool import Priority, Spool, SpoolError, Triage

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
STRADDLED = "The network changed meanwhile: what was seen may belong to either."


@dataclass(slots=True, kw_only=True)
class Place:
    """Where this agent stands now."""

    epoch: Epoch
    link: Link = Link.UNKNOWN
    link_known: bool = False  # its anchors were asked in this epoch
    last_results: dict[str, int] = field(default_factory=dict)  # experiment → wall clock
    lives: Lives = field(default_factory=dict)  # what answered when last tested


class Measuring:
    """One plan at a time; `adopt` changes it, `moved_to` says that the network is another one."""

    def __init__(
        self,
        *,
        spool: Spool,
        runner: "Callable[[Plan], Runner]",
        clock: Clock,
        rng: random.Random,
        plan: Plan,
        place: Place,
        allowance: Allowance | None,
        offset_us: Callable[[], int | None],
        stored: Callable[[bool], None],
        online: Callable[[], None] = lambda: None,
        saw: Callable[[Lives], None] = lambda lives: None,
    ) -> None:
        self.place = place
        self.plan = plan
        self.history = History.begin(clock.monotonic_us(), rng, allowance)
        self._spool = spool
        self._make_runner = runner
        self._runner: Runner | None = None  # made for the first task, with all the experiments
        self._accounted = 0
        self._clock = clock
        self._rng = rng
        self._offset_us = offset_us
        self._stored = stored  # True: something changed, deliver it at once
        self._online = online  # the link is whole, and was not before
        self._saw = saw  # which kinds of service a result says something of
        self._triage = Triage()
        self._anchoring = asyncio.Lock()
        self._anchored_from_us = -1  # monotonic, when the last finished look at the anchors began
        self._stir = asyncio.Event()
        self._full = False

    def adopt(self, plan: Plan) -> None:
        """What is under way ends as it began; the rest is planned anew."""
        if plan.limits != self.plan.limits:
            self._runner = None
        self.plan = plan
        self.history = self.history.adopt(plan, self._clock.monotonic_us())
        self._stir.set()

    def moved_to(self, epoch: Epoch) -> None:
        """Another network: its anchors are asked before anything else."""
        self.place.epoch, self.place.link_known = epoch, False
        self._set_link(Link.UNKNOWN)
        anchors = {task.key for task in tasks_of(self.plan) if _is_anchor(task)}
        starts = {key: at for key, at in self.history.starts.items() if key not in anchors}
        now_us = self._clock.monotonic_us()
        self.history = replace(self.history, starts=starts, began_us=now_us)
        self._stir.set()

    def first_look(self) -> int:
        """Microseconds until something is due; the first schedule, computed."""
        now_us = self._clock.monotonic_us()
        return due(self.plan, self.history, now_us, self._rng)[1] - now_us

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                now_us = self._clock.monotonic_us()
                tasks, wake_us = due(self.plan, self.history, now_us, self._rng)
                for task in self._allowed_now(tasks):
                    self.history = self.history.started(task, now_us)
                    group.create_task(self._measure(task))
                with suppress(TimeoutError):
                    async with asyncio.timeout((wake_us - now_us) / 1e6):
                        await self._stir.wait()
                self._stir.clear()

    async def once(self, progress: Callable[[int, int], None]) -> int:
        """Every task of the plan, anchors first; returns how many results were stored."""
        tasks = tasks_of(self.plan)
        done = 0

        async def measure(task: Task) -> None:
            nonlocal done
            self.history = self.history.started(task, self._clock.monotonic_us())
            await self._measure(task)
            done += 1
            progress(done, len(tasks))

        for anchors in (True, False):
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    if _is_anchor(task) is anchors:
                        group.create_task(measure(task))
        return done

    def _allowed_now(self, tasks: tuple[Task, ...]) -> list[Task]:
        """Nothing is measured on a network whose anchors were not asked yet, if there are any."""
        if self.place.link_known or not any(_is_anchor(t) for t in tasks_of(self.plan)):
            return list(tasks)
        return [task for task in tasks if _is_anchor(task)]

    async def _measure(self, task: Task) -> None:
        epoch, link = self.place.epoch, self.place.link
        measurement = await self._run(task, epoch, link)
        changed = False
        if _is_anchor(task) and epoch is self.place.epoch:
            measurement, changed = self._anchored(measurement)
        elif link is Link.ONLINE and has_failed(measurement):
            measurement = await self._confirmed(measurement)
        if epoch is not self.place.epoch:
            measurement = _straddling(measurement)
        await self._store(task, measurement, epoch, changed=changed)

    async def _run(self, task: Task, epoch: Epoch, link: Link) -> Measurement:
        from heliograph_agent.runtime.runner import Context

        runner = self._present_runner()
        context = Context(
            epoch=epoch.id,
            link=link,
            plan_version=self.plan.version,
            services_version=self.plan.services_version,
            clock_offset_us=self._offset_us(),
        )
        try:
            return await runner.run(task, context)
        finally:
            self._account(task, runner)

    async def _confirmed(self, measurement: Measurement) -> Measurement:
        """A failure is evidence only between two looks at the anchors that both found a whole link.

        What was seen before may be minutes old; so the anchors are asked again, once for all that
        failed meanwhile, and a link that is not whole now is the one that counts.
        """
        anchors = [task for task in tasks_of(self.plan) if _is_anchor(task)]
        failed_us = self._clock.monotonic_us()
        async with self._anchoring:
            if self._anchored_from_us < failed_us:
                for task in anchors:
                    self.history = self.history.started(task, self._clock.monotonic_us())
                    await self._measure(task)
        if not anchors or self.place.link is Link.ONLINE:
            return measurement
        return replace(measurement, link=self.place.link)

    def _present_runner(self) -> "Runner":
        if self._runner is None:
            self._runner, self._accounted = self._make_runner(self.plan), 0
        return self._runner

    def _account(self, task: Task, runner: "Runner") -> None:
        moved = 0
        if runner is self._runner:
            moved, self._accounted = runner.moved - self._accounted, runner.moved
        now_us = self._clock.monotonic_us()
        self.history = self.history.finished(task, now_us, moved, self.plan.limits)
        self._stir.set()

    def _anchored(self, measurement: Measurement) -> tuple[Measurement, bool]:
        """Anchors that could not be asked tell nothing, and hold nobody back."""
        link = Link.UNKNOWN if measurement.not_measured else link_of(measurement.observations)
        self.place.link_known = True
        self._anchored_from_us = max(self._anchored_from_us, measurement.monotonic_us)
        return replace(measurement, link=link), self._set_link(link)

    def _set_link(self, link: Link) -> bool:
        if link is self.place.link:
            return False
        self.place.link = link
        level = logging.INFO if link in (Link.ONLINE, Link.UNKNOWN) else logging.WARNING
        log.log(level, LINK_WORDS[link])
        if link is Link.ONLINE:
            self._online()
        return True

    async def _store(
        self, task: Task, measurement: Measurement, epoch: Epoch, *, changed: bool
    ) -> None:
        lives = lives_of(measurement, task.service)
        self.place.lives |= lives
        self._saw(lives)
        priority = self._triage.priority(measurement, task.priority)
        if changed:
            priority = min(priority, Priority.P1)
        try:
            await self._spool.append(measurement, epoch, priority)
        except SpoolError as error:
            if not self._full:
                log.warning("%s Results are lost until then.", error)
            self._full = True
            return
        self._full = False
        self.place.last_results[task.experiment] = self._clock.wall_us()
        self._stored(changed or priority is Priority.P1)


def _straddling(measurement: Measurement) -> Measurement:
    """Begun on one network and ended on another: its failures may be those of the change."""
    return replace(measurement, not_measured=measurement.not_measured or STRADDLED)


def has_failed(measurement: Measurement) -> bool:
    """Whether any step failed that a dead link would explain."""
    return any(x.failure is not None and not _ordinary(x) for x in measurement.observations)


def _ordinary(x: Observation) -> bool:
    """What also happens on a whole link: no AAAA record, no IPv6 on this machine."""
    if x.tcp is not None and ":" in x.tcp.address:
        return x.failure in (Failure.NETWORK_UNREACHABLE, Failure.ADDRESS_NOT_AVAILABLE)
    return x.failure is Failure.DNS_NO_ANSWER


def _is_anchor(task: Task) -> bool:
    return task.priority is Priority.P0
