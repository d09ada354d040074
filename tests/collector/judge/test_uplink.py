"""What agents tell of their ways to the collector is kept, and votes on nothing."""

from dataclasses import replace

from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView, State
from support.rows import taken


def test_an_uplink_that_fails_is_nobodys_verdict() -> None:
    told = taken(1)
    failing = replace(told.measurement, experiment="uplink", target="stream://a.example:7443")
    verdicts = judge(replace(told, measurement=failing), ControlView())
    assert [(v.state, v.rule) for v in verdicts] == [(State.UNKNOWN, "uplink.told")]
    assert all(v.endpoint for v in verdicts), "only the whole of a target has a vote"
