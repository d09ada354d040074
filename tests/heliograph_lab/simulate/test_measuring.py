"""The judge takes what virtual agents measure for reachable, and for blocked."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from heliograph.clock import SystemClock
from heliograph.codec import measurement_from_pb
from heliograph.plan import PlannedTask
from heliograph.services import load_shipped_services
from heliograph_collector.control import Assessor
from heliograph_collector.judge import judge
from heliograph_collector.model.records import (
    LIGHT_CHECK,
    AgentRole,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)
from heliograph_lab.simulate import Actor, ServiceTrouble
from heliograph_lab.simulate.measuring import build_batch
from heliograph_lab.simulate.visits import InterferenceMethod
from heliograph_lab.simulate.workload import Run, Workload, build_load_plan
from support.scenario import taken

CLOCK = SystemClock()
PLAN = build_load_plan("plan", load_shipped_services(), [], 60.0)
HELLOS = [task for task in PLAN.expand_turns() if task.experiment == "hello"]
VOLUNTEERS = [*(t for t in PLAN.tasks if t.role == "" and not t.is_turn), *HELLOS[:1]]
LIGHT = [task for task in PLAN.tasks if task.is_light]
CONTROL = Actor(1, "ZZ", control=True)
NEAR, FAR = Actor(2, "DE"), Actor(3, "KZ")


def receive(workload: Workload, actor: Actor, task: PlannedTask) -> ReceivedMeasurement:
    rounds = workload.select_rounds(actor)
    run = Run(0.0, next(i for i, tasks in enumerate(rounds) if task in tasks), 0)
    results = workload.measure(actor, run, 0.0, CLOCK.wall_us(), CLOCK.monotonic_us()).list_parts()
    result = results[rounds[run.task_index].index(task)]
    role = AgentRole.CONTROL if actor.control else AgentRole.VOLUNTEER
    there = taken(result, role=role, nym=f"n{actor.number}")
    return replace(there, id=f"{actor.number:032x}")


def judge_task(workload: Workload, task: PlannedTask) -> dict[str, Sequence[Verdict]]:
    block = [receive(workload, actor, task) for actor in (CONTROL, NEAR, FAR)]
    return {
        measurement.pseudonym: verdicts
        for measurement, verdicts in Assessor(judge, load_shipped_services().services).assess(block)
    }


def service_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    return next(verdict for verdict in verdicts if not verdict.endpoint)


@pytest.mark.parametrize("task", VOLUNTEERS, ids=lambda t: t.service or t.target)
def test_default_task_without_interference_is_reachable(task: PlannedTask) -> None:
    verdicts = judge_task(Workload(plan=PLAN, loss_share=0.0), task)
    assert service_verdict(verdicts["n2"]).state is VerdictState.REACHABLE
    assert service_verdict(verdicts["n3"]).state is VerdictState.REACHABLE


# Telegram's data centers have addresses without names, which no resolver can deny.
@pytest.mark.parametrize(
    "task", [t for t in LIGHT if t.service != "telegram"], ids=lambda t: t.service
)
def test_light_check_is_judged_beside_the_whole_test_of_a_control(task: PlannedTask) -> None:
    whole = next(t for t in VOLUNTEERS if t.service == task.service)
    planted = {("KZ", task.service): InterferenceMethod.NXDOMAIN}
    workload = Workload(plan=PLAN, loss_share=0.0, interference=planted)
    pairs = ((CONTROL, whole), (NEAR, task), (FAR, task))
    block = [receive(workload, actor, tested) for actor, tested in pairs]
    _, near, far = Assessor(judge, load_shipped_services().services).assess(block)
    assert [v.state for v in near[1] if v.endpoint == LIGHT_CHECK] == [VerdictState.REACHABLE]
    assert [v.state for v in far[1] if v.endpoint == LIGHT_CHECK] == [VerdictState.BLOCKED]


@pytest.mark.parametrize("interference", InterferenceMethod)
@pytest.mark.parametrize("service", ["whatsapp", "signal", "discord"])
def test_interference_in_one_country_is_blocked_there_alone(
    service: str, interference: InterferenceMethod
) -> None:
    (task,) = (task for task in VOLUNTEERS if task.service == service)
    planted = {("KZ", service): interference}
    verdicts = judge_task(Workload(plan=PLAN, loss_share=0.0, interference=planted), task)
    assert service_verdict(verdicts["n2"]).state is VerdictState.REACHABLE
    assert service_verdict(verdicts["n3"]).state is VerdictState.BLOCKED


def test_trouble_of_an_actor_is_a_blocked_service() -> None:
    (task,) = (task for task in VOLUNTEERS if task.service == "signal")
    troubled = replace(FAR, troubles=[ServiceTrouble(0.0, 10.0, "signal")])
    workload = Workload(plan=PLAN, loss_share=0.0)
    block = [receive(workload, actor, task) for actor in (CONTROL, troubled)]
    *_, (_, verdicts) = Assessor(judge, load_shipped_services().services).assess(block)
    verdict = service_verdict(verdicts)
    assert (verdict.state, verdict.layer) == (VerdictState.BLOCKED, "tls")


def test_outage_of_a_service_is_down_for_a_control_too() -> None:
    (task,) = (task for task in VOLUNTEERS if task.service == "signal")
    outage = [ServiceTrouble(0.0, 10.0, "signal")]
    actors = (replace(CONTROL, troubles=outage), replace(FAR, troubles=outage))
    block = [receive(Workload(plan=PLAN, loss_share=0.0), actor, task) for actor in actors]
    *_, (_, verdicts) = Assessor(judge, load_shipped_services().services).assess(block)
    assert service_verdict(verdicts).state is VerdictState.DOWN


def test_batch_holds_what_the_contract_takes() -> None:
    actor = Actor(1, "KZ", "ALA", 9198, "mobile")
    result = Workload(plan=PLAN).measure(actor, Run(0.0, 0, 0), 0.0, CLOCK.wall_us(), 1)
    batch = build_batch(b"a" * 16, "simulate", 7, result, CLOCK.wall_us(), actor)
    assert [measurement_from_pb(m) for m in batch.measurements] == [replace(result, sequence=7)]
    assert (batch.epochs[0].country, batch.epochs[0].access) == ("KZ", "mobile")
