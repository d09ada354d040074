"""Further evidence of a verdict: other controls and visits beside the best one."""

from dataclasses import replace

import pytest

from heliograph_collector.control import Assessor, ControlCache
from heliograph_collector.judge import judge
from heliograph_collector.model.control_look import MAX_LOOKS
from heliograph_collector.model.records import (
    ControlView,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)
from support.control_records import (
    BLOCKED,
    RESET,
    WORKS,
    Steps,
    build_control,
    build_record,
    overall,
)
from support.scenario import MINUTE_US

EDGE: Steps = [{"system A": "9.8.7.6"}, {"connect 9.8.7.6": "ok"}, {"tls": "connection_reset"}]
AT_EDGE: Steps = [{"connect 9.8.7.6": "ok"}, {"tls": "ok"}, {"http": 200}]
ELSEWHERE: Steps = [{"connect 9.9.9.9": "ok"}, {"tls": "ok"}, {"http": 200}]
DAY_MIN = 24 * 60


def build_visit(
    steps: Steps, minute: float, nym: str = "control", asn: int = 1
) -> ReceivedMeasurement:
    record = build_control(steps, minute, nym=nym, is_visit=True)
    return replace(record, vantage=replace(record.vantage, asn=asn))


def build_elsewhere(steps: Steps, minute: float) -> ReceivedMeasurement:
    """Build the result of a control in another network."""
    record = build_control(steps, minute, nym="other")
    return replace(record, vantage=replace(record.vantage, asn=2))


def view(*controls: ReceivedMeasurement, steps: Steps = EDGE, minute: float = 0) -> ControlView:
    cache = ControlCache()
    for control in controls:
        cache.update(control)
    return cache.view_of(build_record(steps, minute))


def test_visit_is_a_look_and_never_the_control() -> None:
    full = build_control(WORKS, -10)
    visit = build_visit(AT_EDGE, 3)
    seen = view(full, visit)
    assert seen.measurement == full.measurement
    (look,) = seen.looks
    assert (look.measurement, look.is_visit, look.network) == (visit.measurement, True, "AS1")
    assert look.age_us == 3 * MINUTE_US
    assert view(visit).measurement is None
    assert view(visit).looks


@pytest.mark.parametrize(
    ("case", "control"),
    [
        ("at an address that the vantage did not meet", build_visit(ELSEWHERE, 3)),
        ("too long ago", build_visit(AT_EDGE, -16)),
        ("of another target", replace(
            build_visit(AT_EDGE, 3),
            measurement=replace(build_visit(AT_EDGE, 3).measurement, target="https://o.example/"),
        )),
        ("claimed by a volunteer", build_record(AT_EDGE, 3, is_visit=True)),
        ("by a control that is cut off", build_control(AT_EDGE, 3, is_visit=True, link="offline")),
    ],
)  # fmt: skip
def test_no_look_comes_of_what_proves_nothing(case: str, control: ReceivedMeasurement) -> None:
    assert not view(build_control(WORKS), control).looks, case


