"""Controls: which result counts, and what a later one changes."""

from dataclasses import replace
from typing import Any

from heliograph.observation import Link, Measurement
from heliograph.plan import Endpoint, EndpointKind, Service
from heliograph_collector.control import Assessor, ControlCache
from heliograph_collector.judge import judge
from heliograph_collector.model.records import Judged, Role, State, Taken
from support.scenario import MINUTE_US, NOON_US, measurement, taken

WORKS: list[dict[str, Any]] = [
    {"system A": "5.6.7.8"},
    {"connect 5.6.7.8": "ok"},
    {"tls": "ok"},
    {"http": 200},
]
RESET: list[dict[str, Any]] = [
    {"system A": "5.6.7.8"},
    {"connect 5.6.7.8": "ok"},
    {"tls": "connection_reset"},
]


def made(
    steps: Any, minute: float = 0, *, nym: str = "", role: Role = Role.VOLUNTEER, **facts: Any
) -> Taken:
    at_us = NOON_US + int(minute * MINUTE_US)
    seen = replace(measurement(steps, started_us=at_us), **facts)
    return replace(
        taken(seen, role=role, nym=nym or role.value),
        id=f"{nym or role.value}-{minute}-{len(seen.observations)}".ljust(32, "0"),
    )


def control(steps: Any, minute: float = 0, **more: Any) -> Taken:
    return made(steps, minute, role=Role.CONTROL, **more)


def whole(judged: Judged) -> tuple[State, str]:
    (verdict,) = [v for v in judged[1] if v.endpoint == ""]
    return verdict.state, verdict.rule


def view(cache: ControlCache, minute: float = 0) -> tuple[Measurement | None, int | None]:
    seen = cache.view(measurement(WORKS), NOON_US + int(minute * MINUTE_US))
    return seen.measurement, None if seen.age_us is None else seen.age_us // MINUTE_US


def test_the_nearest_result_counts_before_or_after() -> None:
    cache = ControlCache()
    early, late = control(WORKS, 0), control(RESET, 10)
    assert all(map(cache.update, (early, late)))
    assert view(cache, 2) == (early.measurement, 2)
    assert view(cache, 9) == (late.measurement, 1)
    assert view(cache, 60) == (late.measurement, 50)


def test_of_several_controls_the_one_that_got_furthest_counts() -> None:
    """One control may itself be blocked; that another one works shows that it can work."""
    cache = ControlCache()
    good = control(WORKS, 3, nym="good")
    for one in (control(RESET, 0, nym="bad"), good):
        cache.update(one)
    assert view(cache, 0) == (good.measurement, 3)


def test_a_stale_success_is_worth_less_than_a_fresh_failure() -> None:
    cache = ControlCache()
    fresh = control(RESET, 60, nym="bad")
    for one in (control(WORKS, 0, nym="good"), fresh):
        cache.update(one)
    assert view(cache, 60) == (fresh.measurement, 0)


def test_a_control_that_is_cut_off_itself_is_ignored() -> None:
    cache = ControlCache()
    assert not cache.update(control(RESET, link=Link.OFFLINE))
    assert not cache.update(control(RESET, link=Link.UNKNOWN))
    assert not cache.update(control([], not_measured="No such service."))
    assert not cache.update(made(WORKS))
    assert view(cache) == (None, None)


def test_the_cache_forgets_the_oldest_when_it_is_full() -> None:
    cache = ControlCache(observations=20)
    for minute in range(50):
        cache.update(control(WORKS, minute))
    assert view(cache, 0)[1] == 46  # four results of five units each are left
    assert view(cache, 49)[1] == 0


def test_groups_are_those_of_the_list_of_services() -> None:
    endpoint = Endpoint(id="e1-443", kind=EndpointKind.TCP, host="h", port=443, group="chat")
    service = Service(name="whatsapp", title="", experiment="whatsapp", endpoints=(endpoint,))
    asked = measurement(WORKS, experiment="whatsapp")
    assert ControlCache([service]).view(asked, 0).groups == {"e1-443": "chat"}


def test_a_result_in_the_same_block_counts_at_once() -> None:
    judged = Assessor(judge)([made(RESET), control(WORKS)])
    assert [whole(j) for j in judged] == [
        (State.BLOCKED, "tls.reset_after_hello"),
        (State.REACHABLE, "reached.https"),
    ]


def test_what_waited_for_a_control_is_judged_again_when_it_comes() -> None:
    assess = Assessor(judge)
    waiting = made(RESET)
    assert [whole(j) for j in assess([waiting])] == [(State.UNKNOWN, "control.missing")]
    _, again = assess([control(WORKS, 2)])
    assert again[0] is waiting
    assert whole(again) == (State.BLOCKED, "tls.reset_after_hello")
    assert len(assess([control(WORKS, 3)])) == 1  # nothing changed, nothing comes again


def test_a_global_outage_does_not_stand_as_blocking() -> None:
    """The control last saw it work before the outage; its next result corrects the verdict."""
    assess = Assessor(judge)
    assess([control(WORKS, 0)])
    hit = made(RESET, 4)
    assert whole(assess([hit])[0]) == (State.BLOCKED, "tls.reset_after_hello")
    _, again = assess([control(RESET, 5)])
    assert whole(again) == (State.DOWN, "down.tls")


def test_a_result_far_away_in_time_changes_nothing() -> None:
    """An upload after three dark days is not judged by today's control."""
    assess = Assessor(judge)
    late = replace(made(RESET, -3 * 24 * 60), received_us=NOON_US)
    assert whole(assess([late])[0]) == (State.UNKNOWN, "control.missing")
    assert len(assess([control(WORKS)])) == 1
    old = replace(control(WORKS, -3 * 24 * 60 + 1), received_us=NOON_US)
    assert whole(assess([old])[1]) == (State.BLOCKED, "tls.reset_after_hello")


def test_the_memory_is_bounded_in_time_and_in_size() -> None:
    assess = Assessor(judge)
    assess([made(RESET, 0)])
    assess([made(RESET, 16, nym="x")])
    assert {j[0].nym for j in assess([control(WORKS, 8)])} == {"control", "x"}
    small = Assessor(judge, observations=10)
    small([made(RESET, 0, nym=f"n{i}") for i in range(9)])
    assert [j[0].nym for j in small([control(WORKS, 1)])] == ["control", "n7", "n8"]


def test_other_targets_are_left_alone() -> None:
    assess = Assessor(judge)
    assess([made(RESET, target="https://other.example/")])
    assert len(assess([control(WORKS)])) == 1


def test_a_control_that_fails_is_down_and_never_blocked() -> None:
    assert whole(Assessor(judge)([control(RESET)])[0]) == (State.DOWN, "down.tls")


def test_the_same_blocks_give_the_same_verdicts() -> None:
    blocks = [[made(RESET)], [control(WORKS, 1), made(RESET, 2)], [control(RESET, 3)]]
    one, other = Assessor(judge), Assessor(judge)
    assert [one(b) for b in blocks] == [other(b) for b in blocks]
