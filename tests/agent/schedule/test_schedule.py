"""The schedule of tests: years are simulated in seconds, as it uses no clock."""

import dataclasses
import itertools
import random
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.observation import Trigger
from heliograph.plan import Endpoint, EndpointKind, Limits, Plan, PlannedTask, Service
from heliograph_agent.schedule import (
    Allowance,
    EarlyStart,
    History,
    find_due_tasks,
    make_tasks,
)
from heliograph_agent.spool import Priority
from support.examples import limit_examples
from support.schedule_simulation import DAY, S, Simulation

JITTER = 0.1


def plan_of(*tasks: PlannedTask, services: tuple[Service, ...] = (), **limits: int) -> Plan:
    wide = {"bytes_per_month": 10**12, "concurrency": 8, "target_pause_s": 0}
    return Plan(
        version=1, issued_s=0, expires_s=0, services_version="1", services=services, tasks=tasks,
        limits=Limits(**{**wide, **limits}),
    )  # fmt: skip


def many(count: int, interval_s: int) -> list[PlannedTask]:
    """Tasks on as many hosts."""
    return [every(interval_s, f"h{i}.example.test:443") for i in range(count)]


def every(interval_s: int, target: str, experiment: str = "tcp") -> PlannedTask:
    return PlannedTask(experiment=experiment, interval_s=interval_s, target=target)


@settings(max_examples=limit_examples(40), deadline=None)
@given(
    intervals=st.lists(st.integers(1, 600), min_size=1, max_size=12),
    concurrency=st.integers(1, 8),
    seed=st.integers(0, 2**32),
)
def test_interval_is_the_least_time_between_starts(
    intervals: list[int], concurrency: int, seed: int
) -> None:
    tasks = [every(s, f"h{i}.example.test:443") for i, s in enumerate(intervals)]
    plan = plan_of(*tasks, concurrency=concurrency)
    simulation = Simulation(plan, seed, duration_s=0.3).run(600)
    for task in tasks:
        for before, after in itertools.pairwise(simulation.starts[task.target]):
            assert after - before >= task.interval_s * S * (1 - JITTER)
    assert simulation.most_at_once <= concurrency


@settings(max_examples=limit_examples(30), deadline=None)
@given(
    hosts=st.lists(st.sampled_from("abc"), min_size=2, max_size=8),
    pause_s=st.integers(1, 60),
    seed=st.integers(0, 2**32),
)
def test_pause_between_visits_of_host(hosts: list[str], pause_s: int, seed: int) -> None:
    tasks = [every(20, f"https://{host}.example.test/{i}", "web") for i, host in enumerate(hosts)]
    simulation = Simulation(plan_of(*tasks, target_pause_s=pause_s), seed, duration_s=2.5).run(900)
    visits = defaultdict(list)
    for at_us, task in simulation.order:
        for host in task.hosts:
            visits[host].append(at_us)
    for times in visits.values():
        for before, after in itertools.pairwise(times):
            assert after - before >= (2.5 + pause_s) * S - 1, "counted from the visit's end"


def test_unhindered_task_keeps_interval() -> None:
    simulation = Simulation(plan_of(*many(10, 60))).run(7_200)
    for times in simulation.starts.values():
        assert len(times) == pytest.approx(120, rel=0.05)


