"""Selected vantages test sooner after certain failures."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from heliograph.units import MINUTE_US
from heliograph.v1 import intake_pb2
from heliograph_collector.control.early_runs import ASK_AGAIN_US, EarlyRunPlanner
from heliograph_collector.model.control_look import ConnectedVantage
from heliograph_collector.model.records import (
    LIGHT_CHECK,
    AgentRole,
    JudgedMeasurement,
    ReceivedMeasurement,
    Vantage,
    Verdict,
    VerdictState,
)
from heliograph_collector.model.seniority import Seniority
from support.results import measurement

NOW_US = 1_700_000_000_000_000


@dataclass
class Sessions:
    """Vantages with prefixes p0, p1 … in networks 1 and 2 by turns."""

    count: int = 12
    is_schedule_fixed: bool = False
    asked: list[bytes] = field(default_factory=list)

    def list_vantages(self, country: str, now_us: int) -> Sequence[ConnectedVantage]:
        assert now_us >= NOW_US
        count = self.count if country == "KZ" else 0
        return [ConnectedVantage(bytes([n]), f"p{n}", 1 + n % 2) for n in range(count)]

    def ask_early_run(self, agent: bytes, run: intake_pb2.EarlyRun) -> bool:
        self.asked.append(agent)
        return bool(run.experiment)


def failure(number: int, **facts: object) -> JudgedMeasurement:
    """Return a failed light check of the vantage with this prefix."""
    state = facts.pop("state", VerdictState.BLOCKED)
    endpoint = facts.pop("endpoint", LIGHT_CHECK)
    at_us = facts.pop("at_us", NOW_US)
    fields: dict[str, object] = {
        "id": "0" * 32, "position": 1, "received_us": NOW_US, "pseudonym": f"v{number}",
        "prefix": f"p{number}", "role": AgentRole.VOLUNTEER, "seniority": Seniority.ESTABLISHED,
        "vantage": Vantage(country="KZ", asn=1 + number % 2, access="mobile"),
        "measurement": measurement(
            "viber", experiment="viber", service="viber", started_us=at_us, is_light=True
        ),
    }  # fmt: skip
    record = ReceivedMeasurement(**(fields | facts))  # type: ignore[arg-type]
    return record, (Verdict(state=state, rule="r", endpoint=endpoint),)  # type: ignore[arg-type]


def test_failures_in_two_prefixes_bring_at_most_five_others_forward_over_minutes() -> None:
    numbers: list[tuple[int, ...]] = []
    delays: list[int] = []
    for seed in range(100):
        planner = EarlyRunPlanner(random.Random(seed))
        sessions = Sessions()
        assert planner.add([failure(0)], NOW_US, sessions) == [], "one may be one house"
        asked = planner.add([failure(1)], NOW_US, sessions)
        numbers.append(tuple(sorted(agent[0] for agent, _ in asked)))
        delays += [run.delay_s for _, run in asked]
        assert {(run.experiment, run.service) for _, run in asked} == {("viber", "viber")}
        assert planner.add([failure(2), failure(3)], NOW_US, sessions) == [], "asked once"
        later_us = NOW_US + ASK_AGAIN_US
        again = planner.add([failure(n, at_us=later_us) for n in (0, 1)], later_us, sessions)
        assert len(again) == 5
    assert {len(chosen) for chosen in numbers} == {5}
    assert not {0, 1} & {n for chosen in numbers for n in chosen}, "who failed looks again itself"
    assert len(set(numbers)) > 50, "by chance"
    assert max(delays) <= 180
    assert max(delays) - min(delays) > 120
    assert len(set(delays)) > 60


def test_only_the_failing_network_is_asked_where_one_fails() -> None:
    planner = EarlyRunPlanner(random.Random(1))
    planner.add([failure(0)], NOW_US, Sessions())
    asked = planner.add([failure(2)], NOW_US, Sessions())
    assert {agent[0] % 2 for agent, _ in asked} == {0}


@pytest.mark.parametrize(
    "facts",
    [
        {"seniority": Seniority.YOUNG},
        {"role": AgentRole.QUARANTINE},
        {"role": AgentRole.CONTROL},
        {"state": VerdictState.UNKNOWN},
        {"state": VerdictState.DOWN},
        {"state": VerdictState.REACHABLE},
        {"endpoint": "chat-5242"},  # of the whole test, whose service may work
        {"at_us": NOW_US - 11 * MINUTE_US},  # late data
        {"prefix": "p0"},
        {"vantage": Vantage(country="RU", asn=1, access="mobile")},
    ],
)
def test_what_asks_for_nothing(facts: dict[str, object]) -> None:
    planner = EarlyRunPlanner(random.Random(1))
    assert planner.add([failure(0), failure(1, **facts)], NOW_US, Sessions()) == []


def test_plan_with_a_fixed_schedule_asks_nobody() -> None:
    planner = EarlyRunPlanner(random.Random(1))
    sessions = Sessions(is_schedule_fixed=True)
    assert planner.add([failure(0), failure(1)], NOW_US, sessions) == []
