"""Run tests out of turn: second looks after a first failure, and requested runs.

An early run is a task of the plan that this agent runs anyway. It waits for its hosts and for the
data allowance like any other, and there is none if the plan has a fixed schedule. Its result names
its trigger, because agents that test again after a failure are not a sample of all.
"""

import logging
import random
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from heliograph.clock import Clock
from heliograph.experiments.web import BROWSER_HELLOS
from heliograph.failure import HELLO_CUTS, Operation
from heliograph.observation import Measurement, Trigger
from heliograph.plan import BROWSER, HELLO, Plan
from heliograph.token_bucket import TokenBucket
from heliograph.units import HOUR_S, HOUR_US, MINUTE_US
from heliograph.v1 import intake_pb2
from heliograph_agent.schedule.task import Task, make_tasks

# Seconds to a second look: past a hiccup of the line, within the minute, and at no fixed time by
# which a censor would know an agent. Assumed.
SECOND_LOOK_S = (10.0, 40.0)
SECOND_LOOKS_US = 30 * MINUTE_US  # between two second looks at one target; assumed
ASKED_PER_HOUR = 24  # assumed; two in five minutes, of a few kB each
MAX_ASKED = 8  # of one message; the collector sends one
MAX_DELAY_S = 600
# After a hello that did not pass. A collector takes it for news for 45 min. Assumed.
HELLO_AGAIN_S = 1_800.0
# Names that `hello` tests so often, and as many further ones in such a time, where other
# tests were cut: at most 27 kB each time, 8 MB a day while a filter stands. Assumed.
WATCHED_HELLOS = 3
HELLOS_AFTER_CUT = 2  # after one result; two names represent all
# Between two visits of a browser to a page where hellos disagree; 60 kB each. Assumed.
BROWSER_AGAIN_US = 6 * HOUR_US
MAX_REMEMBERED = 512  # targets; a plan has no more tasks
OWN = "own"  # label of our hello
log = logging.getLogger("heliograph.agent")
_Target = tuple[str, str, str]


@dataclass(slots=True)
class FailureMemory:
    """Remember failed endpoints of each target, to recognize first failures. Pure."""

    _failing: OrderedDict[_Target, frozenset[str]] = field(default_factory=OrderedDict)
    _looked_us: dict[_Target, int] = field(default_factory=dict)
    _hello_us: dict[str, int] = field(default_factory=dict)  # by target, of the last half hour
    _browser_us: dict[str, int] = field(default_factory=dict)  # by target, of the last hours

    def deserves_look(self, measurement: Measurement, failed: frozenset[str], now_us: int) -> bool:
        """Record failed endpoints; return whether one is new, and a second look is due.

        An endpoint that was not tested this time keeps its state, because a light check visits one.
        """
        target = (measurement.experiment, measurement.service, measurement.target)
        tested = frozenset(x.endpoint for x in measurement.observations)
        before = self._failing.pop(target, frozenset())
        self._failing[target] = (before - tested) | failed
        if len(self._failing) > MAX_REMEMBERED:
            forgotten, _ = self._failing.popitem(last=False)
            self._looked_us.pop(forgotten, None)
        looked_us = self._looked_us.get(target)
        is_recent = looked_us is not None and now_us - looked_us < SECOND_LOOKS_US
        is_second = measurement.trigger == Trigger.SECOND_LOOK
        if is_recent or is_second or not failed - before:
            return False
        self._looked_us[target] = now_us
        return True

    def choose_hellos(
        self, measurement: Measurement, plan: Plan, early_keys: Iterable[str], now_us: int
    ) -> list[Task]:
        """Choose the plan's hellos to names at which a hello was cut just now.

        They tell a filter of fingerprints from one of names. They are few, and none comes a second
        time so soon, but for those that were cut themselves.

        Args:
            early_keys: Keys of the tasks that wait to run out of their turn.
        """
        tasks = _list_hellos(plan, _find_cut_hellos(measurement))
        if measurement.experiment == HELLO:
            watched = [key for key in early_keys if key.startswith(HELLO)]
            return tasks if len(watched) < WATCHED_HELLOS else []
        since_us = now_us - SECOND_LOOKS_US
        self._hello_us = {name: at for name, at in self._hello_us.items() if at > since_us}
        room = min(HELLOS_AFTER_CUT, WATCHED_HELLOS - len(self._hello_us))
        due = [task for task in tasks if task.target not in self._hello_us][:room]
        self._hello_us |= dict.fromkeys((task.target for task in due), now_us)
        return due

    def choose_pages(self, measurement: Measurement, plan: Plan, now_us: int) -> list[Task]:
        """Choose the plan's pages for a browser, if its hello and ours disagree there.

        The whole page shows what a person meets there.
        """
        host = measurement.target.rpartition(":")[0]
        if measurement.experiment != HELLO or not _hellos_disagree(measurement):
            return []
        since_us = now_us - BROWSER_AGAIN_US
        self._browser_us = {name: at for name, at in self._browser_us.items() if at > since_us}
        pages = [t for t in make_tasks(plan) if t.experiment == BROWSER and t.hosts == {host}]
        due = [task for task in pages if task.target not in self._browser_us]
        self._browser_us |= dict.fromkeys((task.target for task in due), now_us)
        return due

    def forget(self) -> None:
        """Forget all, because another network fails otherwise."""
        self._failing.clear()
        self._looked_us.clear()
        self._hello_us.clear()
        self._browser_us.clear()


