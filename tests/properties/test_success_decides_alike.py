"""The short path for successes gives the verdict of all features.

It is taken where every connection passed, and where IPv6 alone was tried, in vain. Tested over the
catalogue's rows as they are, and with failures cured, steps lost and controls in doubt.
"""

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.observation import Link, Measurement
from heliograph_collector import judge as judging
from heliograph_collector.judge.features import ComparisonInput, Features
from heliograph_collector.judge.quick_features import extract_success, extract_vain_ipv6
from heliograph_collector.judge.rules import decide
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.records import ControlView, ReceivedMeasurement, Verdict
from support.examples import limit_examples
from support.scenario import MINUTE_US, catalogue, keep_observations

Extract = Callable[[ComparisonInput], Features | None]
ROWS = catalogue()
AGES_US = (0, 10 * MINUTE_US, 20 * MINUTE_US)  # fresh, older, stale
PROFILES = (
    VantageProfile(portal=True),
    VantageProfile(fake_addresses=True),
    VantageProfile(sealed_disagrees=True),
    VantageProfile(dropped_browsers=frozenset({"www.target.example"})),
    VantageProfile(doubted_browsers=frozenset({"www.target.example"})),
)


def judge_with_all_features(record: ReceivedMeasurement, view: ControlView) -> tuple[Verdict, ...]:
    with (
        patch.object(judging, "extract_success", return_value=None),
        patch.object(judging, "extract_vain_ipv6", return_value=None),
    ):
        return judging.judge(record, view)


def test_the_rows_of_the_catalogue_have_the_same_verdicts() -> None:
    for row in ROWS:
        case = row.taken, row.control
        assert judging.judge(*case) == judge_with_all_features(*case), row.name


@st.composite
def changed(draw: st.DrawFn, of: Measurement) -> Measurement:
    kept = [i for i in range(len(of.observations)) if draw(st.integers(0, 9))]
    seen = keep_observations(of, kept)
    is_cured = draw(st.sampled_from((True, True, False)))
    observations = tuple(
        replace(x, failure=None) if is_cured or draw(st.booleans()) else x
        for x in seen.observations
    )
    return replace(seen, observations=observations)


@st.composite
def changed_rows(draw: st.DrawFn) -> tuple[ReceivedMeasurement, ControlView]:
    row = draw(st.sampled_from(ROWS))
    link = draw(st.sampled_from((Link.ONLINE, Link.ONLINE, *Link)))
    seen = replace(draw(changed(row.taken.measurement)), link=link)
    view = row.control
    if view.measurement is not None:
        view = replace(
            view,
            measurement=draw(st.none() | changed(view.measurement)),
            age_us=draw(st.sampled_from(AGES_US)),
            link=draw(st.sampled_from((Link.ONLINE, Link.ONLINE, Link.UNKNOWN))),
            profile=draw(st.just(view.profile) | st.sampled_from(PROFILES)),
        )
    return replace(row.taken, measurement=seen), view


@pytest.mark.long
@settings(max_examples=limit_examples(2_000), deadline=None)
@given(changed_rows())
def test_a_changed_row_has_the_same_verdicts(
    case: tuple[ReceivedMeasurement, ControlView],
) -> None:
    assert judging.judge(*case) == judge_with_all_features(*case)


def test_they_decide_by_each_of_their_rules() -> None:
    """All rules of the short path are drawn, or the tests above would prove nothing."""
    decided: set[str] = set()

    def note(extract: Extract) -> Extract:
        def extract_and_note(comparison: ComparisonInput) -> Features | None:
            features = extract(comparison)
            if features is not None:
                decided.add(decide(features).id)
            return features

        return extract_and_note

    with (
        patch.object(judging, "extract_success", note(extract_success)),
        patch.object(judging, "extract_vain_ipv6", note(extract_vain_ipv6)),
    ):
        for row in ROWS:
            judging.judge(row.taken, row.control)
    ways = ("https", "tls", "protocol", "tcp", "dns", "http")
    assert {"none.ipv6", *(f"reached.{way}" for way in ways)} <= decided