@pytest.mark.long
def test_starts_follow_no_grid() -> None:
    """Starts follow no grid, so that an observer cannot recognize an agent by time."""
    simulation = Simulation(plan_of(every(600, "h.example.test:443"))).run(10 * DAY)
    times = simulation.starts["h.example.test:443"]
    gaps = {after - before for before, after in itertools.pairwise(times)}
    assert len(gaps) > 0.9 * len(times)
    quarters = [0] * 4
    for at_us in times:
        quarters[at_us // (150 * S) % 4] += 1
    assert min(quarters) > len(times) / 4 * 0.7, "it wanders over the whole interval"


def test_agents_are_not_in_step() -> None:
    plan = plan_of(every(600, "h.example.test:443"))
    starts = [Simulation(plan, seed).run(30).starts["h.example.test:443"] for seed in range(200)]
    seconds = {times[0] // S for times in starts}
    assert len(seconds) > 15


def test_anchors_start_first() -> None:
    plan = plan_of(*many(8, 3_600), every(300, "anchors", "connectivity"))
    simulation = Simulation(plan).run(60)
    assert simulation.order[0][1].experiment == "connectivity"
    assert simulation.order[0][0] == simulation.begin_us
    first = [times[0] - simulation.begin_us for times in simulation.starts.values()]
    assert len(first) == 9
    assert max(first) < 45 * S, "an hourly task does not wait for an hour at first"
    assert len({at // 100_000 for at in first}) > 5, "nor do all go at once"


@pytest.mark.parametrize("hours", [1, 8, 70])
def test_missed_runs_are_not_repeated_in_a_burst(hours: int) -> None:
    """Missed runs are not repeated in a burst.

    After sleep or a stopped process, work is late and runs once, one by one.
    """
    plan = plan_of(*many(20, 60))
    slept = [False]

    def asleep(next_us: int) -> int:
        if not slept[0] and next_us > 605 * S:
            slept[0] = True
            return next_us + hours * 3_600 * S
        return next_us

    simulation = Simulation(plan).run(hours * 3_600 + 1_200, asleep=asleep)
    woke_us = 605 * S + hours * 3_600 * S
    after = sorted(at for at, _ in simulation.order if at >= woke_us)
    for times in simulation.starts.values():
        late = [at for at in times if woke_us <= at < woke_us + 50 * S]
        assert len(late) <= 1, "once, not once for every time missed"
    busiest = max(sum(at <= t < at + S for t in after) for at in after[:200])
    assert busiest <= 3


@pytest.mark.long
@settings(max_examples=limit_examples(4), deadline=None)
@given(
    cost=st.integers(10_000, 3_000_000),
    interval_s=st.integers(900, 3_600),
    seed=st.integers(0, 2**32),
)
def test_monthly_bytes_are_limited(cost: int, interval_s: int, seed: int) -> None:
    bytes_per_month = 30_000_000
    plan = plan_of(*many(3, interval_s), bytes_per_month=bytes_per_month)
    simulation = Simulation(plan, seed, cost).run(34 * DAY)
    times = [at for at, _ in simulation.order]
    for begin in times[:: max(1, len(times) // 200)]:
        spent = sum(cost for at in times if begin <= at < begin + 30 * DAY * S)
        assert spent <= bytes_per_month + 8 * cost, "and what was under way when it was spent"


@pytest.mark.long
def test_allowance_is_spread_over_days() -> None:
    """The allowance is spread over days.

    Anchors alone would cost fifteen times the month's bytes, and leave none for the rest.
    """
    plan = plan_of(
        every(600, "big.example.test:443"),
        every(300, "anchors", "connectivity"),
        bytes_per_month=30_000_000,
    )
    simulation = Simulation(plan, cost=50_000).run(30 * DAY)
    days = [0] * 30
    for at_us, task in simulation.order:
        if task.experiment == "tcp":
            days[(at_us - simulation.begin_us) // (DAY * S)] += 1
    anchors = simulation.starts["anchors"]
    assert max(b - a for a, b in itertools.pairwise(anchors)) < 3 * 3_600 * S, (
        "connectivity goes on"
    )
    assert len(simulation.order) * 50_000 <= 30_000_000 + 2 * 50_000, "within what was agreed to"
    assert min(days) >= 5, "and what it is for is tested every day"
    assert max(days) <= 2 * min(days[1:]) + 20, "no day eats the month"
    assert sum(days) < 30 * DAY / 600


def test_free_anchors_keep_interval() -> None:
    """Free anchors keep their interval, however much was spent before.

    Anchors are free on a dead link.
    """
    plan = plan_of(every(300, "anchors", "connectivity"), bytes_per_month=30_000_000)
    simulation = Simulation(plan)
    spent = simulation.history.allowance.spend(20_000_000, 0, 30_000_000)
    simulation.history = dataclasses.replace(simulation.history, allowance=spent)
    assert len(simulation.run(DAY).starts["anchors"]) > DAY / 300 * 0.9


def test_zero_allowance_runs_anchors_only() -> None:
    light = replace(every(60, "l:1"), options={"light": "true"})
    plan = plan_of(every(60, "h:1"), light, every(60, "anchors", "connectivity"))
    simulation = Simulation(plan, cost=100).run(600)
    assert all(simulation.starts[name] for name in ("h:1", "l:1"))
    simulation.plan = replace(plan, limits=replace(plan.limits, bytes_per_month=0))
    simulation.starts.clear()
    simulation.run(3_600)
    assert not simulation.starts["h:1"]
    assert not simulation.starts["l:1"]
    assert len(simulation.starts["anchors"]) > 50


def test_allowance_survives_restart() -> None:
    month = 30_000_000
    spent = Allowance(0).spend(5_000_000, 0, month)
    stored = spent.to_json(wall_us=0)
    restarted = Allowance.from_json(stored, now_us=9, wall_us=0, bytes_per_month=month)
    assert restarted.remaining_bytes(9, month) == spent.remaining_bytes(0, month)
    later = Allowance.from_json(stored, 9, wall_us=2 * DAY * S, bytes_per_month=month)
    assert later.remaining_bytes(9, month) == pytest.approx(
        spent.remaining_bytes(2 * DAY * S, month)
    )


@pytest.mark.parametrize(
    ("stored", "wall_us"),
    [
        pytest.param({}, 0, id="nothing kept"),
        pytest.param({"missing": "much", "wall_us": 0}, 0, id="rubbish"),
        pytest.param({"missing": 2_000_000.0, "wall_us": DAY * S}, 0, id="clock ran backwards"),
    ],
)
def test_invalid_stored_allowance_is_empty(stored: dict[str, object], wall_us: int) -> None:
    restored = Allowance.from_json(stored, 0, wall_us, bytes_per_month=30_000_000)
    assert restored.remaining_bytes(0, 30_000_000) <= 0


@settings(deadline=None)
@given(st.integers(-(10**18), 10**18))
def test_wall_clock_jump_never_overfills_allowance(jump_us: int) -> None:
    stored = Allowance(0).spend(10**9, 0, 30_000_000).to_json(wall_us=0)
    left = Allowance.from_json(stored, 0, jump_us, 30_000_000).remaining_bytes(0, 30_000_000)
    assert left <= 1_000_000


def test_find_due_tasks_is_repeatable() -> None:
    plan = plan_of(*many(10, 600))
    history = History.create(0, random.Random(1))
    once = find_due_tasks(plan, history, 3 * S, random.Random(2))
    assert [find_due_tasks(plan, history, 3 * S, random.Random(2)) for _ in range(5)] == [once] * 5


def test_running_task_is_not_started_again() -> None:
    simulation = Simulation(plan_of(every(10, "slow.example.test:443")), duration_s=95).run(300)
    for before, after in itertools.pairwise(simulation.starts["slow.example.test:443"]):
        assert after - before >= 95 * S


def test_changed_plan_keeps_shared_tasks() -> None:
    old = plan_of(every(600, "kept:1"), every(600, "gone:1"))
    simulation = Simulation(old).run(300)
    (last_us,) = simulation.starts["kept:1"]
    simulation.plan = plan_of(every(600, "kept:1"), *(every(600, f"new{i}:1") for i in range(9)))
    adopted_us = simulation.now_us
    simulation.history = simulation.history.change_plan(simulation.plan, adopted_us)
    assert len(simulation.history.starts) == 1
    simulation.run(60)
    fresh = [simulation.starts[f"new{i}:1"][0] - adopted_us for i in range(9)]
    assert max(fresh) - min(fresh) > 5 * S
    assert simulation.starts["kept:1"] == [last_us], "it waits for its own interval"


def test_make_tasks() -> None:
    endpoint = Endpoint(id="web", kind=EndpointKind.HTTPS, host="web.telegram.org", port=443)
    telegram = Service(name="telegram", title="T", experiment="telegram", endpoints=(endpoint,))
    plan = plan_of(
        PlannedTask(experiment="telegram", service="telegram", interval_s=60),
        PlannedTask(experiment="connectivity", service="anchors", interval_s=60),
        PlannedTask(experiment="web", target="https://[2001:db8::1]:8443/x", interval_s=60),
        PlannedTask(experiment="dns", target="www.example.test", interval_s=0),
        PlannedTask(
            experiment="dns", target="www.example.test", options={"timeout": "5"}, interval_s=1
        ),
        services=(telegram,),
    )
    telegram_task, anchors_task, web, dns, other_dns = make_tasks(plan)
    assert (telegram_task.service, telegram_task.target) == (telegram, "telegram")
    assert telegram_task.hosts == {"web.telegram.org"}
    assert (anchors_task.service, anchors_task.target) == (None, "anchors"), "the runner refuses it"
    assert (anchors_task.priority, telegram_task.priority) == (Priority.P0, Priority.P3)
    assert web.hosts == {"2001:db8::1"}
    assert dns.hosts == {"www.example.test"}
    assert dns.interval_s == 1, "no interval at all would be a flood"
    assert len({task.key for task in (telegram_task, anchors_task, web, dns, other_dns)}) == 5


def test_empty_plan_waits() -> None:
    history = History.create(0, random.Random(1))
    assert find_due_tasks(plan_of(), history, 0, random.Random(1)) == ((), 60 * S)


def test_early_start_keeps_pause_and_interval_and_names_its_trigger() -> None:
    plan = plan_of(every(600, "a.example:1"), every(600, "b.example:1"), target_pause_s=20)
    first, second = make_tasks(plan)
    history = History.create(0, random.Random(1))
    for task in (first, second):
        history = history.record_start(task, 60 * S).record_finish(task, 61 * S, 100, plan.limits)
    history = history.bring_forward(first, EarlyStart(70 * S, Trigger.EARLY_RUN))
    history = history.bring_forward(first, EarlyStart(90 * S, Trigger.SECOND_LOOK))

    def find(now_s: int) -> list[str]:
        tasks, _ = find_due_tasks(plan, history, now_s * S, random.Random(1))
        return [history.find_trigger(task, now_s * S) for task in tasks]

    assert find(72) == [], "the host is not visited again so soon"
    assert find(82) == ["early_run"], "the earlier of two counts"
    assert sorted(find(800)) == [""], "its turn has come anyway, one routine task at a time"
    started = history.record_start(first, 82 * S)
    assert not started.early
    assert not history.change_plan(replace(plan, fixed_schedule=True), 75 * S).early
    spent = replace(history, allowance=Allowance(82 * S, missing_bytes=1e12))
    assert find_due_tasks(plan, spent, 82 * S, random.Random(1))[0] == (), "nor past the allowance"


def test_where_bytes_do_not_suffice_light_checks_are_not_put_off_by_rare_tests() -> None:
    """An agent on a mobile line may move a sixth of what the plan would."""
    light = PlannedTask(
        experiment="tcp", interval_s=150, target="light.test:443", options={"light": "true"}
    )
    plan = plan_of(light, *many(10, 3_600), bytes_per_month=30 * DAY)
    simulation = Simulation(plan, cost=400)
    simulation.history = replace(simulation.history, allowance=Allowance(5 * S, 0.9 * DAY))
    simulation.run(2 * DAY)
    times = simulation.starts["light.test:443"]
    assert max(after - before for before, after in itertools.pairwise(times)) < 1_800 * S
    rare = [len(simulation.starts[f"h{i}.example.test:443"]) for i in range(10)]
    assert min(rare) >= 1, "and no test waits for ever"
