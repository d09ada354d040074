"""Run the whole agent in one task group, from the schedule to the uplink.

Results flow from schedule to runner, spool, batches and uplink. Nothing here waits for the network:
the plan is on the disk, so the agent measures and stores for as long as a shutdown lasts. Libraries
that an idle agent does not need are imported on first use.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from heliograph.clock import Clock
from heliograph.observation import Link, Trigger
from heliograph.plan import Limits, Plan
from heliograph.translation import mark
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_agent.net.local_addresses import read_local_view
from heliograph_agent.platform.power import is_on_battery, read_uptime_s
from heliograph_agent.runtime import signing
from heliograph_agent.runtime.batcher import Batcher
from heliograph_agent.runtime.collector_sealer import CollectorSealer
from heliograph_agent.runtime.early_runs import AskedRuns
from heliograph_agent.runtime.measurement_loop import MeasurementLoop
from heliograph_agent.runtime.offline_digest import OfflineDigest, OfflineDigests
from heliograph_agent.runtime.pause import is_paused
from heliograph_agent.runtime.plan_updater import PlanUpdater
from heliograph_agent.runtime.service_status import ServiceStates, restore_service_states
from heliograph_agent.runtime.settings import AgentSettings, read_settings
from heliograph_agent.runtime.status_file import (
    AgentStatus,
    StatusFile,
    TransportFailure,
    read_status,
)
from heliograph_agent.runtime.vantage import VantageState, VantageTracker
from heliograph_agent.runtime.visits import VisitQueue
from heliograph_agent.runtime.volatile_file import VolatileFile
from heliograph_agent.schedule import Allowance, Task
from heliograph_agent.spool import Spool
from heliograph_agent.state import SPOOL

if TYPE_CHECKING:
    from heliograph_agent.net.system_net import SystemNetFactory
    from heliograph_agent.runtime.runner import Runner
    from heliograph_agent.uplink.connection_manager import Uplink
    from heliograph_agent.uplink.hello import SessionFacts

__all__ = ["Agent", "AgentSettings", "read_settings"]

NETWORK_POLL_S = 5.0  # between two looks at the network
POLL_S = 1.0  # between two checks for `pause` and `plan --agree`
CANCEL_S = 0.2  # for the runner to cancel its tasks
LEAVE_S = 0.6  # for the last batch and the goodbye
WORD_JITTER_S = 3.0  # assumed; a collector's end breaks all sessions at once
ONCE_S = 30.0  # for `run --once` to deliver
log = logging.getLogger("heliograph.agent")


class Agent:
    """Hold all parts of a running agent; the spool is open from `open` to `close`.

    It is the host of its parts, each of which declares its needs as a Protocol.
    """

    def __init__(self, settings: AgentSettings, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._is_cloned = False
        self._boot = settings.boot_id()
        self._sealer = CollectorSealer(settings.state, settings.collector, clock)
        self.spool = Spool(settings.state.path(SPOOL), self._sealer, clock=clock)
        self._vantage_tracker = VantageTracker(
            read_local_view(), clock, settings.declared_vantage()
        )
        self.plan_updater = PlanUpdater(settings, clock, self)
        plan = self.plan_updater.plan
        self.status = StatusFile(
            settings.state, self.spool, VolatileFile(settings.collector.agent), self
        )
        status = read_status(settings.state)  # of an earlier run, so that a restart keeps it
        self.offline_digest = OfflineDigest(clock, self._boot)
        self.measurement_loop = MeasurementLoop(
            spool=self.spool,
            clock=clock,
            rng=rng,
            plan=plan,
            vantage=VantageState(
                epoch=self._vantage_tracker.epoch,
                service_states=restore_service_states(status.get("lives")),
            ),
            allowance=self._restore_allowance(status.get("allowance"), plan.limits),
            host=self,
        )
        self._asked_runs = AskedRuns(self.measurement_loop, clock)
        self.batcher = Batcher(self.spool, clock, self)
        self.visit_queue = VisitQueue(self, self.plan_updater, clock)

    @property
    def settings(self) -> AgentSettings:
        return self.plan_updater.settings

    async def open(self) -> None:
        """Open the spool, log why it cannot be used, and compute the first schedule."""
        counts = await self.spool.read_counts()
        if counts.problem:
            log.warning("%s", counts.problem)
        self.plan_updater.take_delivered_plan()
        self.measurement_loop.compute_schedule()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, through any number of pauses."""
        while not stop.is_set():
            if is_paused(self.settings.state, self._clock.wall_us()):
                await self.status.write()
                while is_paused(self.settings.state, self._clock.wall_us()) and not stop.is_set():
                    await self._wait_poll(stop)
            else:
                await self._run_tasks(stop)

    async def run_once(self, stop: asyncio.Event, progress: Callable[[int, int], None]) -> int:
        """Run the plan once, deliver for at most ONCE_S, and return the count of results."""
        done = 0
        self.uplink.reconnect_delay.cancel_delay()
        async with asyncio.TaskGroup() as group:
            uplink = group.create_task(self.uplink.run())
            work = group.create_task(self.measurement_loop.run_once(progress))
            ending = group.create_task(stop.wait())
            await asyncio.wait([work, ending], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                done = work.result()
            await self._stop_tasks([work])
            await self.batcher.close_batches()
            self.uplink.wake()
            await asyncio.wait(
                [group.create_task(self._wait_delivered()), ending],
                return_when=asyncio.FIRST_COMPLETED,
            )
            ending.cancel()
            await self._leave_session(uplink, "shutdown")
        return done

    async def close(self) -> None:
        await self.status.write()
        await self.spool.close()

    async def _run_tasks(self, stop: asyncio.Event) -> None:
        """Measure and send until `stop` or a pause, then deliver the rest and say goodbye."""
        from heliograph_agent.runtime.relay_task import run_relay

        async with asyncio.TaskGroup() as group:
            uplink = group.create_task(self.uplink.run())
            status_task = group.create_task(self.status.run())
            tasks = [
                group.create_task(self.measurement_loop.run()),
                group.create_task(self.batcher.run()),
                group.create_task(self._follow_network()),
                group.create_task(self.visit_queue.run()),
                group.create_task(run_relay(self.plan_updater, self._clock, self._rng)),
            ]
            self.status.mark_changed()
            reason = await self._wait_for_stop(stop)
            await self._stop_tasks(tasks)
            await self.batcher.close_batches()
            await self._leave_session(uplink, reason)
            await self.batcher.close_batches()  # the last attempts are sealed too
            status_task.cancel()

    async def _stop_tasks(self, tasks: list[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCEL_S)

    async def _leave_session(self, uplink: asyncio.Task[None], reason: str) -> None:
        self.uplink.leave(reason)
        await asyncio.wait([uplink], timeout=LEAVE_S)
        uplink.cancel()

    async def _wait_delivered(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ONCE_S):
                await self.uplink.wait_delivered()

    async def _follow_network(self) -> None:
        while True:
            await asyncio.sleep(NETWORK_POLL_S)
            if self._vantage_tracker.check_network(read_local_view()):
                log.info(mark("the network changed"))
                self.measurement_loop.change_epoch(self._vantage_tracker.epoch)
                self.uplink.restart()
                self.status.mark_changed()

    async def _wait_for_stop(self, stop: asyncio.Event) -> str:
        while not stop.is_set():
            if is_paused(self.settings.state, self._clock.wall_us()):
                log.info(mark("paused"))
                return "pause"
            self.plan_updater.take_delivered_plan()
            self.plan_updater.poll()
            await self._wait_poll(stop)
        return "shutdown"

    async def _wait_poll(self, stop: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await stop.wait()

    @cached_property
    def uplink(self) -> "Uplink":
        """Make the uplink, and load its libraries, on first use."""
        from heliograph_agent.runtime.uplink_host import (
            BeaconContents,
            EntrancePolicy,
            UplinkResults,
        )
        from heliograph_agent.uplink.connection_manager import Uplink
        from heliograph_agent.uplink.dns_beacon import DnsBeacon

        state = self.settings.state
        dial_context = self.settings.config.dial_context(self._clock, self._rng)
        vantage = self.measurement_loop.vantage
        beacon = BeaconContents(self.plan_updater, vantage, self._clock)
        return Uplink(
            self,
            state,
            self.spool,
            dial_context,
            policy=EntrancePolicy(self.plan_updater, dial_context),
            attempt_store=UplinkResults(self.spool, vantage, self._boot, self.status),
            status_listener=self.status,
            beacon=DnsBeacon(state, beacon),
        )

    def make_net_source(self) -> "SystemNetFactory":
        """Make the network of the plan's tests, and load its libraries."""
        from heliograph_agent.net.system_net import SystemNetFactory

        config = self.settings.config.planned_net_config(self.measurement_loop.plan.services)
        return SystemNetFactory(config, self._clock, self._rng)

    def make_runner(self, plan: Plan) -> "Runner":
        from heliograph_agent.runtime.hello_edition import choose_edition
        from heliograph_agent.runtime.runner import Runner

        net_source = self.make_net_source()
        net_source.hello_profiles = choose_edition(plan.hello_profiles, self.settings.state)
        return Runner(net_source, self._clock, plan.limits, self._boot)

    async def run_visit(self, task: Task) -> None:
        await self.measurement_loop.measure_visit(task)

    def take_early_runs(self, asked: intake_pb2.EarlyRuns) -> None:
        """Run tasks of the plan sooner, as SessionAgent asks."""
        self._asked_runs.take(asked)

    def take_findings(self, findings: intake_pb2.Findings) -> None:
        self.status.take_findings(findings)

    def take_visits(self, signed: intake_pb2.SignedVisitOrder) -> None:
        self.visit_queue.take_order(signed)

    @property
    def agent_id(self) -> bytes:
        return self.settings.collector.agent

    async def sign(self, context: bytes, message: bytes) -> bytes:
        """Sign for the session, as SessionAgent asks."""
        return await signing.sign_message(self.settings.state, context, message)

    def answer_renewal(self, renewed: intake_pb2.Renewed) -> intake_pb2.Renewal | None:
        """Answer a message about this agent's key, as SessionAgent asks."""
        return signing.answer_renewal(self.settings.state, self.settings.collector, renewed)

    def take_plan(self, signed: plan_pb2.SignedPlan) -> None:
        """Verify and store a plan that the collector sent."""
        self.plan_updater.take_plan(signed)

    def note_stored(self, *, is_urgent: bool) -> None:
        self.batcher.note_measurement(urgent=is_urgent)
        self.status.mark_changed()

    def note_online(self) -> None:
        self.uplink.shorten_wait()

    def note_service_states(self, service_states: ServiceStates) -> None:
        self.offline_digest.add_states(service_states)

    @property
    def is_offline(self) -> bool:
        return not self.uplink.status.connected

    async def prepare_word(self) -> bool:
        """Measure the anchors after the session broke, as SessionAgent asks."""
        await asyncio.sleep(self._rng.uniform(0.0, WORD_JITTER_S))
        has_anchors = await self.measurement_loop.check_anchors(Trigger.SESSION_LOST)
        await self.batcher.close_batches()
        return has_anchors and self.measurement_loop.vantage.link is Link.ONLINE

    def note_all_delivered(self) -> None:
        self.offline_digest.reset()

    def build_offline_digest(self) -> OfflineDigests | None:
        vantage = self.measurement_loop.vantage
        if not self.offline_digest.is_worth_sending:
            return None
        return [*self.offline_digest.build_digests(vantage.epoch, vantage.link)], vantage.epoch

    def note_batch_closed(self) -> None:
        self.uplink.wake()
        self.status.mark_changed()

    def note_rejection(self, sequence: int, reason: str) -> None:
        """Note that the collector refused a batch for good."""
        log.warning(mark("the collector refused batch %d (%s); it is kept apart"), sequence, reason)
        self.status.mark_changed()

    def apply_plan(self, plan: Plan) -> None:
        self._sealer.collector = self.settings.collector
        self.measurement_loop.change_plan(plan)
        self.status.mark_changed()

    def stretch_intervals(self, percent: int) -> None:
        """Run routine tasks less often, as SessionAgent asks."""
        self.measurement_loop.stretch_intervals(percent)

    def note_advice(self, reason: str) -> None:
        """Note the collector's advice, such as that this agent's key is used twice."""
        if reason == "cloned" and not self._is_cloned:
            self._is_cloned = True
            log.warning(
                "another machine uses this agent's key: stop one of them, and run there "
                "`heliograph-agent join INVITE --new-key` with a new invite"
            )
            self.status.mark_changed()

    @property
    def clock_offset_us(self) -> int | None:
        return self.uplink.offsets.offset_us(self._clock.wall_us(), self._clock.monotonic_us())

    def session_facts(self) -> "SessionFacts":
        """Describe this agent for hello and heartbeat."""
        from heliograph_agent.uplink.hello import SessionFacts

        vantage = self.measurement_loop.vantage
        epoch = vantage.epoch
        return SessionFacts(
            boot=self._boot,
            epoch=epoch.id,
            link=vantage.link,
            country=epoch.country,
            region=epoch.region,
            access=epoch.access,
            plan_version=self.settings.plan.version,
            charter_version=self.plan_updater.charter_version,
            on_battery=is_on_battery(),
            uptime_s=read_uptime_s(),
        )

    def _restore_allowance(self, stored: object, limits: Limits) -> Allowance | None:
        """Restore from status.json how much of this month's bytes is left."""
        if not isinstance(stored, dict):
            return None
        now_us = self._clock.monotonic_us()
        return Allowance.from_json(stored, now_us, self._clock.wall_us(), limits.bytes_per_month)

    def describe_status(self) -> AgentStatus:
        vantage = self.measurement_loop.vantage
        connection = self.uplink.status
        now_us = self._clock.monotonic_us()
        limits = self.measurement_loop.plan.limits
        allowance = self.measurement_loop.history.allowance.spend(0, now_us, limits.bytes_per_month)
        failure: TransportFailure = {
            "reason": connection.last_failure,
            "at_us": connection.last_failure_us,
        }
        return {
            "written_us": self._clock.wall_us(),
            "connected": connection.connected,
            "way": connection.transport,
            "last_success_us": connection.last_success_us,
            "last_word_us": connection.last_beacon_us,
            "last_failure": {"grpc": failure} if connection.last_failure else {},
            "link": vantage.link.value,
            "epoch": vantage.epoch.id,
            "plan_version": self.settings.plan.version,
            "not_agreed": list(self.plan_updater.waiting),
            "cloned": self._is_cloned,
            "last_results": dict(vantage.last_results),
            "lives": dict(vantage.service_states),
            "own_signs": dict(vantage.own_signs),
            "allowance": allowance.to_json(self._clock.wall_us()),
        }
