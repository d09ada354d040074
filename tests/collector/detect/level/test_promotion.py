"""A fall that is found after its end is reported once, also after a burst."""

from dataclasses import replace

import pytest

from heliograph_collector.detect.level.promotion import select_uncovered
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.incidents.incident import Bracket, IncidentState
from heliograph_collector.model.scope import Scope
from support.outages import build_outage
from support.presence_model import at

HOUR = 3_600.0


def build_past(scope: Scope, since_s: float, until_s: float) -> OutageEpisode:
    """Build an outage that was confirmed and is over."""
    return build_outage(
        scope,
        since_s,
        state=IncidentState.CLOSED,
        confirmed_us=at(since_s + 120),
        ended=Bracket(at(until_s), at(until_s + 60)),
        closed_us=at(until_s + 120),
    )


FOUND = build_past(Scope("KZ"), 2 * HOUR, 9 * HOUR)
SAME = build_past(Scope("KZ"), HOUR, 9 * HOUR)


@pytest.mark.parametrize(
    ("told", "is_told_again"),
    [
        (SAME, False),
        (replace(SAME, ended=None, closed_us=None, state=IncidentState.CONFIRMED), False),
        (replace(SAME, state=IncidentState.WITHDRAWN), True),
        (build_past(Scope("KZ", "ALA"), HOUR, 9 * HOUR), True),  # a city of it
        (build_past(Scope("KZ"), 0.0, HOUR), True),  # the night before
        (build_past(Scope("KZ"), 1.9 * HOUR, 2.1 * HOUR), True),  # minutes as the night began
        (build_past(Scope("KZ"), 8 * HOUR, 12 * HOUR), True),  # as its people woke
        (build_past(Scope("KZ"), 4 * HOUR, 9 * HOUR), False),
        (build_past(Scope("UZ"), HOUR, 9 * HOUR), True),
    ],
)
def test_night_that_a_burst_told_of_is_no_second_cut(
    told: OutageEpisode, *, is_told_again: bool
) -> None:
    assert (select_uncovered([FOUND], [told]) == [FOUND]) is is_told_again


def test_fall_that_lasts_is_told_beside_an_outage() -> None:
    """It is another part, or it would have grown to it (`promote_falls`)."""
    lasting = replace(FOUND, ended=None, closed_us=None, state=IncidentState.SUSPECTED)
    assert select_uncovered([lasting], [SAME]) == [lasting]
