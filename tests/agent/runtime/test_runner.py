"""Tasks come back as measurements, whatever the network or a bug of ours did."""

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
from heliograph.plan import Endpoint, EndpointKind, Limits, Plan, PlannedTask, Service
from heliograph_agent import experiments
from heliograph_agent.experiments.experiment import CannotRun, Experiment, Target
from heliograph_agent.net import Net
from heliograph_agent.runtime.runner import DEADLINE_S, TURN_S, Context, Runner
from heliograph_agent.schedule import History, Task, due
from support.fake_net import FakeDoor, World
from support.virtual_time import VirtualClock, run_virtually

CONTEXT = Context(
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


def run_one(one: Task, world: World = WORLD) -> Measurement:
    return run_virtually(lambda clock: runner(clock, world).run(one, CONTEXT))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Net], Awaitable[None]]], None]:
    """Register an experiment named `own` that does as the test says."""

    def register(act: Callable[[Net], Awaitable[None]]) -> None:
        async def run(target: Target, config: Any, net: Net) -> None:
            await act(net)

        experiment = Experiment(
            name="own",
            version=9,
            title="Own",
            category=Category.NETWORK,
            config=NoOptions,
            run=run,
            wants="none",
        )
        monkeypatch.setattr(experiments, "REGISTRY", (*experiments.REGISTRY, experiment))

    return register


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOptions:
    pass


def test_a_measurement_says_what_when_and_where() -> None:
    async def story(clock: VirtualClock) -> None:
        wall_us, monotonic_us = clock.wall_us(), clock.monotonic_us()
        made = await runner(clock).run(task("tcp", "192.0.2.1:443"), CONTEXT)
        assert (made.experiment, made.experiment_version) == ("tcp", 1)
        assert (made.target, made.service, made.not_measured) == ("192.0.2.1:443", "", "")
        assert (made.started_us, made.monotonic_us) == (wall_us, monotonic_us)
        assert made.runtime_us == clock.monotonic_us() - monotonic_us > 0
        assert (made.boot, made.epoch, made.link) == ("boot-1", "epoch-1", Link.ONLINE)
        assert (made.plan_version, made.services_version) == (3, "7")
        assert made.clock_offset_us == -5
        assert [x.operation for x in made.observations] == [Operation.CONNECT]
        assert made.sequence == 0, "the spool gives it"

    run_virtually(story)


def test_a_failure_on_the_network_is_an_observation() -> None:
    made = run_one(task("tcp", "192.0.2.9:443"))
    assert [x.failure for x in made.observations] == [Failure.CONNECTION_REFUSED]
    assert made.not_measured == ""


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
def test_what_cannot_run_says_why(impossible: Task, reason: str) -> None:
    made = run_one(impossible)
    assert reason in made.not_measured
    assert made.observations == ()
    assert made.started_us > 0


def test_a_service_is_measured_by_its_name() -> None:
    endpoint = Endpoint(id="dc1", kind=EndpointKind.TCP, host="192.0.2.1", port=443)
    service = Service(name="telegram", title="T", experiment="telegram", endpoints=(endpoint,))
    made = run_one(Task(experiment="telegram", target="telegram", service=service))
    assert (made.service, made.target) == ("telegram", "telegram")
    assert {x.endpoint for x in made.observations} == {"dc1"}


def test_a_deadline_keeps_what_was_seen() -> None:
    world = World(ports={("192.0.2.1", 443): None}, hangs=frozenset({Operation.TLS_HANDSHAKE}))

    async def story(clock: VirtualClock) -> None:
        made = await runner(clock, world).run(task("tls", "192.0.2.1:443"), CONTEXT)
        assert [(x.operation, x.failure) for x in made.observations] == [
            (Operation.CONNECT, None),
            (Operation.TLS_HANDSHAKE, Failure.INTERRUPTED),
        ]
        assert made.not_measured == "", "it ran, as far as it came"
        assert DEADLINE_S * 1e6 <= made.runtime_us < DEADLINE_S * 1e6 + 1e6

    run_virtually(story)


@pytest.mark.parametrize("hangs", [frozenset(), frozenset({Operation.CONNECT})])
def test_the_net_is_closed_however_a_task_ends(hangs: frozenset[Operation]) -> None:
    world = World(ports={("192.0.2.1", 443): None}, hangs=hangs)
    run_one(task("tcp", "192.0.2.1:443"), world)
    assert world.closed == 1


def test_a_bug_costs_one_result_and_not_the_agent(
    own: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(net: Net) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(net.resolve("www.example.test"))
            await asyncio.sleep(1)
            raise KeyError("203.0.113.7")

    own(broken)
    made = run_one(task("own"))
    assert (made.not_measured, made.experiment_version) == ("internal error: KeyError", 9)
    assert [x.operation for x in made.observations] == [Operation.RESOLVE], "what was seen is kept"
    (line,) = [r for r in caplog.records if r.levelname == "ERROR"]
    said = line.getMessage()
    assert re.search(r"KeyError at test_runner.py:\d+ broken$", said)
    assert "\n" not in said
    assert "203.0.113.7" not in said, "messages hold addresses"


def test_input_that_the_net_calls_impossible_is_no_end_either(own: Callable[..., None]) -> None:
    async def impossible(net: Net) -> None:
        raise ValueError("an empty name cannot be asked for")

    own(impossible)
    assert run_one(task("own")).not_measured == "internal error: ValueError"


def test_a_timeout_of_the_experiments_own_is_a_bug(own: Callable[..., None]) -> None:
    async def forgetful(net: Net) -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(5)

    own(forgetful)
    assert run_one(task("own")).not_measured == "internal error: TimeoutError"


def test_cannot_run_is_understood_also_from_within_a_group(own: Callable[..., None]) -> None:
    async def refuse() -> None:
        raise CannotRun("There is no such thing here.")

    async def grouped(net: Net) -> None:
        async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as inner:
            outer.create_task(asyncio.sleep(0))
            inner.create_task(refuse())

    own(grouped)
    made = run_one(task("own"))
    assert (made.not_measured, made.experiment_version) == ("There is no such thing here.", 9)


def test_a_bug_beside_a_refusal_is_still_a_bug(own: Callable[..., None]) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def both(net: Net) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(CannotRun("No.")))
            group.create_task(fail(ZeroDivisionError()))

    own(both)
    assert run_one(task("own")).not_measured == "internal error: ZeroDivisionError"