def test_other_controls_are_looks_newest_first() -> None:
    best = build_control(WORKS, 0, nym="a")
    others = [build_control(RESET, minute, nym=f"n{minute}") for minute in (2, 9, 5)]
    seen = view(best, *others)
    assert [look.age_us // MINUTE_US for look in seen.looks] == [9, 5, 2]
    assert seen.network == "AS1"
    assert not any(look.is_visit for look in seen.looks)


def test_looks_are_few_and_a_further_network_comes_before_a_repetition() -> None:
    repeated = [build_visit(AT_EDGE, 5 + minute / 10) for minute in range(2 * MAX_LOOKS)]
    seen = view(build_control(WORKS), build_visit(AT_EDGE, 1, nym="b", asn=2), *repeated)
    assert len(seen.looks) == MAX_LOOKS
    assert {look.network for look in seen.looks} == {"AS1", "AS2"}


def test_prefixes_of_two_days_are_no_two_networks() -> None:
    """The hash of a prefix changes at midnight, and the control is where it was."""
    late = build_visit(AT_EDGE, 1, asn=0)
    early = replace(late, id="x" * 32, prefix="of yesterday", pseudonym="old")
    early = replace(early, received_us=late.received_us - DAY_MIN * MINUTE_US)
    assert [look.network for look in view(late, early).looks].count("") == 1


def test_visit_that_arrives_later_judges_the_waiting_measurement_again() -> None:
    views: dict[str, list[ControlView]] = {}

    def judge_noting_view(record: ReceivedMeasurement, control: ControlView) -> tuple[Verdict, ...]:
        views.setdefault(record.id, []).append(control)
        return judge(record, control)

    assessor = Assessor(judge_noting_view)
    waiting = build_record(EDGE, 0)
    assessor.assess([build_control(WORKS, -1), waiting])
    assessor.assess([build_visit(AT_EDGE, 3)])
    assert [len(control.looks) for control in views[waiting.id]] == [0, 1]


DEAD = (VerdictState.DOWN, "down.tls")
MIXED = (VerdictState.UNKNOWN, "control.elsewhere")


@pytest.mark.parametrize(
    ("case", "controls", "wanted"),
    [
        ("worked before and after", [build_control(WORKS, -2), build_control(WORKS, 3)], BLOCKED),
        ("worked just before, failed later",
         [build_control(WORKS, -1), build_control(RESET, 3)], MIXED),
        ("worked long before, failed just after",
         [build_control(WORKS, -4), build_control(RESET, 1)], DEAD),
        ("failed before, and came back just after",
         [build_control(RESET, -3), build_control(WORKS, 1)], MIXED),
        ("failed just before, and came back later",
         [build_control(RESET, -1), build_control(WORKS, 4)], DEAD),
        ("failed long before, worked since",
         [build_control(RESET, -9), build_control(WORKS, -5), build_control(WORKS, 4)], BLOCKED),
        ("the other control has not looked since",
         [build_elsewhere(WORKS, -2), build_control(WORKS, -1), build_control(RESET, 3)], MIXED),
        ("the other control works on",
         [build_elsewhere(WORKS, -2), build_elsewhere(WORKS, 2), build_control(WORKS, -1),
          build_control(RESET, 3)], BLOCKED),
        ("the other control looked before an outage of minutes and after it",
         [build_elsewhere(WORKS, -3), build_elsewhere(WORKS, 2), build_control(RESET, 1)], MIXED),
    ],
)  # fmt: skip
def test_outage_that_begins_between_two_looks_is_no_block(
    case: str, controls: list[ReceivedMeasurement], wanted: tuple[VerdictState, str]
) -> None:
    assessor = Assessor(judge)
    judged = assessor.assess([*controls, build_record(RESET, 0)])
    assert overall(judged[-1]) == wanted, case


def test_name_that_two_networks_no_longer_find_is_denied_to_nobody() -> None:
    """A name that two networks no longer resolve is blocked for no vantage.

    The third control, which has not tested since, is the best one: it got the furthest.
    """
    gone: Steps = [{"system A": "dns_nxdomain_error"}]
    since = build_control(gone, 2, nym="third")
    controls = [
        build_elsewhere(WORKS, -3),
        build_control(gone, 1),
        replace(since, vantage=replace(since.vantage, asn=3)),
    ]
    judged = Assessor(judge).assess([*controls, build_record(gone, 0)])
    assert overall(judged[-1])[0] in (VerdictState.DOWN, VerdictState.UNKNOWN)


def test_worldwide_outage_takes_back_the_first_blocks_with_the_next_look() -> None:
    """All of ten minutes' looks are near enough, and most of them are from before it."""
    assess = Assessor(judge).assess
    assess([build_control(WORKS, minute) for minute in range(-10, 0)])
    assert overall(assess([build_record(RESET, 0)])[0]) == BLOCKED  # as if it were here alone
    _, again = assess([build_control(RESET, 2)])
    assert again[1][-1].state is VerdictState.UNKNOWN
