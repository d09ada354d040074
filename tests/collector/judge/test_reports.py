"""Reports, an agent's uplink and light checks give no verdict of a whole service."""

from dataclasses import replace

from heliograph.failure import Operation
from heliograph.observation import Exchange, Observation
from heliograph_collector.detect.signal_reader import read_votes
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView, Verdict, VerdictState
from support.rows import taken
from support.scenario import catalogue


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
    """A report has no vote and is never blocked.

    Only the verdict without an endpoint has a vote; an empty report is a sign of life.
    """
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


def test_light_check_votes_by_the_endpoint_that_it_drew_and_judges_no_service() -> None:
    """A light check votes by its drawn endpoint, and judges no service.

    One data centre of three is blocked: Telegram works at the vantage, as the whole test shows.
    """
    scenario = next(s for s in catalogue() if s.name.startswith("Brazil, 2023. One data centre"))
    for endpoint, state in (("dc-1", VerdictState.BLOCKED), ("dc-2", VerdictState.REACHABLE)):
        whole = scenario.taken.measurement
        first = next(i for i, x in enumerate(whole.observations) if x.endpoint == endpoint)
        steps = tuple(
            replace(x, parent=None if x.parent is None else x.parent - first)
            for x in whole.observations
            if x.endpoint == endpoint
        )
        light = replace(whole, service="telegram", observations=steps, is_light=True)
        record = replace(taken(1), measurement=light, received_us=scenario.taken.received_us)
        verdicts = judge(record, scenario.control)
        assert [(v.endpoint, v.state) for v in verdicts] == [(endpoint, state), ("light", state)]
        (vote,) = read_votes([(record, verdicts)])
        assert (vote.standing.value, vote.source) == (state.value, "telegram light")
        assert vote.is_light
