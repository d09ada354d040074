"""Simulation run: a collector, agent processes, the script's clock and the report."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from heliograph import keys
from heliograph.clock import Clock, SystemClock
from heliograph.codec import plan_to_pb
from heliograph.error_group import find_first_error
from heliograph.services import load_shipped_services
from heliograph_collector.ingest.rate_limits import raise_file_limit
from heliograph_lab.simulate.addresses import assign_addresses
from heliograph_lab.simulate.agent import derive_key
from heliograph_lab.simulate.channel import (
    CollectorEndpoint,
    EndpointError,
    connect_endpoint,
    read_invite,
)
from heliograph_lab.simulate.counters import AgentCounters
from heliograph_lab.simulate.processes import (
    CollectorProcess,
    CollectorProcessError,
    WorkerError,
    WorkerPool,
    start_collector,
    start_workers,
)
from heliograph_lab.simulate.report import (
    Cost,
    CostMarks,
    RestartRecovery,
    SimulationReport,
    compute_costs,
    compute_delays,
    find_false_alarms,
    read_cost,
)
from heliograph_lab.simulate.script import Actor, CollectorRestart, Script, speed_up
from heliograph_lab.simulate.subscriber import IncidentSubscriber
from heliograph_lab.simulate.worker import Command, WorkerSetup
from heliograph_lab.simulate.workload import Load, build_load_plan

HEARTBEAT_S = 15
CONTROLS = 2  # control agents of an own collector
PER_PROCESS = 5_000  # agents, unless the number of processes is given
_CONNECTED_SHARE = 0.99
_ENROL_S = 600.0
_CONNECT_S = 600.0
_BACK_S = 180.0
_END_S = 60.0
_NOTICE_S = 2.5  # until the collector has read the enrollment ages
_LEAD_S = 1.0
_POLL_S = 0.5
_SIGHT_TIMEOUT_S = 300.0
_SIGHT_POLL_S = 3.0
_SETTLE_S = 5.0  # so that work after the start is not counted as cost of agents
_SPARE_FILES = 200


class SimulationError(Exception):
    """The simulation cannot continue; the message is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationConfig:
    """Settings of a simulation; with an empty `invite` it starts its own collector."""

    script: Script
    speed: float = 1.0
    processes: int = 0  # 0: one for every 5,000 agents
    is_shared: bool = False
    invite: str = ""
    address: str = ""  # gRPC address of the invite's collector, "" for that in the invite
    http: str = ""  # its HTTP address, "" if its incidents are not read; of our own: any free port
    log: Path | None = None  # of the own collector
    seed: int = 0
    load: Load = "plan"  # the kind of measurements
    until_confirmed: bool = False  # end once all cuts are confirmed and restarts are over


@dataclass(frozen=True, slots=True)
class Progress:
    phase: str
    counters: AgentCounters
    agents: int
    second: float = 0.0  # of the script
    seconds: float = 0.0
    incidents: int = 0


class ProgressDisplay(Protocol):
    def show_progress(self, progress: Progress) -> None:
        """Show the state of the simulation, several times a second."""
        ...


async def run_simulation(
    config: SimulationConfig, display: ProgressDisplay | None = None
) -> SimulationReport:
    """Run a simulation and report it. Raises SimulationError."""
    simulation = _Simulation(config, display, SystemClock())
    try:
        return await simulation.run()
    except BaseExceptionGroup as group_error:
        error = find_first_error(group_error)
        if not isinstance(error, WorkerError | CollectorProcessError | EndpointError):
            raise
        raise SimulationError(str(error)) from group_error
    except (CollectorProcessError, EndpointError) as error:
        raise SimulationError(str(error)) from error


