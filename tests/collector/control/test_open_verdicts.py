"""A later control renews all verdicts that it may change, except missing IPv6."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from heliograph_collector.control import Assessor
from heliograph_collector.control.assessor import REJUDGED_PER_BLOCK
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView, ReceivedMeasurement, Verdict
from support.control_records import RESET, Steps, build_control, build_record
from support.control_records import WORKS as PAGE

TELEGRAM: dict[str, Any] = {"experiment": "telegram", "service": "telegram"}
VAIN: Steps = [{"connect 2a00:1::8": "generic_timeout_error"}]
IPV4: Steps = [{"connect 5.6.7.8": "ok"}]
IPV6: Steps = [{"connect 2a00:2::8": "ok"}]
WORKS: Steps = [{"connect 2a00:1::8": "ok"}]


def rule_of(label: str, verdicts: tuple[Verdict, ...]) -> str:
    return next(v.rule for v in verdicts if v.endpoint == label)


def judge_first(
    here: Mapping[str, Any], control: Mapping[str, Any]
) -> tuple[Assessor, tuple[Verdict, ...]]:
    assessor = Assessor(judge)
    assessor.assess([build_control(control, 0, **TELEGRAM)])
    ((_, verdicts),) = assessor.assess([build_record(here, 1, **TELEGRAM)])
    return assessor, verdicts


def list_due(assessor: Assessor, block: list[ReceivedMeasurement]) -> list[str]:
    selection = assessor.select(block, assessor.take_up(block))
    return [record.pseudonym for record, _ in selection.due]


def test_addresses_of_ipv6_that_is_missing_here_wait_for_no_control() -> None:
    assessor, verdicts = judge_first({"dc-1": VAIN, "dc-2": IPV4}, {"dc-1": WORKS, "dc-2": IPV4})
    assert rule_of("dc-1", verdicts) == "none.ipv6"
    later = build_control({"dc-1": WORKS, "dc-2": IPV4}, 2, **TELEGRAM)
    assert list_due(assessor, [later]) == []


def test_where_ipv6_works_a_later_control_tells_that_an_address_is_blocked() -> None:
    assessor, verdicts = judge_first({"dc-1": VAIN, "dc-2": IPV6}, {"dc-2": IPV6})
    assert rule_of("dc-1", verdicts) == "none.ipv6"
    later = build_control({"dc-1": WORKS, "dc-2": IPV6}, 2, **TELEGRAM)
    _, (_, again) = assessor.assess([later])
    assert rule_of("dc-1", again) == "tcp.timeout"


def test_another_endpoint_in_doubt_keeps_the_whole_measurement_waiting() -> None:
    here = {"dc-1": VAIN, "dc-2": [{"connect 5.6.7.8": "generic_timeout_error"}]}
    assessor, verdicts = judge_first(here, {"dc-1": WORKS, "dc-2": IPV4})
    assert rule_of("dc-1", verdicts) == "none.ipv6"
    later = build_control({"dc-1": WORKS, "dc-2": IPV4}, 2, **TELEGRAM)
    assert list_due(assessor, [later]) == ["KZ"]


def test_a_full_block_judges_again_few_that_were_judged_again_a_moment_ago() -> None:
    judged: list[str] = []

    def note(record: ReceivedMeasurement, control: ControlView, /) -> tuple[Verdict, ...]:
        judged.append(record.pseudonym)
        return judge(record, control)

    assessor = Assessor(note)
    assessor.assess([build_record(RESET, 0, nym=f"open-{n}") for n in range(80)])

    def count_again(second: int) -> int:
        """Count new verdicts in a block of 500 results and a control that finds it down."""
        elsewhere = build_record(PAGE, second / 60, target="https://other.example/")
        others = [replace(elsewhere, id=f"{second}-{n}") for n in range(500)]
        judged.clear()
        assessor.assess([*others, build_control(RESET, second / 60)])
        return sum(name.startswith("open-") for name in judged)

    assert [count_again(second) for second in (1, 2)] == [80, 80]  # new verdicts, then the same
    assert [count_again(second) for second in (3, 4)] == [REJUDGED_PER_BLOCK] * 2
    count_again(40)  # the time of a block counts from the next one on
    assert count_again(41) == 80
