"""Run tasks within deadlines and a concurrency limit, one at a time per host.

The network's behavior comes back as observations, also those before a deadline ended the task. A
task that cannot run comes back with the reason, and so does one that met a bug in the agent.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from traceback import walk_tb
from typing import Any, Protocol
from weakref import WeakValueDictionary

from heliograph.clock import Clock
from heliograph.codec import MAX_OBSERVATIONS
from heliograph.error_group import flatten_errors
from heliograph.observation import Link, Measurement
from heliograph.plan import LIGHT, Limits, Service
from heliograph_agent.experiments import find_experiment
from heliograph_agent.experiments.experiment import CannotRun, Experiment, Target, parse_config
from heliograph_agent.net import Net, StepTrace
from heliograph_agent.net.address_policy import ForbiddenAddressError
from heliograph_agent.net.deadline import Deadline

DEADLINE_S = 180.0  # of one task; a silent app's order of attempts follows some 100 s of visits
QUEUE_S = 600.0  # for which a task may wait for its hosts and a slot
MAX_REASON = 500  # characters
MAX_FRAMES = 12  # of a traceback
PARTS_AT_ONCE = 4  # light checks of a round: as many hosts as a whole test of most messengers
ROUND_VERSION = 1
_HostLock = asyncio.Lock | asyncio.Semaphore
log = logging.getLogger("heliograph.runner")


class NetFactory(Protocol):
    """Give each task a Net that writes into its trace (SystemNetFactory)."""

    def bind(
        self, trace: StepTrace, addresses: Mapping[str, tuple[str, ...]] | None = None
    ) -> Net: ...


class TaskSpec(Protocol):
    """Declare the attributes of schedule.Task that the runner reads."""

    @property
    def experiment(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def service(self) -> Service | None: ...
    @property
    def options(self) -> Mapping[str, str]: ...
    @property
    def hosts(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """Hold the state of the vantage when the task began."""

    epoch: str
    link: Link = Link.UNKNOWN
    plan_version: int = 0
    services_version: str = ""
    clock_offset_us: int | None = None
    addresses: Mapping[str, tuple[str, ...]] | None = None  # of a visit, by endpoint
    trigger: str = ""  # one of observation.Trigger, "" for a planned run


class Runner:
    """Run tasks; `moved_bytes` counts the wire bytes of all, also of unfinished ones."""

    def __init__(
        self,
        net_factory: NetFactory,
        clock: Clock,
        limits: Limits,
        boot: str,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.moved_bytes = 0
        self._net_factory = net_factory
        self._clock = clock
        self._boot = boot
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(max(1, limits.concurrency))
        self._hosts: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, task: TaskSpec, context: TaskContext) -> Measurement:
        """Run one task and return its measurement; only a cancellation is raised."""
        try:
            experiment = find_experiment(task.experiment)
            target = _make_target(experiment, task)
            config = parse_config(experiment, task.options)
        except CannotRun as error:
            return self._build_measurement(task, context, StepTrace(self._clock), reason=str(error))
        version = experiment.version
        try:
            locks = await self._acquire_locks(sorted(task.hosts))
            try:
                trace = StepTrace(self._clock)
                began_us = self._clock.wall_us()
                bind = partial(self._net_factory.bind, addresses=context.addresses)
                reason = await self._run_experiment(experiment, target, config, bind, trace)
            finally:
                _release_locks(locks)
        except _QueueTimeoutError:
            trace = StepTrace(self._clock)
            began_us = None
            reason = (
                f"No turn within {QUEUE_S:.0f} s: the agent has more to do than its limits let."
            )
        return self._build_measurement(task, context, trace, version, began_us, reason)

    async def run_round(
        self, task: TaskSpec, parts: Iterable[TaskSpec], context: TaskContext
    ) -> Measurement:
        """Run the light checks of a round, a few at a time, each with its trace."""
        semaphore = asyncio.Semaphore(PARTS_AT_ONCE)

        async def run_part(part: TaskSpec) -> Measurement:
            async with semaphore:
                return await self.run(part, context)

        trace = StepTrace(self._clock)
        began_us = self._clock.wall_us()
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(run_part(part), name=part.target) for part in parts]
        measurement = self._build_measurement(task, context, trace, ROUND_VERSION, began_us)
        return replace(measurement, parts=tuple(run.result() for run in runs))

    async def _run_experiment(
        self,
        experiment: Experiment,
        target: Target,
        config: Any,
        bind: Callable[[StepTrace], Net],
        trace: StepTrace,
    ) -> str:
        """Run to the end or to the deadline; return why it could not run, or ""."""
        try:
            with Deadline(self._deadline_s):
                return await run_attempt(experiment, target, config, bind, trace)
        except TimeoutError:
            return ""  # from the Deadline, because an attempt raises no TimeoutError
        finally:
            self.moved_bytes += trace.bytes_moved

    async def _acquire_locks(self, hosts: Iterable[str]) -> list[_HostLock]:
        """Lock the hosts in one global order, against deadlocks, then take a slot.

        The caller releases them with `_release_locks`. Raises _QueueTimeoutError.
        """
        locks: list[_HostLock] = [self._hosts.setdefault(host, asyncio.Lock()) for host in hosts]
        locks.append(self._slots)
        if not any(lock.locked() for lock in locks):
            for lock in locks:
                await lock.acquire()  # does not wait, so no other task runs in between
            return locks
        acquired: list[_HostLock] = []
        try:
            with Deadline(QUEUE_S):
                for lock in locks:
                    await lock.acquire()
                    acquired.append(lock)
        except TimeoutError:
            _release_locks(acquired)
            raise _QueueTimeoutError from None
        except asyncio.CancelledError:
            _release_locks(acquired)
            raise
        return acquired

    def _build_measurement(
        self,
        task: TaskSpec,
        context: TaskContext,
        trace: StepTrace,
        version: int = 0,
        began_us: int | None = None,
        reason: str = "",
    ) -> Measurement:
        return Measurement(
            experiment=task.experiment,
            experiment_version=version,
            target=task.target,
            service=task.service.name if task.service else "",
            started_us=self._clock.wall_us() if began_us is None else began_us,
            monotonic_us=trace.started_us,
            boot=self._boot,
            runtime_us=trace.elapsed_us(),
            epoch=context.epoch,
            link=context.link,
            plan_version=context.plan_version,
            services_version=context.services_version,
            not_measured=reason[:MAX_REASON],
            observations=tuple(trace.observations[:MAX_OBSERVATIONS]),
            certificates=tuple(trace.certificates),
            clock_offset_us=context.clock_offset_us,
            is_visit=context.addresses is not None,
            trigger=context.trigger,
            is_light=task.options.get(LIGHT) == "true",
        )


class Attempted(Protocol):
    """Declare what `run_attempt` runs: an experiment, or what watches one."""

    def run(self, target: Target, config: Any, net: Net, /) -> Awaitable[None]: ...


async def run_attempt(
    experiment: Attempted,
    target: Target,
    config: Any,
    bind: Callable[[StepTrace], Net],
    trace: StepTrace,
) -> str:
    """Run once; return why it could not run, or "". Raises only cancellations."""
    net = bind(trace)
    try:
        await experiment.run(target, config, net)
    # A bug, or input that the net calls impossible, costs this result and no other: during a
    # shutdown an agent that dies of one odd answer is worse than one missing result.
    except Exception as error:  # noqa: BLE001 as above
        return _describe_error(error)
    finally:
        await net.close()
    return ""


def _release_locks(locks: list[_HostLock]) -> None:
    for lock in reversed(locks):
        lock.release()


class _QueueTimeoutError(Exception):
    """Report a task that waited QUEUE_S for its hosts or a slot."""


def _make_target(experiment: Experiment, task: TaskSpec) -> Target:
    target_text = task.target or experiment.default_target
    if experiment.target_kind == "service" and task.service is None:
        raise CannotRun(
            f"{experiment.name} needs a service, and the plan describes no {target_text!r}."
        )
    if not target_text and task.service is None and experiment.target_kind != "none":
        raise CannotRun(f"{experiment.name} needs a target: {experiment.target_kind}.")
    return Target(value=target_text, service=task.service)


def _describe_error(error: Exception) -> str:
    """Describe an error; in a group, a bug counts before a refusal."""
    leaves = list(flatten_errors(error))
    bugs = [leaf for leaf in leaves if not isinstance(leaf, CannotRun | ForbiddenAddressError)]
    if not bugs:
        return str(leaves[0])
    kind = type(bugs[0]).__name__
    log.error("internal error, please report it: %s at %s", kind, _format_traceback(bugs[0]))
    return f"internal error: {kind}"


def _format_traceback(error: BaseException) -> str:
    """Format a traceback on one line without the message, which may hold an address."""
    frames = [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in walk_tb(error.__traceback__)
    ]
    return " < ".join(reversed(frames[-MAX_FRAMES:]))
