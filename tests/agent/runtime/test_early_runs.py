"""Early runs: the tests that run out of turn, and their number."""

from dataclasses import replace

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement, Observation, Trigger
from heliograph.plan import Endpoint, EndpointKind, Plan, PlannedTask, Service
from heliograph.v1 import intake_pb2
from heliograph_agent.runtime.early_runs import (
    ASKED_PER_HOUR,
    BROWSER_AGAIN_US,
    AskedRuns,
    FailureMemory,
    find_full_task,
)
from heliograph_agent.schedule import Task, make_tasks
from support.hand_clock import HandClock
from support.results import measurement
from support.scripted_intake import plan_of

ENDPOINTS = tuple(
    Endpoint(id=name, kind=EndpointKind.TCP, host=f"{name}.example", port=443) for name in "ab"
)
VIBER = Service(name="viber", title="Viber", experiment="viber", endpoints=ENDPOINTS)
WHOLE = PlannedTask(experiment="viber", service="viber", interval_s=7_200)
LIGHT = PlannedTask(experiment="viber", service="viber", interval_s=240, options={"light": "true"})
WEB = PlannedTask(experiment="web", target="https://www.example.org/", interval_s=600)
PLAN = plan_of(WHOLE, LIGHT, WEB, services=(VIBER,))


def _result(tested: str, trigger: str = "") -> Measurement:
    steps = tuple(
        Observation(operation=Operation.CONNECT, started_us=0, duration_us=1, endpoint=endpoint)
        for endpoint in tested
    )
    return measurement("viber", observations=steps, trigger=trigger)


class Loop:
    """A recorder of the early runs that are started."""

    def __init__(self, plan: Plan = PLAN) -> None:
        self.plan = plan
        self.started: list[tuple[Task, float, Trigger]] = []

    def bring_forward(self, task: Task, delay_s: float, trigger: Trigger) -> None:
        self.started.append((task, delay_s, trigger))


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([("ab", ""), ("a", "a")], [False, True]),
        ([("a", "a"), ("b", ""), ("a", "a")], [True, False, False]),  # it failed before
        ([("a", "a"), ("a", ""), ("a", "a")], [True, False, False]),  # flapping: not so soon again
        ([("a", "a"), ("ab", "ab")], [True, False]),
    ],
)
def test_first_failure_of_an_endpoint_deserves_a_look(
    runs: list[tuple[str, str]], expected: list[bool]
) -> None:
    memory = FailureMemory()
    clock = HandClock()
    looks = []
    for tested, failed in runs:
        clock.advance_us(60_000_000)
        looks.append(memory.deserves_look(_result(tested), frozenset(failed), clock.monotonic_us()))
    assert looks == expected


def test_a_first_failure_on_another_network_deserves_a_look_at_once() -> None:
    memory = FailureMemory()
    assert memory.deserves_look(_result("a"), frozenset("a"), 1)
    memory.forget()
    assert memory.deserves_look(_result("a"), frozenset("a"), 2)


def test_second_look_asks_for_no_third() -> None:
    look = _result("ab", Trigger.SECOND_LOOK)
    assert not FailureMemory().deserves_look(look, frozenset("ab"), 1)


PAGE = PlannedTask(experiment="browser", target="https://www.example.org/", interval_s=14_400)


@pytest.mark.parametrize(
    ("own", "browser", "is_opened"),
    [
        (None, None, False),
        (None, Failure.CONNECTION_RESET, True),
        (Failure.GENERIC_TIMEOUT_ERROR, None, True),
        (Failure.CONNECTION_RESET, Failure.CONNECTION_RESET, False),
        (Failure.SSL_UNKNOWN_AUTHORITY, None, False),
        (None, Failure.SSL_FAILED_HANDSHAKE, False),
    ],
)
def test_a_browser_opens_a_page_where_hellos_disagree(
    own: Failure | None, browser: Failure | None, is_opened: bool
) -> None:
    """A browser opens a page where hellos disagree.

    Once in six hours; a server that answers with a TLS alert is a server, and no filter.
    """
    ends = {"own": own, "firefox": browser, "chrome": browser, "chrome_late": browser}
    seen = measurement(
        "www.example.org:443",
        observations=tuple(
            Observation(
                operation=Operation.TLS_HANDSHAKE,
                started_us=0,
                duration_us=1,
                endpoint=label,
                failure=failure,
            )
            for label, failure in ends.items()
        ),
    )
    seen = replace(seen, experiment="hello")
    memory = FailureMemory()
    plan = plan_of(WEB, PAGE, replace(PAGE, target="https://www.example.net/"))

    def choose(now_us: int) -> list[str]:
        return [task.target for task in memory.choose_pages(seen, plan, now_us)]

    opened = ["https://www.example.org/"] if is_opened else []
    assert [choose(1), choose(BROWSER_AGAIN_US), choose(BROWSER_AGAIN_US + 2)] == [
        opened, [], opened
    ]  # fmt: skip


def test_light_check_is_followed_by_the_whole_test() -> None:
    whole, light, web = make_tasks(PLAN)
    assert [find_full_task(task, PLAN) for task in (whole, light, web)] == [whole, whole, web]
    lone = plan_of(LIGHT, services=(VIBER,))
    assert find_full_task(light, lone) == light


def ask(*runs: tuple[str, str, str], delay_s: int = 90) -> intake_pb2.EarlyRuns:
    names = ("experiment", "service", "target")
    fields = [dict(zip(names, run, strict=True)) for run in runs]
    return intake_pb2.EarlyRuns(
        runs=[intake_pb2.EarlyRun(delay_s=delay_s, **names) for names in fields]
    )


def test_collector_may_ask_only_for_what_the_plan_has() -> None:
    loop = Loop()
    asked = AskedRuns(loop, HandClock())
    asked.take(
        ask(
            ("viber", "viber", ""),
            ("web", "", "https://www.example.org/"),
            ("web", "", "https://elsewhere.example/"),
            ("signal", "signal", ""),
            ("tcp", "viber", ""),
        )
    )
    _, light, web = make_tasks(PLAN)
    assert loop.started == [(light, 90, Trigger.EARLY_RUN), (web, 90, Trigger.EARLY_RUN)]


def test_collector_may_not_ask_for_many_nor_for_much_later() -> None:
    loop = Loop()
    clock = HandClock()
    asked = AskedRuns(loop, clock)
    for _ in range(100):
        asked.take(ask(*[("viber", "viber", "")] * 50, delay_s=2**31))
    assert len(loop.started) == ASKED_PER_HOUR
    assert {delay_s for _, delay_s, _ in loop.started} == {600}
    clock.advance_us(3_600_000_000)
    asked.take(ask(("viber", "viber", "")))
    assert len(loop.started) == ASKED_PER_HOUR + 1, "an hour later again"
