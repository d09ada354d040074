"""Tasks come back as measurements, whatever the network or a bug did."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from heliograph.experiments import Category
from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Measurement
from heliograph.plan import Endpoint, EndpointKind, Limits, PlannedTask, Service
from heliograph_agent import experiments
from heliograph_agent.experiments.experiment import CannotRun, Experiment, Target
from heliograph_agent.net import Net
from heliograph_agent.runtime.runner import DEADLINE_S, QUEUE_S, Runner, TaskContext
from heliograph_agent.schedule import History, Task, find_due_tasks
from support.fake_net import FakeDoor, World
from support.scripted_intake import plan_of
from support.virtual_time import VirtualClock, run_virtually

CONTEXT = TaskContext(
    epoch="epoch-1", link=Link.ONLINE, plan_version=3, services_version="7", clock_offset_us=-5
)
WORLD = World(
    names={"www.example.test": ("192.0.2.1",)},
    ports={("192.0.2.1", 443): None, ("192.0.2.2", 443): None},
)


def runner(clock: VirtualClock, world: World = WORLD) -> Runner:
    return Runner(FakeDoor(world, clock), clock, Limits(), "boot-1")


def task(experiment: str, target: str = "", **options: str) -> Task:
    return Task(experiment=experiment, target=target, options=options)


def run_one(pending: Task, world: World = WORLD) -> Measurement:
    return run_virtually(lambda clock: runner(clock, world).run(pending, CONTEXT))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Net], Awaitable[None]]], None]:
    """Register an experiment named `own` that acts as the test wants."""

    def register(act: Callable[[Net], Awaitable[None]]) -> None:
        async def run(target: Target, config: Any, net: Net) -> None:
            await act(net)

        experiment = Experiment(
            name="own", version=9, title="Own", category=Category.NETWORK,
            config=NoOptions, run=run, target_kind="none",
        )  # fmt: skip
        monkeypatch.setattr(experiments, "REGISTRY", (*experiments.REGISTRY, experiment))

    return register


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOptions:
    pass


def test_measurement_has_task_time_and_context() -> None:
    async def scenario(clock: VirtualClock) -> None:
        wall_us, monotonic_us = clock.wall_us(), clock.monotonic_us()
        result = await runner(clock).run(task("tcp", "192.0.2.1:443"), CONTEXT)
        assert (result.experiment, result.experiment_version) == ("tcp", 1)
        assert (result.target, result.service, result.not_measured) == ("192.0.2.1:443", "", "")
        assert (result.started_us, result.monotonic_us) == (wall_us, monotonic_us)
        assert result.runtime_us == clock.monotonic_us() - monotonic_us > 0
        assert (result.boot, result.epoch, result.link) == ("boot-1", "epoch-1", Link.ONLINE)
        assert (result.plan_version, result.services_version) == (3, "7")
        assert result.clock_offset_us == -5
        assert [x.operation for x in result.observations] == [Operation.CONNECT]
        assert result.sequence == 0, "the spool gives it"

    run_virtually(scenario)


def test_network_failure_is_an_observation() -> None:
    result = run_one(task("tcp", "192.0.2.9:443"))
    assert [x.failure for x in result.observations] == [Failure.CONNECTION_REFUSED]
    assert result.not_measured == ""


@pytest.mark.parametrize(
    ("impossible", "reason"),
    [
        pytest.param(task("telepathy"), "There is no experiment 'telepathy'", id="no such one"),
        pytest.param(task("tcp", "h:1", speed="9"), "tcp has no option 'speed'", id="option"),
        pytest.param(task("telegram", "telegram"), "needs a service", id="service not in the plan"),
        pytest.param(task("tcp"), "needs a target", id="no target"),
        pytest.param(task("tcp", "h:port"), "'h:port'", id="a target that is none"),
    ],
)
def test_impossible_task_has_reason(impossible: Task, reason: str) -> None:
    result = run_one(impossible)
    assert reason in result.not_measured
    assert result.observations == ()
    assert result.started_us > 0


def test_service_task_measures_its_endpoints() -> None:
    endpoint = Endpoint(id="dc1", kind=EndpointKind.TCP, host="192.0.2.1", port=443)
    service = Service(name="telegram", title="T", experiment="telegram", endpoints=(endpoint,))
    result = run_one(Task(experiment="telegram", target="telegram", service=service))
    assert (result.service, result.target) == ("telegram", "telegram")
    assert {x.endpoint for x in result.observations} == {"dc1"}


def test_deadline_keeps_observations() -> None:
    world = World(ports={("192.0.2.1", 443): None}, hangs=frozenset({Operation.TLS_HANDSHAKE}))

    async def scenario(clock: VirtualClock) -> None:
        result = await runner(clock, world).run(task("tls", "192.0.2.1:443"), CONTEXT)
        assert [(x.operation, x.failure) for x in result.observations] == [
            (Operation.CONNECT, None),
            (Operation.TLS_HANDSHAKE, Failure.INTERRUPTED),
        ]
        assert result.not_measured == "", "it ran, as far as it came"
        assert DEADLINE_S * 1e6 <= result.runtime_us < DEADLINE_S * 1e6 + 1e6

    run_virtually(scenario)


@pytest.mark.parametrize("hangs", [frozenset(), frozenset({Operation.CONNECT})])
def test_net_is_closed_after_task(hangs: frozenset[Operation]) -> None:
    world = World(ports={("192.0.2.1", 443): None}, hangs=hangs)
    run_one(task("tcp", "192.0.2.1:443"), world)
    assert world.closed == 1


def test_bug_is_logged_without_address(
    own: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(net: Net) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(net.resolve("www.example.test"))
            await asyncio.sleep(1)
            raise KeyError("203.0.113.7")

    own(broken)
    result = run_one(task("own"))
    assert (result.not_measured, result.experiment_version) == ("internal error: KeyError", 9)
    assert [x.operation for x in result.observations] == [Operation.RESOLVE], (
        "observations are kept"
    )
    (line,) = [r for r in caplog.records if r.levelname == "ERROR"]
    message = line.getMessage()
    assert re.search(r"KeyError at test_runner.py:\d+ broken$", message)
    assert "\n" not in message
    assert "203.0.113.7" not in message, "messages hold addresses"


async def raise_timeout(net: Net) -> None:
    async with asyncio.timeout(1):
        await asyncio.sleep(5)


def raise_grouped(*errors: Exception) -> Callable[[Net], Awaitable[None]]:
    async def fail(error: Exception) -> None:
        raise error

    async def run(net: Net) -> None:
        async with asyncio.TaskGroup(), asyncio.TaskGroup() as inner:
            for error in errors:
                inner.create_task(fail(error))

    return run


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (raise_grouped(ValueError("impossible input")), "internal error: ValueError"),
        (raise_timeout, "internal error: TimeoutError"),
        (raise_grouped(CannotRun("Not here.")), "Not here."),
        (raise_grouped(CannotRun("No."), ZeroDivisionError()), "internal error: ZeroDivisionError"),
    ],
)
def test_errors_become_reasons(
    own: Callable[..., None], act: Callable[[Net], Awaitable[None]], reason: str
) -> None:
    own(act)
    result = run_one(task("own"))
    assert (result.not_measured, result.experiment_version) == (reason, 9)


def test_cancelled_tasks_end_at_once() -> None:
    world = World(hangs=frozenset({Operation.CONNECT}))

    async def scenario(clock: VirtualClock) -> None:
        running = runner(clock, world)
        async with asyncio.TaskGroup() as group:
            work = [
                group.create_task(running.run(task("tcp", f"192.0.2.{n}:443"), CONTEXT))
                for n in range(1, 30)
            ]
            await asyncio.sleep(10)
            before_us = clock.monotonic_us()
            for pending in work:
                pending.cancel()
        assert all(pending.cancelled() for pending in work)
        assert clock.monotonic_us() - before_us < 1_000_000

    run_virtually(scenario)


class Crowd:
    """Count the tasks that run at one time."""

    def __init__(self, stay_s: float) -> None:
        self.stay_s = stay_s
        self.inside = 0
        self.most = 0

    async def enter(self, net: Net) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(self.stay_s)
        self.inside -= 1


def run_many(tasks: list[Task], **limits: int) -> tuple[list[Measurement], int]:
    """Run all tasks at once; return the measurements, and the µs that they took."""

    async def scenario(clock: VirtualClock) -> tuple[list[Measurement], int]:
        running = Runner(FakeDoor(WORLD, clock), clock, Limits(**limits), "boot-1")
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(running.run(pending, CONTEXT)) for pending in tasks]
        return [pending.result() for pending in work], clock.monotonic_us()

    return run_virtually(scenario)


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_concurrency_limit(own: Callable[..., None], concurrency: int) -> None:
    crowd = Crowd(stay_s=5)
    own(crowd.enter)
    result, _ = run_many([task("own", f"h{n}:1") for n in range(12)], concurrency=concurrency)
    assert len(result) == 12
    assert crowd.most == concurrency


def test_one_task_per_host(own: Callable[..., None]) -> None:
    crowd = Crowd(stay_s=5)
    own(crowd.enter)
    same = [task("own", "https://same.example.test/") for _ in range(5)]
    other = [task("own", f"https://h{n}.example.test/") for n in range(5)]
    _, took_us = run_many(same + other, concurrency=2)
    assert crowd.most == 2, "those who wait for their host take nobody's place"
    assert took_us < 40_000_000


def test_shared_hosts_do_not_deadlock(
    own: Callable[..., None],
) -> None:
    crowd = Crowd(stay_s=1)
    own(crowd.enter)
    rng = random.Random(1)

    def service(name: str) -> Service:
        hosts = rng.sample("abcdef", 4)
        points = tuple(Endpoint(id=h, kind=EndpointKind.TCP, host=h, port=1) for h in hosts)
        return Service(name=name, title="", experiment="own", endpoints=points)

    tasks = [Task(experiment="own", target="", service=service(f"s{n}")) for n in range(30)]
    result, _ = run_many(tasks, concurrency=8)
    assert not [m.not_measured for m in result if m.not_measured]


def test_queue_time_is_bounded(own: Callable[..., None]) -> None:
    own(Crowd(stay_s=DEADLINE_S).enter)
    result, took_us = run_many([task("own", "https://same.example.test/") for _ in range(9)])
    reasons = [m.not_measured for m in result if m.not_measured]
    assert 0 < len(reasons) < 9
    assert all("No turn within" in reason for reason in reasons)
    assert took_us < (QUEUE_S + DEADLINE_S + 2) * 1e6


def test_interrupted_task_counts_its_bytes(own: Callable[..., None]) -> None:
    async def download(net: Net) -> None:
        net._trace.bytes_moved += 1_000  # type: ignore[attr-defined]
        await asyncio.sleep(10_000)

    own(download)

    async def scenario(clock: VirtualClock) -> int:
        running = runner(clock)
        await running.run(task("own"), CONTEXT)
        return running.moved_bytes

    assert run_virtually(scenario) == 1_000


def test_observations_are_limited(own: Callable[..., None]) -> None:
    async def busy(net: Net) -> None:
        for _ in range(600):
            await net.resolve("www.example.test")

    own(busy)
    assert len(run_one(task("own")).observations) == 512


def test_schedule_drives_runner_for_an_hour() -> None:
    """An hour of an agent's life in virtual time."""
    tasks = (
        PlannedTask(experiment="tcp", target=f"192.0.2.{n}:443", interval_s=300) for n in (1, 2)
    )
    plan = plan_of(*tasks)

    async def scenario(clock: VirtualClock) -> list[Measurement]:
        rng = random.Random(1)
        running = runner(clock)
        history = History.create(clock.monotonic_us(), rng)
        result = []
        while clock.monotonic_us() < 3_600_000_000:
            tasks, wake_us = find_due_tasks(plan, history, clock.monotonic_us(), rng)
            for pending in tasks:
                history = history.record_start(pending, clock.monotonic_us())
                before = running.moved_bytes
                result.append(await running.run(pending, CONTEXT))
                moved = running.moved_bytes - before
                history = history.record_finish(pending, clock.monotonic_us(), moved, plan.limits)
            await asyncio.sleep(max(0, wake_us - clock.monotonic_us()) / 1e6)
        return result

    result = run_virtually(scenario)
    assert 22 <= len(result) <= 27
    assert not any(x.failure for m in result for x in m.observations)
