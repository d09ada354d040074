"""The generated load is the default plan's, in number, steps and bytes.

The steps are those of the real experiments over a scripted net, task by task, and must be equal.
Sizes are compared in test_workload_size.py, with the real net before real servers.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from heliograph.experiments.messengers import CORE_S, LIGHT_S
from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement, Observation
from heliograph.plan import ANCHORS, PlannedTask, Service
from heliograph.services import load_shipped_services
from heliograph_agent.experiments.endpoints import make_url
from heliograph_agent.experiments.experiment import Target
from heliograph_lab.simulate import Actor
from heliograph_lab.simulate.hosts import derive_host
from heliograph_lab.simulate.visits import NetworkConditions, StepLog, is_ip_literal
from heliograph_lab.simulate.workload import (
    Workload,
    build_load_plan,
    simulate_task,
)
from support.experiment_run import observed
from support.fake_net import Page, World

SERVICES = load_shipped_services()
PLAN = build_load_plan("plan", SERVICES, [], 60.0)
VOLUNTEER = Actor(1, "KZ")
HELLOS = [task for task in PLAN.expand_turns() if task.experiment == "hello"]
# Hellos to any host are alike.
TASKS = [*(task for task in PLAN.tasks if not task.is_turn), *HELLOS[:1]]
Shape = tuple[Operation, str, Failure | None, Operation | None]


def named(task: PlannedTask) -> str:
    kind = "light" * task.is_light or "hello" * task.is_turn
    return f"{task.service or task.target} {kind}".strip()


def service_of(task: PlannedTask) -> Service | None:
    """Return the service of a light check with one endpoint, so that both draw it."""
    service = SERVICES.get(task.service)
    if service is None or not task.is_light:
        return service
    return replace(service, endpoints=service.list_light_endpoints()[:1])


def shapes(steps: Sequence[Observation]) -> Counter[Shape]:
    """Count steps by operation, endpoint, result and parent."""
    return Counter(
        (
            step.operation,
            step.endpoint,
            step.failure,
            None if step.parent is None else steps[step.parent].operation,
        )
        for step in steps
    )


def generated(task: PlannedTask, conditions: NetworkConditions) -> list[Observation]:
    steps = StepLog(conditions, Workload(plan=PLAN).build_schedule(VOLUNTEER).rng)
    simulate_task(task, service_of(task), steps)
    return steps.observations


def world_of(task: PlannedTask, conditions: NetworkConditions) -> World:
    """The same hosts, for the fake net."""
    service = service_of(task)
    endpoints = service.endpoints if service else ()
    lone = [] if service else [(task.target.split("//")[-1].split("/")[0].split(":")[0], 443)]
    places = [(e.host, e.port) for e in endpoints] + lone
    names: dict[str, tuple[str, ...] | Failure] = {}
    ports: dict[tuple[str, int], Failure | None] = {}
    for name, port in places:
        host = derive_host(name)
        addresses = (name,) if is_ip_literal(name) else (*host.ipv4, *host.ipv6)
        names[name] = addresses
        for address in addresses:
            unreachable = ":" in address and not conditions.ipv6
            ports[address, port] = Failure.NETWORK_UNREACHABLE if unreachable else None
    world = World(names=names, ports=ports, pages=pages_of(task))
    for (address, port), failure in ports.items():
        world.speeches[address, port] = failure or "an answer"
    return world


def pages_of(task: PlannedTask) -> dict[str, Failure | Page]:
    service = service_of(task)
    pages: dict[str, Failure | Page] = {
        make_url(endpoint): Page(status=101 if endpoint.kind == "websocket" else 200)
        for endpoint in (service.endpoints if service else ())
        if endpoint.kind in ("http", "https", "websocket")
    }
    return pages or {task.target: Page()}


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "both_families"])
@pytest.mark.parametrize("task", TASKS, ids=named)
async def test_planned_task_takes_the_real_experiments_steps(task: PlannedTask, ipv6: bool) -> None:
    conditions = NetworkConditions(ipv6=ipv6)
    target = Target(value=task.target or task.service, service=service_of(task))
    real = await observed(task.experiment, target, world_of(task, conditions), task.options)
    assert shapes(generated(task, conditions)) == shapes(real)


def test_default_load_is_24_results_of_36_observations_an_hour() -> None:
    """The default load is 24 results of 36 observations an hour.

    By the plan's intervals, rounds of light checks too; a control's hour has the countries' sites,
    and messengers whole and more often in place of light checks.
    """
    workload = Workload(plan=PLAN)
    results = [hour(workload, Actor(number, "KZ")) for number in range(12)]
    whole = [len(r.observations) for each in results for r in each if not r.is_light]
    rounds = [r for each in results for r in each if r.is_light]
    light = [len(check.observations) for r in rounds for check in r.parts]
    assert len(whole) / len(results) == pytest.approx(24, rel=0.05)
    assert sum(whole) / len(whole) == pytest.approx(36, rel=0.1)
    assert len(rounds) / len(results) == pytest.approx(3_600 / LIGHT_S, rel=0.05)
    assert {len(r.parts) for r in rounds} == {sum(task.is_light for task in PLAN.tasks)}
    assert sum(light) / len(light) == pytest.approx(4, abs=1)
    control = hour(workload, Actor(99, "ZZ", control=True))
    expected = sum(3_600 / t.interval_s for t in PLAN.tasks if t.role in ("", "control"))
    assert len(control) == pytest.approx(expected, abs=8)
    assert not any(result.is_light for result in control)
    assert {"outside_in"} == {r.experiment for r in control} - {
        r.experiment for each in results for r in each
    }


def hour(workload: Workload, actor: Actor) -> list[Measurement]:
    schedule = workload.build_schedule(actor)
    schedule.start(0.0)
    results = []
    while (run := schedule.next_run(0.0)).at_s < 3_600:
        results.append(workload.measure(actor, run, run.at_s, 10**15, 1))
    return results


def test_same_seed_makes_the_same_load_and_another_does_not() -> None:
    first, again, other = (
        [result.observations for result in hour(Workload(plan=PLAN, seed=seed), VOLUNTEER)][:20]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_scenarios_services_come_as_often_as_it_says() -> None:
    plan = build_load_plan("plan", SERVICES, ["signal", "news"], 30)
    tasks = {named(task): task for task in plan.tasks}
    assert (tasks["signal"].experiment, tasks["signal"].interval_s) == ("signal", 30)
    assert (tasks["news"].experiment, tasks["news"].target) == ("web", "https://www.news.example/")
    assert tasks["whatsapp"].interval_s == CORE_S


def test_load_of_the_scenario_alone_is_its_pages() -> None:
    tasks = build_load_plan("scenario", SERVICES, ["signal", "news"], 30).tasks
    assert [(t.experiment, t.service) for t in tasks] == [("web", "signal"), ("web", "news")]
    assert build_load_plan("none", SERVICES, ["signal"], 30).tasks == ()


def test_overdue_run_comes_now_and_once() -> None:
    schedule = Workload(plan=PLAN).build_schedule(VOLUNTEER)
    schedule.start(0.0)
    late = [schedule.next_run(1_000_000.0) for _ in schedule.rounds]
    assert {run.at_s for run in late} == {1_000_000.0}
    assert len({run.task_index for run in late}) == len(schedule.rounds)
    assert schedule.next_run(1_000_000.0).at_s > 1_000_000.0


def test_speed_divides_the_intervals() -> None:
    runs = []
    for speed in (1.0, 10.0):
        schedule = Workload(plan=PLAN, speed=speed).build_schedule(VOLUNTEER)
        schedule.start(0.0)
        runs.append([schedule.next_run(0.0) for _ in range(3)])
    slow, fast = runs
    assert [run.task_index for run in slow] == [run.task_index for run in fast]
    assert fast[2].at_s == pytest.approx(slow[2].at_s / 10)


def test_a_wish_for_longer_intervals_spares_the_anchors_and_ends_by_itself() -> None:
    hour_s = 3_600.0

    def count_runs(percent: int, hours: float = 0.2) -> Counter[bool]:
        """Count the runs of a day by whether they are routine, under a stretch of hours."""
        schedule = Workload(plan=PLAN).build_schedule(VOLUNTEER)
        schedule.start(0.0)
        runs: Counter[bool] = Counter()
        now_s = asked_s = 0.0
        while now_s < 24 * hour_s:
            if percent > 100 and asked_s <= now_s < hours * hour_s:
                schedule.stretch(percent, now_s)
                asked_s = now_s + 300
            run = schedule.next_run(now_s)
            now_s = run.at_s
            runs[schedule.rounds[run.task_index][0].experiment != ANCHORS] += 1
        return runs

    plain, slow, returned = count_runs(100), count_runs(400, 24), count_runs(400)
    assert plain[True] / slow[True] == pytest.approx(4, rel=0.15)
    assert plain[False] / slow[False] == pytest.approx(1, rel=0.05)
    assert returned[True] / plain[True] == pytest.approx(1, rel=0.05)
