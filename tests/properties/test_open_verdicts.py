"""A verdict that waits for no control stays, whatever a later control measures."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.observation import Link, Measurement
from heliograph_collector.control import make_target_key
from heliograph_collector.control.open_verdicts import is_open, list_awaited_topics
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView
from support.examples import limit_examples
from support.scenario import MINUTE_US, Scenario, catalogue, keep_observations

ROWS = catalogue()


def open_rules(row: Scenario, view: ControlView) -> dict[str, str]:
    """Return the open rules by endpoint; the overall verdict follows from them."""
    verdicts = judge(row.taken, view)
    return {v.endpoint: v.rule for v in verdicts if v.endpoint and is_open(v)}


def waits_for_control(row: Scenario) -> bool:
    topics = list_awaited_topics(row.taken, judge(row.taken, row.control))
    return make_target_key(row.taken.measurement) in topics


@cache
def list_settled() -> Sequence[Scenario]:
    """List them in the test: every worker imports this file, and one judges all rows."""
    return [row for row in ROWS if not waits_for_control(row)]


SEEN = [
    row.control.measurement
    for row in ROWS
    if row.control.measurement is not None
    and any(
        x.endpoint.startswith(("dc-", "mtproto-")) for x in row.control.measurement.observations
    )
]


@st.composite
def later_controls(draw: st.DrawFn) -> Measurement:
    seen = draw(st.sampled_from(SEEN))
    kept = keep_observations(
        seen, [i for i in range(len(seen.observations)) if draw(st.integers(0, 9))]
    )
    observations = [
        replace(x, failure=None) if draw(st.booleans()) else x for x in kept.observations
    ]
    return replace(kept, observations=tuple(observations))


def test_only_ipv6_that_a_vantage_lacks_waits_for_no_control() -> None:
    settled = list_settled()
    rules = {rule for row in settled for rule in open_rules(row, row.control).values()}
    assert rules == {"none.ipv6"}
    assert len(settled) >= 2


@pytest.mark.long
@settings(max_examples=limit_examples(500), deadline=None)
@given(st.deferred(lambda: st.sampled_from(list_settled())), later_controls(), st.integers(0, 15))
def test_no_later_control_changes_it(row: Scenario, seen: Measurement, minutes: int) -> None:
    later = replace(row.control, measurement=seen, age_us=minutes * MINUTE_US, link=Link.ONLINE)
    known = open_rules(row, row.control)
    assert known.items() <= open_rules(row, later).items()
