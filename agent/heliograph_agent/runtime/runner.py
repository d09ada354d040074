"""Runs tasks: within their deadlines, so many at once, one at a time on a host.

What the network does comes back as observations, also those made before a deadline ended the task.
What cannot run at all comes back with the reason, and so does what met a bug of ours.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from typing import Any, Protocol
from weakref import WeakValueDictionary

from heliograph.clock import Clock
from heliograph.codec import MAX_OBSERVATIONS
from heliograph.observation import Link, Measurement
from heliograph.plan import Limits, Service
from heliograph_agent.experiments import by_name
from heliograph_agent.experiments.experiment import CannotRun, Experiment, Target, parse_config
from heliograph_agent.net import Net, Trace
from heliograph_agent.net.address_policy import BarredError
from heliograph_agent.net.deadline import Deadline

DEADLINE_S = 120.0  # of one task
TURN_S = 600.0  # that a task waits for its turn
MAX_REASON = 500  # characters
MAX_FRAMES = 12  # of a traceback
_Turn = asyncio.Lock | asyncio.Semaphore
log = logging.getLogger("heliograph.runner")


class Binder(Protocol):
    """Gives each task a way out that writes into its trace: net.real.Door."""

    def bind(self, trace: Trace) -> Net: ...


class Errand(Protocol):
    """What the runner needs to know of a task: schedule.Task."""

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
class Context:
    """What was true of the vantage when the task began."""

    epoch: str
    link: Link = Link.UNKNOWN
    plan_version: int = 0
    services_version: str = ""
    clock_offset_us: int | None = None


class Runner:
    """`moved` is what all tasks so far cost on the wire, in bytes, those cut short included."""

    def __init__(
        self,
        door: Binder,
        clock: Clock,
        limits: Limits,
        boot: str,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.moved = 0
        self._door = door
        self._clock = clock
        self._boot = boot
        self._deadline_s = deadline_s
        self._places = asyncio.Semaphore(max(1, limits.concurrency))
        self._hosts: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, task: Errand, context: Context) -> Measurement:
        """Whatever happens, a measurement; only a cancellation passes through."""
        try:
            experiment = by_name(task.experiment)
            target = _target(experiment, task)
            config = parse_config(experiment, task.options)
        except CannotRun as error:
            return self._measurement(task, context, Trace(self._clock), reason=str(error))
        version = experiment.version
        try:
            held = await self._take_turn(sorted(task.hosts))
            try:
                trace = Trace(self._clock)
                began_us = self._clock.wall_us()
                reason = await self._observe(experiment, target, config, trace)
            finally:
                _release(held)
        except _NoTurnError:
            trace, began_us = Trace(self._clock), None
            reason = f"No turn within {TURN_S:.0f} s: the agent has more to do than its limits let."
        return self._measurement(task, context, trace, version, began_us, reason)

    async def _observe(
        self, experiment: Experiment, target: Target, config: Any, trace: Trace
    ) -> str:
        """Why it could not run, "" when it did, to its end or to its deadline."""
        try:
            with Deadline(self._deadline_s):
                return await attempt(experiment, target, config, self._door.bind, trace)
        except TimeoutError:
            return ""  # the deadline's: an attempt raises none of its own
        finally:
            self.moved += trace.bytes_moved

    async def _take_turn(self, hosts: Iterable[str]) -> list[_Turn]:
        """Hosts in one order for all, so that no two tasks wait for each other; then a place.

        Raises _NoTurnError. Who took it gives it back with `_release`.
        """
        turns: list[_Turn] = [self._hosts.setdefault(host, asyncio.Lock()) for host in hosts]
        turns.append(self._places)
        if not any(turn.locked() for turn in turns):
            for turn in turns:
                await turn.acquire()  # waits for nobody, so nobody comes between
            return turns
        held: list[_Turn] = []
        try:
            with Deadline(TURN_S):
                for turn in turns:
                    await turn.acquire()
                    held.append(turn)
        except TimeoutError:
            _release(held)
            raise _NoTurnError from None
        except asyncio.CancelledError:
            _release(held)
            raise
        return held

    def _measurement(
        self,
        task: Errand,
        context: Context,
        trace: Trace,
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
            monotonic_us=trace.began_us,
            boot=self._boot,
            runtime_us=trace.elapsed_us(),
            epoch=context.epoch,
            link=context.link,
            plan_version=context.plan_version,
            services_version=context.services_version,
            not_measured=reason[:MAX_REASON],
            observations=tuple(trace.observations[:MAX_OBSERVATIONS]),
            clock_offset_us=context.clock_offset_us,
        )


async def attempt(
    experiment: Experiment,
    target: Target,
    config: Any,
    bind: Callable[[Trace], Net],
    trace: Trace,
) -> str:
    """Run it once; why it could not run, "" when it did. Raises nothing but its cancellation."""
    net = bind(trace)
    try:
        await experiment.run(target, config, net)
    # A bug, or input that the net calls impossible, costs this result and no other: on the day it
    # was made for, an agent that dies of one odd answer is worse than one with a hole in its list.
    except Exception as error:  # noqa: BLE001
        return _reason(error)
    finally:
        await net.close()
    return ""


def _release(held: list[_Turn]) -> None:
    for turn in reversed(held):
        turn.release()


class _NoTurnError(Exception):
    """The task waited for its hosts or for a place as long as it may."""


def _target(experiment: Experiment, task: Errand) -> Target:
    text = task.target or experiment.default_target
    if experiment.wants == "service" and task.service is None:
        raise CannotRun(f"{experiment.name} needs a service, and the plan describes no {text!r}.")
    if not text and task.service is None and experiment.wants != "none":
        raise CannotRun(f"{experiment.name} needs a target: {experiment.wants}.")
    return Target(text=text, service=task.service)


def _reason(error: Exception) -> str:
    """Of several exceptions a bug counts before a refusal."""
    leaves = list(_leaves(error))
    bugs = [leaf for leaf in leaves if not isinstance(leaf, CannotRun | BarredError)]
    if not bugs:
        return str(leaves[0])
    kind = type(bugs[0]).__name__
    log.error("internal error, please report it: %s at %s", kind, _place(bugs[0]))
    return f"internal error: {kind}"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _place(error: BaseException) -> str:
    """The traceback on one line, innermost first, without the message: that may hold an address."""
    frames = [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in walk_tb(error.__traceback__)
    ]
    return " < ".join(reversed(frames[-MAX_FRAMES:]))
