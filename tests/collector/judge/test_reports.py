"""Reports by voice and of an agent's uplink are shown, and have no vote."""

from dataclasses import replace

from heliograph.failure import Operation
from heliograph.observation import Exchange, Observation
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView, Verdict, VerdictState
from support.rows import taken


def judged(**replies: str) -> list[Verdict]:
    steps = tuple(
        Observation(
            operation=Operation.EXCHANGE,
            started_us=0,
            duration_us=0,
            endpoint=name,
            exchange=Exchange(protocol="code", reply=reply),
        )
        for name, reply in replies.items()
    )
    said = replace(taken(1).measurement, experiment="code", service="", observations=steps)
    return list(judge(replace(taken(1), measurement=said), ControlView()))


def test_report_has_no_vote_and_never_says_blocked() -> None:
    """Only the verdict without an endpoint has a vote; an empty report is a sign of life."""
    verdicts = judged(telegram="answers", signal="fails")
    assert [(v.endpoint, v.state, v.rule) for v in verdicts] == [
        ("telegram", VerdictState.REACHABLE, "code.answers"),
        ("signal", VerdictState.UNKNOWN, "code.fails"),
    ]
    assert [(v.endpoint, v.rule) for v in judged()] == [("code", "code.told")]


def test_uplink_result_has_no_vote() -> None:
    record = taken(1)
    failing = replace(record.measurement, experiment="uplink", target="stream://a.example:7443")
    verdicts = judge(replace(record, measurement=failing), ControlView())
    assert [(v.endpoint, v.state, v.rule) for v in verdicts] == [
        ("uplink", VerdictState.UNKNOWN, "uplink.told")
    ]