def test_cancelled_it_is_gone_at_once() -> None:
    world = World(hangs=frozenset({Operation.CONNECT}))

    async def story(clock: VirtualClock) -> None:
        running = runner(clock, world)
        async with asyncio.TaskGroup() as group:
            work = [
                group.create_task(running.run(task("tcp", f"192.0.2.{n}:443"), CONTEXT))
                for n in range(1, 30)
            ]
            await asyncio.sleep(10)
            before_us = clock.monotonic_us()
            for one in work:
                one.cancel()
        assert all(one.cancelled() for one in work)
        assert clock.monotonic_us() - before_us < 1_000_000

    run_virtually(story)


class Crowd:
    """Counts who is inside at a time."""

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
    """All at once; the measurements, and what they took together."""

    async def story(clock: VirtualClock) -> tuple[list[Measurement], int]:
        running = Runner(FakeDoor(WORLD, clock), clock, Limits(**limits), "boot-1")
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(running.run(one, CONTEXT)) for one in tasks]
        return [one.result() for one in work], clock.monotonic_us()

    return run_virtually(story)


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_so_many_at_once_and_no_more(own: Callable[..., None], concurrency: int) -> None:
    crowd = Crowd(stay_s=5)
    own(crowd.enter)
    made, _ = run_many([task("own", f"h{n}:1") for n in range(12)], concurrency=concurrency)
    assert len(made) == 12
    assert crowd.most == concurrency


def test_one_at_a_time_on_a_host_and_others_pass(own: Callable[..., None]) -> None:
    crowd = Crowd(stay_s=5)
    own(crowd.enter)
    same = [task("own", "https://same.example.test/") for _ in range(5)]
    other = [task("own", f"https://h{n}.example.test/") for n in range(5)]
    _, took_us = run_many(same + other, concurrency=2)
    assert crowd.most == 2, "those who wait for their host take nobody's place"
    assert took_us < 40_000_000


def test_tasks_that_share_several_hosts_do_not_wait_for_each_other_for_ever(
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
    made, _ = run_many(tasks, concurrency=8)
    assert not [m.not_measured for m in made if m.not_measured]


def test_a_task_does_not_wait_for_its_turn_for_ever(own: Callable[..., None]) -> None:
    own(Crowd(stay_s=DEADLINE_S).enter)
    made, took_us = run_many([task("own", "https://same.example.test/") for _ in range(9)])
    reasons = [m.not_measured for m in made if m.not_measured]
    assert 0 < len(reasons) < 9
    assert all("No turn within" in reason for reason in reasons)
    assert took_us < (TURN_S + DEADLINE_S + 2) * 1e6


def test_what_was_moved_is_counted_also_when_it_was_cut_short(own: Callable[..., None]) -> None:
    async def download(net: Net) -> None:
        net._trace.bytes_moved += 1_000  # type: ignore[attr-defined]
        await asyncio.sleep(10_000)

    own(download)

    async def story(clock: VirtualClock) -> int:
        running = runner(clock)
        await running.run(task("own"), CONTEXT)
        return running.moved

    assert run_virtually(story) == 1_000


def test_more_observations_than_the_wire_takes_are_cut(own: Callable[..., None]) -> None:
    async def busy(net: Net) -> None:
        for _ in range(600):
            await net.resolve("www.example.test")

    own(busy)
    assert len(run_one(task("own")).observations) == 512


def test_schedule_and_runner_fit_together() -> None:
    """An hour of an agent's life in virtual time."""
    plan = Plan(
        version=1,
        issued_s=0,
        expires_s=0,
        services_version="1",
        tasks=tuple(
            PlannedTask(experiment="tcp", target=f"192.0.2.{n}:443", interval_s=300) for n in (1, 2)
        ),
    )

    async def story(clock: VirtualClock) -> list[Measurement]:
        rng = random.Random(1)
        running = runner(clock)
        history = History.begin(clock.monotonic_us(), rng)
        made = []
        while clock.monotonic_us() < 3_600_000_000:
            tasks, wake_us = due(plan, history, clock.monotonic_us(), rng)
            for one in tasks:
                history = history.started(one, clock.monotonic_us())
                before = running.moved
                made.append(await running.run(one, CONTEXT))
                moved = running.moved - before
                history = history.finished(one, clock.monotonic_us(), moved, plan.limits)
            await asyncio.sleep(max(0, wake_us - clock.monotonic_us()) / 1e6)
        return made

    made = run_virtually(story)
    assert 22 <= len(made) <= 27
    assert not any(x.failure for m in made for x in m.observations)
