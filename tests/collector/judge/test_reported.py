"""What came by voice is shown as a report: an agent's word that something answers, no evidence."""

from dataclasses import replace

from heliograph.failure import Operation
from heliograph.observation import Exchange, Observation
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView, State, Verdict
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


def test_a_report_votes_on_nothing_and_never_says_blocked() -> None:
    verdicts = judged(telegram="answers", signal="fails")
    assert [(v.endpoint, v.state, v.rule) for v in verdicts] == [
        ("telegram", State.REACHABLE, "code.answers"),
        ("signal", State.UNKNOWN, "code.fails"),
    ]
    assert all(v.endpoint for v in verdicts), "only the whole of a target has a vote"


def test_a_report_of_nothing_is_still_a_sign_of_life() -> None:
    assert [(v.endpoint, v.rule) for v in judged()] == [("code", "code.told")]
