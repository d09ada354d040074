"""Outages shorter than every control's interval, with random test times.

A virtual world: controls and vantages test one page at their intervals, results arrive after some
seconds, the planner asks the controls for visits, and verdicts are renewed. The numbers of the
README of the judge come from `measure` with more draws.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.control import Assessor
from heliograph_collector.control.visit_planner import VisitLimits, VisitPlanner
from heliograph_collector.control.visit_policy import VisitPolicy
from heliograph_collector.judge import judge
from heliograph_collector.model.control_look import ControlSite
from heliograph_collector.model.records import (
    AgentRole,
    JudgedMeasurement,
    ReceivedMeasurement,
    VerdictState,
)
from heliograph_collector.model.seniority import Seniority
from support.control_records import RESET, WORKS, build_control, build_record, overall
from support.scenario import NOON_US

from .test_visit_planner import (
    EDGE,
    PLAN,
    SITES,
    TWO,
    URL,
    FixedAsns,
    look,
    make_planner,
    orders,
    report,
)

STEP_S = 5  # as often as visits are sent
TEST_S = 600  # the vantages' interval
CONTROL_S = 720  # the controls'
LATENCY_S = (5.0, 40.0)  # of a result
CONTROLS = (ControlSite(b"1", "AS1"), ControlSite(b"2", "AS2"))


@dataclass
class World:
    """One draw; `fails(second, is_control)` is whether the page fails then."""

    rng: random.Random
    fails: Callable[[float, bool], bool]
    vantages: int
    arriving: defaultdict[int, list[ReceivedMeasurement]] = field(
        default_factory=lambda: defaultdict(list)
    )
    states: dict[str, tuple[VerdictState, bool]] = field(default_factory=dict)
    visits: int = 0

    def play(self, from_s: int, until_s: int) -> None:
        assessor = Assessor(judge)
        planner = VisitPlanner(VisitPolicy(FixedAsns()), self.rng)
        planner.follow_plan(PLAN)
        self.add_regular_tests(from_s, until_s)
        for second in range(from_s, until_s + 120, STEP_S):
            now_us = NOON_US + second * SECOND_US
            block = self.arriving.pop(second // STEP_S, [])
            judged = assessor.assess([replace(r, received_us=now_us) for r in block])
            self.note_states(judged)
            planner.add(judged, now_us)
            for order in planner.take_orders(CONTROLS, now_us):
                self.visits += len(order.visits)
                self.add_control(int(order.agent), second + 2, is_visit=True)

    def note_states(self, judged: list[JudgedMeasurement]) -> None:
        for record, verdicts in judged:
            if record.role is AgentRole.VOLUNTEER:
                is_failing = self.fails((record.started_us - NOON_US) / SECOND_US, False)
                self.states[record.id] = overall((record, verdicts))[0], is_failing

    def add_regular_tests(self, from_s: int, until_s: int) -> None:
        for asn in (1, 2):
            for second in self.draw_times(from_s, until_s, CONTROL_S):
                self.add_control(asn, second)
        for number in range(self.vantages):
            for second in self.draw_times(from_s, until_s, TEST_S):
                self.add_vantage(number, second)

    def draw_times(self, from_s: int, until_s: int, interval_s: int) -> list[int]:
        first = from_s + int(self.rng.random() * interval_s)
        return [at + self.rng.randint(-30, 30) for at in range(first, until_s, interval_s)]

    def add_control(self, asn: int, second: int, *, is_visit: bool = False) -> None:
        steps = RESET if self.fails(second, True) else WORKS
        name = f"c{asn}"
        record = build_control(steps, second / 60, nym=name, target=URL, is_visit=is_visit)
        self.deliver(replace(record, vantage=replace(record.vantage, asn=asn)), second)

    def add_vantage(self, number: int, second: int) -> None:
        steps = RESET if self.fails(second, False) else WORKS
        record = build_record(steps, second / 60, nym=f"v{number}", target=URL)
        self.deliver(
            replace(record, reporter=f"v{number}", seniority=Seniority.ESTABLISHED), second
        )

    def deliver(self, record: ReceivedMeasurement, second: int) -> None:
        at_s = second + self.rng.uniform(*LATENCY_S)
        self.arriving[int(at_s) // STEP_S + 1].append(record)


def play_outage(seed: int, minutes: float, vantages: int) -> World:
    end_s = minutes * 60
    world = World(random.Random(seed), lambda at_s, _: 0 <= at_s < end_s, vantages)
    world.play(-1200, int(end_s) + 900)
    return world


def play_block(seed: int, minutes: float, vantages: int) -> World:
    end_s = minutes * 60
    world = World(
        random.Random(seed),
        lambda at_s, is_control: not is_control and 0 <= at_s < end_s,
        vantages,
    )
    world.play(-1200, int(end_s))
    return world


@dataclass(frozen=True)
class Shares:
    """Shares of failed measurements, and of draws with such; visits in an hour."""

    blocked: float
    blocked_draws: float
    visits: float


def measure(worlds: list[World], hours: float) -> Shares:
    failing = [[s for s, is_failing in w.states.values() if is_failing] for w in worlds]
    failing = [states for states in failing if states]
    count = sum(map(len, failing))
    blocked = [states.count(VerdictState.BLOCKED) for states in failing]
    visits = sum(w.visits for w in worlds)
    return Shares(
        blocked=sum(blocked) / count,
        blocked_draws=sum(map(bool, blocked)) / len(failing),
        visits=visits / len(worlds) / hours,
    )


def test_outage_of_five_minutes_that_regular_looks_miss_stays_no_block() -> None:
    """A five-minute outage that regular control tests miss is seldom a block.

    Where tests from before the outage were enough, 44 % of such draws stayed blocked.
    """
    seen = measure([play_outage(seed, 5, 3) for seed in range(15)], 40 / 60)
    assert seen.blocked_draws <= 0.2
    assert seen.visits <= 5, "and one page is not asked for all the time"


def test_real_block_is_kept_by_looks_of_after_each_failure() -> None:
    seen = measure([play_block(seed, 60, 3) for seed in range(3)], 80 / 60)
    assert seen.blocked == 1
    assert seen.visits <= 6


@pytest.mark.parametrize(
    ("case", "looks_min", "earlier_failures_min", "is_asked"),
    [
        ("a pass before it", [-2], [], True),
        ("a pass since", [-2, 1], [], False),
        ("the third in an hour", [-30, -10], [-31, -11], True),
        ("a lasting block", [-40, -20, -10], [-41, -21, -11], False),
        ("a block of this morning", [-190, -180, -170, -10], [-191, -181, -171], True),
    ],
)
def test_new_failure_is_looked_at_after_it_whatever_was_seen_before(
    case: str, looks_min: list[int], earlier_failures_min: list[int], is_asked: bool
) -> None:
    """An outage of minutes may fall between two looks that both pass."""
    planner = make_planner()
    known = [look(EDGE, minute) for minute in looks_min]
    known += [report(EDGE, nym=n, minute=m) for m in earlier_failures_min for n in ("v1", "v2")]
    for judged in sorted(known, key=lambda x: x[0].started_us):
        planner.add([judged], judged[0].started_us)
        planner.take_orders((), judged[0].started_us + 3 * MINUTE_US)
    planner.add(TWO, NOON_US + 2 * MINUTE_US)
    assert bool(planner.take_orders(SITES, NOON_US + 5 * MINUTE_US)) is is_asked, case


def test_what_failed_for_all_who_looked_is_not_asked_again() -> None:
    failed = [look(EDGE, -2, works=False, asn=asn) for asn in (1, 2)]
    planner = make_planner()
    planner.take_orders(SITES, NOON_US)  # it knows how many networks there are
    assert orders(planner, *failed, *TWO) == []


@pytest.mark.parametrize(("spent", "is_asked"), [(5, True), (6, False)])
def test_half_of_a_quota_stays_for_where_nobody_passed(*, spent: int, is_asked: bool) -> None:
    planner = make_planner(limits=VisitLimits(of_country=10))
    planner.add([look("9.8.7.200", -2), look(EDGE, -2)], NOON_US)
    planner.add([report(*(f"9.8.7.{n + 20}" for n in range(spent)), nym="v3")], NOON_US)
    planner.add(TWO, NOON_US)
    taken = planner.take_orders(SITES, NOON_US + 5 * MINUTE_US)
    addresses = {visit.address for order in taken for visit in order.visits}
    assert len(addresses) == spent + is_asked
    assert (EDGE in addresses) is is_asked
