"""A round of light checks is one result, and one vote for each messenger."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from heliograph.codec import measurement_from_pb, measurement_to_pb
from heliograph.envelope import EnvelopeError, VerifiedBatch
from heliograph.failure import Failure, Operation
from heliograph.observation import Epoch, Link, Observation, Trigger
from heliograph.plan import (
    LIGHT_ROUND,
    MAX_PARTS,
    Endpoint,
    EndpointKind,
    Limits,
    Plan,
    PlannedTask,
    Service,
)
from heliograph.services import load_shipped_services
from heliograph.units import SECOND_US
from heliograph.v1 import envelope_pb2, observation_pb2
from heliograph_agent.runtime.measurement_loop import MeasurementLoop
from heliograph_agent.runtime.vantage import VantageState
from heliograph_agent.schedule import (
    EarlyStart,
    History,
    Task,
    find_due_tasks,
    make_rounds,
    make_tasks,
)
from heliograph_agent.spool import Priority, Spool
from heliograph_agent.spool.summarize import FULL, RunSummary
from heliograph_collector.detect.signal_reader import read_votes
from heliograph_collector.fleet.plans import build_default_plan
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.envelope_opener import check_batch
from heliograph_collector.judge import judge
from heliograph_collector.model.records import (
    LIGHT_CHECK,
    ControlView,
    JournalRow,
    ReceivedMeasurement,
)
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.journal.decode import read_rows
from support.agent_host import RecordingHost
from support.fake_net import FakeDoor, World
from support.hand_clock import HandClock
from support.results import PLAIN, deliver_all, measurement
from support.rows import NAMES, envelope_row

NAMED = ("viber", "line", "wechat")
STEP = Observation(operation=Operation.CONNECT, started_us=0, duration_us=0)


def service_of(name: str) -> Service:
    ends = (Endpoint(id=f"{name}-1", kind=EndpointKind.TCP, host=f"{name}.test", port=443),)
    return Service(name=name, title=name, experiment=name, endpoints=ends)


WHOLE = tuple(PlannedTask(experiment=n, service=n, interval_s=7_200) for n in NAMED)
LIGHT = tuple(replace(t, interval_s=150, options={"light": "true"}) for t in WHOLE)
PLAN = Plan(
    version=1, issued_s=0, expires_s=0, services_version="1",
    services=tuple(map(service_of, NAMED)), tasks=(*LIGHT, *WHOLE), limits=Limits(),
)  # fmt: skip
ROUND = next(task for task in make_rounds(PLAN) if task.parts)
LIVING = {f"{name}.test": f"192.0.2.{number}" for number, name in enumerate(NAMED, start=1)}
BLOCKED = World(
    names={host: (address,) for host, address in LIVING.items()},
    ports={
        (address, 443): Failure.GENERIC_TIMEOUT_ERROR if host == "line.test" else None
        for host, address in LIVING.items()
    },
)


def test_default_plan_gives_one_light_result_an_interval() -> None:
    """The default plan gives one light result an interval.

    It gave ten once, five of six of all results.
    """
    plan = build_default_plan(load_shipped_services()).for_role("volunteer")
    rounds = [task for task in make_rounds(plan) if task.is_light]
    assert [len(task.parts) for task in rounds] == [sum(line.is_light for line in plan.tasks)]
    hourly = sum(3_600 / task.interval_s for task in make_rounds(plan))
    assert hourly < 100, "294 with a result for each check"


def start_all(history: History, now_us: int) -> tuple[History, list[Task]]:
    started: list[Task] = []
    for _ in range(len(PLAN.tasks)):
        tasks, wake_us = find_due_tasks(PLAN, history, now_us, random.Random(1))
        for task in tasks:
            history = history.record_start(task, now_us)
        started += tasks
        if wake_us - now_us > 3 * SECOND_US:
            break
        now_us = wake_us
    return history, started


def test_messenger_under_its_whole_test_is_left_out_and_checked_alone_after_it() -> None:
    history = History.create(0, random.Random(1))
    later_us = 200 * SECOND_US
    whole = next(t for t in make_tasks(PLAN) if t.target == "line" and not t.is_light)
    for task in make_tasks(PLAN):
        history = history.record_start(task, 0).record_finish(task, 0, 0, PLAN.limits)
    history = history.record_start(whole, later_us)
    history, started = start_all(history, later_us)
    assert [[part.target for part in task.parts] for task in started] == [["viber", "wechat"]]
    history, started = start_all(history, later_us + SECOND_US)
    assert started == [], "its whole test still runs"
    ended_us = later_us + 5 * SECOND_US
    history = history.record_finish(whole, ended_us, 0, PLAN.limits)
    history, started = start_all(history, ended_us + PLAN.limits.target_pause_s * SECOND_US)
    assert [task.target for task in started] == ["line"]


def test_early_check_runs_alone_unless_the_round_comes_first() -> None:
    history = History.create(0, random.Random(1))
    for task in (*make_tasks(PLAN), ROUND):
        history = history.record_start(task, 0).record_finish(task, 0, 0, PLAN.limits)
    asked = next(part for part in ROUND.parts if part.target == "line")
    history = history.bring_forward(asked, EarlyStart(60 * SECOND_US, Trigger.EARLY_RUN))
    _, early = start_all(history, 61 * SECOND_US)
    assert early == [asked]
    assert history.find_trigger(asked, 61 * SECOND_US) == Trigger.EARLY_RUN
    assert not history.record_start(ROUND, 50 * SECOND_US).early


class Bench:
    def __init__(self, folder: Path) -> None:
        clock = HandClock()
        self.spool = Spool(folder / "spool.db", PLAIN, clock=clock)
        self.host = RecordingHost(net_factory=FakeDoor(BLOCKED, clock), clock=clock)
        self.loop = MeasurementLoop(
            spool=self.spool, clock=clock, rng=random.Random(1), plan=PLAN, allowance=None,
            vantage=VantageState(epoch=Epoch(id="e", started_us=1), link=Link.ONLINE),
            host=self.host,
        )  # fmt: skip

    async def run_round(self) -> observation_pb2.Measurement:
        await self.loop._measure_task(ROUND)  # the loop itself would run all tasks
        (batch,) = await deliver_all(self.spool)
        (result,) = batch.measurements
        return result


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    try:
        yield bench
    finally:
        await bench.spool.close()


async def test_round_is_one_result_and_only_what_failed_is_looked_at_again(bench: Bench) -> None:
    result = await bench.run_round()
    assert (result.experiment, result.service, len(result.observations)) == (LIGHT_ROUND, "", 0)
    failed = {
        p.service: {x.failure for x in p.observations} - {"", "dns_no_answer"} for p in result.parts
    }
    assert failed.pop("line") == {"generic_timeout_error"}
    assert not any(failed.values())
    looks = [(key.split()[0], s.trigger) for key, s in bench.loop.history.early.items()]
    assert looks == [("line", Trigger.SECOND_LOOK)]
    assert "light" not in next(iter(bench.loop.history.early)), "the whole test"
    assert bench.host.stored == [True], "a change goes out at once"
    assert set(bench.loop.vantage.last_results) == set(NAMED)
    assert not bench.loop.vantage.service_states, "one endpoint is not the service"


async def test_round_votes_as_checks_that_came_alone(bench: Bench) -> None:
    """A round votes as checks that came alone do.

    Verdicts and votes are equal, each with an identity that a replay repeats.
    """
    result = await bench.run_round()
    records = received(envelope_row(result))
    alone = [measurement_to_pb(record.measurement) for record in records]
    singles = received(envelope_row(*alone))
    assert [r.measurement for r in records] == [r.measurement for r in singles]
    judged = [(record, judge(record, ControlView())) for record in records]
    assert [v for _, v in judged] == [judge(record, ControlView()) for record in singles]
    assert {v[-1].endpoint for _, v in judged} == {LIGHT_CHECK}
    votes = list(read_votes(judged))
    assert [v.source for v in votes] == [f"{name} light" for name in NAMED]
    assert [v.service for v in votes] == list(NAMED)
    assert len({record.id for record in records}) == len(NAMED)
    replayed = received(replace(envelope_row(result), position=77))
    assert [r.id for r in replayed] == [r.id for r in records]


def received(row: JournalRow) -> list[ReceivedMeasurement]:
    records = read_rows([row], NAMES).records
    return [replace(record, seniority=Seniority.ESTABLISHED) for record in records]


@pytest.mark.parametrize(
    "facts", [{"certificates": (b"x" * 40_000,)}, {"observations": (STEP,) * 60}]
)
async def test_round_that_is_too_large_is_stored_check_by_check(
    bench: Bench, facts: dict[str, Any]
) -> None:
    """A round that is too large is stored check by check.

    It has an interceptor's certificates, or more steps than a collector takes of one result.
    """
    check = measurement("viber", service="viber", is_light=True, **facts)
    alone: dict[str, Any] = {"certificates": (), "observations": ()}
    large = replace(check, experiment=LIGHT_ROUND, parts=(check,) * 10, **alone)
    await bench.spool.append(large, Epoch(id="e", started_us=1), Priority.P1)
    stored = [m for batch in await deliver_all(bench.spool) for m in batch.measurements]
    assert [(m.service, m.is_light) for m in stored] == [("viber", True)] * 10
    assert [m.sequence for m in stored] == list(range(1, 11))
    assert all(measurement_from_pb(m) for m in stored)


async def test_round_that_no_collector_accepts_stops_no_summary(bench: Bench) -> None:
    """A round that no collector accepts stops no summary.

    Data of a network must not end the agent, which makes a summary when it is cut off.
    """
    message = await bench.run_round()
    message.parts[0].not_measured = "\0"
    summary = RunSummary()
    summary.add(message.SerializeToString())
    assert len(summary.tests) == len(NAMED)


def test_light_checks_beyond_one_round_give_a_result_each() -> None:
    many = replace(PLAN, tasks=tuple(LIGHT[n % 3] for n in range(MAX_PARTS + 2)))
    assert [len(tasks) for tasks in many.list_rounds()] == [1, 1, MAX_PARTS]


async def test_round_counts_by_its_parts_where_they_cost(bench: Bench) -> None:
    """A round counts by its parts where they cost.

    No envelope multiplies beyond what plain results may; a summary counts each messenger.
    """
    message = await bench.run_round()
    summary = RunSummary()
    for _ in range(3):
        summary.add(message.SerializeToString())
    counted = [observation_pb2.Measurement.FromString(body) for body in summary.serialize(FULL)]
    assert summary.runs == 3
    assert {(m.service, m.summary.runs, m.is_light) for m in counted} == {
        (name, 3, True) for name in NAMED
    }
    fitting = rate_limits.MAX_MEASUREMENTS // len(NAMED)
    assert check_batch(verified(message, fitting), message.started_us).count == fitting
    with pytest.raises(EnvelopeError, match="too_large"):
        check_batch(verified(message, fitting + 1), message.started_us)


def verified(message: observation_pb2.Measurement, count: int) -> VerifiedBatch:
    batch = envelope_pb2.Batch(sequence=1, measurements=[message] * count)
    return VerifiedBatch(b"a", 1, batch, b"")