class _Simulation:
    def __init__(
        self, config: SimulationConfig, display: ProgressDisplay | None, clock: Clock
    ) -> None:
        self._config = config
        self._display = display
        self._clock = clock
        self._script = speed_up(_add_controls(config), config.speed)
        self._agents = len(self._script.actors)
        self._marks = CostMarks()
        self._collector: CollectorProcess | None = None
        self._phase = "starting"
        self._start_s: float | None = None
        self._recoveries: list[RestartRecovery] = []

    def _now_s(self) -> float:
        return self._clock.monotonic_us() / 1e6

    def _collector_cost(self) -> Cost | None:
        return None if self._collector is None else read_cost(self._collector.pid, self._now_s)

    async def run(self) -> SimulationReport:
        if not raise_file_limit(_SPARE_FILES):
            raise SimulationError("This process may open too few files: raise `ulimit -n`.")
        async with AsyncExitStack() as stack:
            endpoint, control_token = await self._open_endpoint(stack)
            http = self._collector.http if self._collector else self._config.http
            subscriber = IncidentSubscriber(http, self._clock)
            pool = await stack.enter_async_context(
                start_workers(self._worker_setups(endpoint, control_token))
            )
            async with asyncio.TaskGroup() as group:
                listening = [
                    group.create_task(pool.read_counters(i)) for i in range(len(pool.processes))
                ]
                others = []
                if self._display is not None:
                    others.append(group.create_task(self._report(self._display, pool, subscriber)))
                if subscriber.http:
                    others.append(group.create_task(subscriber.run()))
                connected = await self._connect_agents(pool)
                await self._play_script(pool, subscriber)
                if self._now_s() >= self._at_s(self._script.seconds):
                    await asyncio.wait(listening, timeout=_END_S)
                for task in (*others, *listening):
                    task.cancel()
            return self._build_report(pool, subscriber, connected)

    async def _open_endpoint(self, stack: AsyncExitStack) -> tuple[CollectorEndpoint, bytes]:
        config = self._config
        if config.invite:
            invite = read_invite(config.invite)
            return await asyncio.to_thread(connect_endpoint, invite, config.address), b""
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="heliograph-simulate-")))
        beat_s = max(1, round(HEARTBEAT_S / config.speed))
        collector, invites = await stack.enter_async_context(
            start_collector(
                folder, self._script.actors, beat_s, self._clock, config.log, http=config.http
            )
        )
        await collector.wait_until_ready()
        self._collector = collector
        await asyncio.sleep(_SETTLE_S)
        idle = self._collector_cost()
        await asyncio.sleep(_SETTLE_S)
        self._marks.empty = self._collector_cost()
        self._marks.idle = idle
        endpoint = await asyncio.to_thread(connect_endpoint, read_invite(invites.volunteers))
        endpoint = replace(endpoint, post=collector.post)
        return endpoint, read_invite(invites.controls).token

    def _worker_setups(
        self, endpoint: CollectorEndpoint, control_token: bytes
    ) -> list[WorkerSetup]:
        """Distribute agents round robin, so that each process has every country."""
        script = self._script
        config = self._config
        processes = config.processes or -(-self._agents // PER_PROCESS)
        addresses_by_actor = assign_addresses(script.actors)
        load_plan = build_load_plan(
            config.load, load_shipped_services(), script.services, config.script.measure_every_s
        )
        plan = plan_to_pb(load_plan).SerializeToString()
        return [
            WorkerSetup(
                endpoint=endpoint,
                control_token=control_token,
                actors=list(script.actors[i::processes]),
                addresses={
                    a.number: addresses_by_actor[a.number] for a in script.actors[i::processes]
                },
                plan=plan,
                speed=config.speed,
                seconds=script.seconds,
                shared=config.is_shared,
                seed=config.seed,
            )
            for i in range(processes)
        ]

    async def _connect_agents(self, pool: WorkerPool) -> int:
        """Enroll all agents, then connect them; return the number connected.

        Raises SimulationError after a timeout.
        """
        self._phase = "enrolling"
        try:
            await pool.wait_until(self._is_enrolled, _ENROL_S)
        except TimeoutError:
            raise SimulationError(
                f"Only {pool.counters.enrolled} of {self._agents} agents were let in: "
                f"{_trouble_summary(pool)}."
            ) from None
        if self._collector is not None:
            seed = self._config.seed
            days = {
                keys.agent_id(derive_key(seed, actor.number)[0].public): actor.known_days
                for actor in self._script.actors
            }
            await asyncio.to_thread(self._collector.set_enrollment_age, days, self._clock)
            await asyncio.sleep(_NOTICE_S)
        self._marks.enrolled = self._collector_cost()
        self._phase = "connecting"
        await pool.send_command(Command("connect"))
        try:
            final_counters = await pool.wait_until(self._is_connected, _CONNECT_S)
        except TimeoutError:
            raise SimulationError(
                f"Only {pool.counters.sessions} of {self._agents} agents are connected: "
                f"{_trouble_summary(pool)}."
            ) from None
        return final_counters.arrived

    def _is_enrolled(self, counters: AgentCounters) -> bool:
        return counters.enrolled == self._agents

    def _is_connected(self, counters: AgentCounters) -> bool:
        """Return whether enough agents are connected, as some always reconnect."""
        is_enough = counters.sessions >= _CONNECTED_SHARE * (self._agents - counters.hushed)
        return counters.arrived == self._agents and is_enough

    async def _play_script(self, pool: WorkerPool, subscriber: IncidentSubscriber) -> None:
        self._marks.connected = self._collector_cost()
        beats = pool.counters.answers
        cpu_s = self._workers_cpu_s(pool)
        at_s = self._now_s()
        if self._script.needs_sight and subscriber.http:
            self._phase = "waiting until the collector can tell a silence"
            await self._wait_until_sighted(subscriber)
        self._phase = "playing"
        self._start_s = self._now_s() + _LEAD_S
        await pool.send_command(Command("begin", _LEAD_S))
        await self._sleep_until(self._calm_until_s())
        self._marks.calm = self._collector_cost()
        self._marks.beats = pool.counters.answers - beats
        self._marks.agents_cpu = (self._workers_cpu_s(pool) - cpu_s) / (self._now_s() - at_s)
        for restart in self._script.restarts:
            await self._restart(restart, pool)
        end_s = self._at_s(self._script.seconds)
        # The script ends by the clock: a slow machine makes fewer turns.
        while (rest_s := end_s - self._now_s()) > 0 and not self._is_confirmed(subscriber):  # noqa: ASYNC110
            await asyncio.sleep(min(rest_s, _POLL_S))

    async def _wait_until_sighted(self, subscriber: IncidentSubscriber) -> None:
        """Wait until the collector can detect silences, minutes after its start."""
        for _ in range(int(_SIGHT_TIMEOUT_S / _SIGHT_POLL_S)):
            if not await subscriber.is_blind():
                return
            await asyncio.sleep(_SIGHT_POLL_S)

    def _is_confirmed(self, subscriber: IncidentSubscriber) -> bool:
        delays = compute_delays(
            self._script.cuts, list(subscriber.incidents.values()), self._start_s or 0.0
        )
        is_confirmed = bool(delays) and all(d.confirmed_s is not None for d in delays)
        return self._config.until_confirmed and is_confirmed

    def _calm_until_s(self) -> float:
        """Return the second just before the first event of the script."""
        event_times_s = [cut.at_s for cut in self._script.cuts]
        event_times_s += [restart.at_s for restart in self._script.restarts]
        return max(0.0, min([*event_times_s, self._script.seconds]) - 0.5)

    async def _restart(self, restart: CollectorRestart, pool: WorkerPool) -> None:
        if self._collector is None:
            return
        await self._sleep_until(restart.at_s)
        self._phase = "restarting"
        await self._collector.kill()
        await self._sleep_until(restart.until_s)
        began_s = self._now_s()
        await self._collector.start()
        up_s = self._now_s() - began_s
        self._phase = "playing"
        try:
            await pool.wait_until(self._is_connected, _BACK_S)
            back_s: float | None = self._now_s() - began_s
        except TimeoutError:
            back_s = None
        self._recoveries.append(RestartRecovery(restart.at_s, up_s, back_s))

    def _at_s(self, second: float) -> float:
        return (self._start_s or self._now_s()) + second

    async def _sleep_until(self, second: float) -> None:
        await asyncio.sleep(self._at_s(second) - self._now_s())

    def _workers_cpu_s(self, pool: WorkerPool) -> float:
        process_costs = [read_cost(process.pid, self._now_s) for process in pool.processes]
        return sum(process_cost.cpu_s for process_cost in process_costs if process_cost is not None)

    async def _report(
        self, display: ProgressDisplay, pool: WorkerPool, subscriber: IncidentSubscriber
    ) -> None:
        while True:
            second = 0.0 if self._start_s is None else self._now_s() - self._start_s
            incidents = len(subscriber.incidents)
            seconds = self._script.seconds
            display.show_progress(
                Progress(self._phase, pool.counters, self._agents, second, seconds, incidents)
            )
            await asyncio.sleep(_POLL_S)

    def _build_report(
        self, pool: WorkerPool, subscriber: IncidentSubscriber, connected: int
    ) -> SimulationReport:
        incidents = list(subscriber.incidents.values())
        return SimulationReport(
            name=self._script.name,
            agents=self._agents,
            connected=connected,
            processes=len(pool.processes),
            shared=self._config.is_shared,
            tally=pool.counters,
            published=subscriber.is_published,
            delays=compute_delays(self._script.cuts, incidents, self._start_s or 0.0),
            false=find_false_alarms(self._script.cuts, incidents),
            incidents=incidents,
            restarts=self._recoveries,
            costs=compute_costs(self._marks, self._agents),
        )


def _add_controls(config: SimulationConfig) -> Script:
    """Add control agents to a script that measures.

    No verdict is blocked without a control. A collector given by invite has its own controls.
    """
    actors = [actor for actor in config.script.actors if not actor.control]
    if config.load != "none" and not config.invite:
        first = max((actor.number for actor in actors), default=-1) + 1
        control = Actor(first, "ZZ", control=True, troubles=config.script.outages)
        actors += [replace(control, number=first + number) for number in range(CONTROLS)]
    return replace(config.script, actors=actors)


def _trouble_summary(pool: WorkerPool) -> str:
    worst = Counter(pool.counters.troubles).most_common(3)
    return ", ".join(f"{reason} {count} times" for reason, count in worst) or "nobody said why"