def find_full_task(task: Task, plan: Plan) -> Task:
    """Return the task that tests all that a light check samples, else the task itself."""
    if not task.is_light:
        return task
    full = (t for t in make_tasks(plan) if not t.is_light and _is_same_target(t, task))
    return next(full, task)


def _find_cut_hellos(measurement: Measurement) -> frozenset[str]:
    """Return HOST:PORT of the handshakes over TCP that ended right after a hello."""
    steps = measurement.observations
    return frozenset(
        f"{x.tls.server_name.lower()}:{tcp.port}"
        for x in steps
        if x.operation is Operation.TLS_HANDSHAKE and x.failure in HELLO_CUTS
        if x.tls is not None and x.tls.server_name and x.parent is not None
        if (tcp := steps[x.parent].tcp) is not None
    )


def _hellos_disagree(measurement: Measurement) -> bool:
    """Return whether one of our hello and a browser's was cut, and the other answered."""
    ends = {
        x.endpoint: x.failure
        for x in measurement.observations
        if x.operation is Operation.TLS_HANDSHAKE
    }
    own = ends.get(OWN)
    browsers = [ends[label] for label in BROWSER_HELLOS if label in ends]
    if OWN not in ends or not browsers:
        return False
    is_own_alone = own is None and any(end in HELLO_CUTS for end in browsers)
    return is_own_alone or (own in HELLO_CUTS and None in browsers)


def _list_hellos(plan: Plan, targets: frozenset[str]) -> list[Task]:
    """Return the plan's hellos to these targets."""
    if not targets:
        return []
    return [t for t in make_tasks(plan) if t.experiment == HELLO and t.target in targets]


def _is_same_target(task: Task, other: Task) -> bool:
    return (task.experiment, task.service, task.target) == (
        other.experiment, other.service, other.target,
    )  # fmt: skip


class EarlyStarter(Protocol):
    """Declare what runs a task early. Implemented by measurement_loop.MeasurementLoop."""

    @property
    def plan(self) -> Plan:
        """Return what this agent runs."""
        ...

    def bring_forward(self, task: Task, delay_s: float, trigger: Trigger) -> None:
        """Run a task of the plan after a delay, unless it is due before."""


@dataclass(slots=True)
class AskedRuns:
    """Follow the collector's wishes, as far as they are in the plan and not too many."""

    loop: EarlyStarter
    clock: Clock
    _rate: TokenBucket = field(init=False)

    def __post_init__(self) -> None:
        now_us = self.clock.monotonic_us()
        self._rate = TokenBucket(ASKED_PER_HOUR / HOUR_S, ASKED_PER_HOUR, ASKED_PER_HOUR, now_us)

    def take(self, asked: intake_pb2.EarlyRuns) -> None:
        for run in asked.runs[:MAX_ASKED]:
            task = _find_task(run, self.loop.plan)
            if task is None:
                continue
            if self._rate.take(1, self.clock.monotonic_us()):
                log.warning("more than %d early runs an hour were asked for", ASKED_PER_HOUR)
                return
            self.loop.bring_forward(task, min(run.delay_s, MAX_DELAY_S), Trigger.EARLY_RUN)


def _find_task(run: intake_pb2.EarlyRun, plan: Plan) -> Task | None:
    """Return the cheapest task of the plan for this target; None if the plan has none."""
    tasks = [
        task
        for task in make_tasks(plan)
        if task.experiment == run.experiment
        and task.service_name == run.service
        and (task.service is not None or task.target == run.target)
    ]
    return max(tasks, key=attrgetter("is_light"), default=None)


def draw_look_delay_s(rng: random.Random) -> float:
    return rng.uniform(*SECOND_LOOK_S)
