"""Controls: which result counts, and what a later one changes."""

from dataclasses import replace

import pytest

from heliograph.observation import Link, Measurement
from heliograph.plan import Endpoint, EndpointKind, Service
from heliograph_collector.control import Assessor, ControlCache, ControlContext
from heliograph_collector.control.assessor import ContextJudge
from heliograph_collector.judge import judge
from heliograph_collector.model.judging import NOT_JUDGED
from heliograph_collector.model.records import (
    ControlView,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)
from support.control_records import (
    BLOCKED,
    NO_CONTROL,
    RESET,
    WORKS,
    build_control,
    build_record,
    overall,
)
from support.scenario import MINUTE_US, NOON_US, measurement


def view(cache: ControlCache, minute: float = 0) -> tuple[Measurement | None, int | None]:
    seen = cache.find_view(measurement(WORKS), NOON_US + int(minute * MINUTE_US))
    return seen.measurement, None if seen.age_us is None else seen.age_us // MINUTE_US


def test_cache_returns_nearest_result() -> None:
    cache = ControlCache()
    early, late = build_control(WORKS, 0), build_control(RESET, 10)
    assert all(map(cache.update, (early, late)))
    assert view(cache, 2) == (early.measurement, 2)
    assert view(cache, 9) == (late.measurement, 1)
    assert view(cache, 60) == (late.measurement, 50)


def test_cache_prefers_the_control_that_got_furthest_while_it_is_fresh() -> None:
    """The cache prefers the control that got furthest while it is fresh.

    One control may itself be blocked; another one's success shows that the target works.
    """
    cache = ControlCache()
    good, fresh = build_control(WORKS, 3, nym="good"), build_control(RESET, 60, nym="bad")
    for one in (build_control(RESET, 0, nym="bad"), good, fresh):
        cache.update(one)
    assert view(cache, 0) == (good.measurement, 3)
    assert view(cache, 60) == (fresh.measurement, 0)


def test_cache_ignores_controls_that_are_cut_off() -> None:
    cache = ControlCache()
    assert not cache.update(build_control(RESET, link=Link.OFFLINE))
    assert not cache.update(build_control(RESET, link=Link.UNKNOWN))
    assert not cache.update(build_control([], not_measured="No such service."))
    assert not cache.update(build_record(WORKS))
    assert view(cache) == (None, None)


def test_full_cache_forgets_the_oldest() -> None:
    cache = ControlCache(observations=20)
    for minute in range(50):
        cache.update(build_control(WORKS, minute))
    assert view(cache, 0)[1] == 46  # four results of five units each are left
    assert view(cache, 49)[1] == 0


def test_groups_come_from_the_services() -> None:
    endpoint = Endpoint(id="e1-443", kind=EndpointKind.TCP, host="h", port=443, group="chat")
    service = Service(name="whatsapp", title="", experiment="whatsapp", endpoints=(endpoint,))
    asked = measurement(WORKS, experiment="whatsapp")
    assert ControlCache([service]).find_view(asked, 0).groups == {"e1-443": "chat"}


def test_control_in_the_same_block_counts() -> None:
    judged = Assessor(judge).assess([build_record(RESET), build_control(WORKS)])
    assert [overall(j) for j in judged] == [BLOCKED, (VerdictState.REACHABLE, "reached.https")]


def test_waiting_record_is_judged_again_by_later_control() -> None:
    assess = Assessor(judge).assess
    waiting = build_record(RESET)
    assert [overall(j) for j in assess([waiting])] == [NO_CONTROL]
    _, again = assess([build_control(WORKS, 2)])
    assert again[0] is waiting
    assert overall(again) == BLOCKED
    assert len(assess([build_control(WORKS, 3)])) == 1  # nothing changed, nothing comes again


def test_later_control_corrects_blocking_to_outage() -> None:
    """A later control corrects blocking to an outage.

    The control's last success was before the outage; its next result corrects the verdict.
    """
    assess = Assessor(judge).assess
    assess([build_control(WORKS, 0)])
    hit = build_record(RESET, 4)
    assert overall(assess([hit])[0]) == BLOCKED
    own, again = assess([build_control(RESET, 5)])
    assert overall(own) == overall(again) == (VerdictState.DOWN, "down.tls")


def test_distant_control_and_that_of_another_target_change_nothing() -> None:
    """An upload after three dark days is not judged by today's control."""
    assess = Assessor(judge).assess
    late = replace(build_record(RESET, -3 * 24 * 60), received_us=NOON_US)
    assert overall(assess([late])[0]) == NO_CONTROL
    assess([build_record(RESET, target="https://other.example/")])
    assert len(assess([build_control(WORKS)])) == 1
    old = replace(build_control(WORKS, -3 * 24 * 60 + 1), received_us=NOON_US)
    assert overall(assess([old])[1]) == BLOCKED


def test_memory_is_bounded_in_time_and_size() -> None:
    assess = Assessor(judge).assess
    assess([build_record(RESET, 0)])
    assess([build_record(RESET, 16, nym="x")])
    assert {j[0].pseudonym for j in assess([build_control(WORKS, 8)])} == {"control", "x"}
    small = Assessor(judge, observations=10).assess
    small([build_record(RESET, 0, nym=f"n{i}") for i in range(9)])
    assert [j[0].pseudonym for j in small([build_control(WORKS, 1)])] == ["control", "n7", "n8"]


def test_assessor_is_deterministic() -> None:
    blocks = [
        [build_record(RESET)],
        [build_control(WORKS, 1), build_record(RESET, 2)],
        [build_control(RESET, 3)],
    ]
    one, other = Assessor(judge).assess, Assessor(judge).assess
    assert [one(b) for b in blocks] == [other(b) for b in blocks]


def test_restarted_assessor_knows_its_controls() -> None:
    """A restarted assessor has its controls, and judges before their next round."""
    restarted = Assessor(judge)
    restarted.restore([build_control(WORKS)])
    assert [overall(j) for j in restarted.assess([build_record(RESET, 2)])] == [BLOCKED]


def test_bug_in_a_rule_costs_one_verdict(caplog: pytest.LogCaptureFixture) -> None:
    def judge_with_bug(record: ReceivedMeasurement, control: ControlView, /) -> tuple[Verdict, ...]:
        if record.pseudonym == "DE":
            raise KeyError("no such rule")
        return judge(record, control)

    block = [build_record(WORKS, country=country) for country in ("KZ", "DE", "BR")]
    judged = Assessor(judge_with_bug).assess(block)
    assert [verdicts == (NOT_JUDGED,) for _, verdicts in judged] == [False, True, False]
    assert "could not be judged" in caplog.text


def test_bug_in_the_memory_costs_its_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    context, control = ControlContext(), build_control(WORKS)
    monkeypatch.setattr(
        context, "update", dict[ReceivedMeasurement, bool]().__getitem__
    )  # a KeyError
    context_judge = ContextJudge(judge, context)
    assert context_judge.take_up([control]).informative == ()
    assert context_judge.judge(control)[-1].state is VerdictState.REACHABLE
