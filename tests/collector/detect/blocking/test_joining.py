"""A block that reaches providers in turn is one incident, despite its suspicions."""

from random import Random

import pytest

from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.joining import find_standing, join_block
from heliograph_collector.incidents.incident import (
    Bracket,
    IncidentKind,
    IncidentState,
    PhaseChange,
    PhaseDirection,
)
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_collector.model.thresholds import THRESHOLDS
from support.presence_model import KZ, at, confirmed, people, service_votes, world

HOUR = 3_600.0
SMALL = {1: 1 * HOUR, 2: 3.2 * HOUR, 3: 5.4 * HOUR}  # providers, and when each obeys
LARGE_AT = 6.5 * HOUR
UNTIL = 7.5 * HOUR


def test_providers_that_are_too_few_each_are_one_block_once_they_suffice() -> None:
    """Providers that are each too few are one block once they suffice.

    Version 123 reported the country three times in one minute, with three onsets.
    """
    home = [v for asn in SMALL for v in people(VantageLocation("KZ", "ALA", asn, "fixed"), 4)]
    home += people(VantageLocation("KZ", "ALA", 4, "fixed"), 14)

    def is_failing(vantage: VantageRef, now_s: float) -> bool:
        return KZ(vantage) and now_s >= SMALL.get(vantage.place.asn, LARGE_AT)

    votes = service_votes(home + world(each=1), Random(2), UNTIL, is_failing)
    told = confirmed(detect_blocking(votes, at(0), at(UNTIL)))
    assert [incident.scope for incident in told] == [Scope("KZ")]
    assert at(HOUR - 120) <= told[0].started.latest_us <= at(HOUR + 300)


CITY = AffectedCell(Scope("KZ", "ALA"), 10, 0.9, 3)
COUNTRY = AffectedCell(Scope("KZ"), 20, 0.9, 6)


def _build_block(
    part: AffectedCell,
    since_s: float,
    state: IncidentState = IncidentState.CONFIRMED,
    kind: IncidentKind = IncidentKind.BLOCKING,
) -> BlockingEpisode:
    is_told = state is IncidentState.CONFIRMED
    return BlockingEpisode(
        id=part.scope.region, service="signal", parts=(part,),
        started=Bracket(at(since_s), at(since_s + 60)), suspected_us=at(since_s + 60),
        limits=THRESHOLDS, kind=kind, layer="tls", method="timeout", confidence=0.5, state=state,
        confirmed_us=at(since_s + 120) if is_told else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now_s", "kind", "is_joined"),
    [
        (HOUR, IncidentKind.BLOCKING, True),
        (7 * HOUR, IncidentKind.BLOCKING, False),  # growth sends no alert
        (HOUR, IncidentKind.PARTIAL, False),
    ],
    ids=["it grows", "long after", "beside a partial"],
)
def test_a_country_belongs_to_the_block_of_a_city_for_some_hours(
    now_s: float, kind: IncidentKind, *, is_joined: bool
) -> None:
    city = _build_block(CITY, 0, kind=kind)
    own = _build_block(COUNTRY, now_s, IncidentState.SUSPECTED)
    standing = find_standing([city, own], own, own.parts, at(now_s))
    assert (standing is city) == is_joined


def test_a_part_in_which_a_block_was_lifted_is_blocked_again_by_a_wider_suspicion() -> None:
    block = _build_block(COUNTRY, 0)
    lifted = Bracket(at(HOUR), at(HOUR + 60))
    block.turns = [
        PhaseChange(PhaseDirection.CUT, (COUNTRY,), block.started, at(120)),
        PhaseChange(PhaseDirection.OPENING, (CITY,), lifted, at(HOUR + 120)),
    ]
    place = VantageLocation("KZ", "ALA", 1, "fixed")
    assert not block.holds(place)
    join_block(
        block, _build_block(COUNTRY, 2 * HOUR, IncidentState.SUSPECTED), (COUNTRY,), at(3 * HOUR)
    )
    assert block.holds(place)
