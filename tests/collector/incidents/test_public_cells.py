"""A public cell has k established vantages of a network, or of the others."""

import pytest

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.incidents.public_cells import choose_step_us, coarsen, publishable
from heliograph_collector.model.scope import AffectedCell, PlaceVotes, Scope
from heliograph_collector.model.signals import VantageLocation
from support.incident_book import silence

COUNTRY = Scope("KZ")
NETWORK = Scope("KZ", "ALA", 1, "mobile")


def persons(asn: int, votes: int, region: str = "ALA", hits: int | None = None) -> PlaceVotes:
    place = VantageLocation("KZ", region, asn, "mobile" if asn == 1 else "fixed")
    return PlaceVotes(place, votes, votes if hits is None else hits)


@pytest.mark.parametrize(
    ("people", "told"),
    [
        pytest.param([persons(1, 12), persons(2, 8)], (COUNTRY, 20, 1.0, 2), id="two networks"),
        pytest.param(
            [persons(1, 12), persons(2, 4), persons(3, 1)],
            (COUNTRY, 10, 1.0, 2),
            id="a network and others",
        ),
        pytest.param(
            [persons(2, 3), persons(3, 2)], (COUNTRY, 5, 1.0, 2), id="many small networks"
        ),
        pytest.param([persons(1, 12), persons(2, 1)], (NETWORK, 10, 1.0, 1), id="one vantage more"),
        pytest.param(
            [persons(1, 12), persons(2, 1, "ALA", 0)], (NETWORK, 10, 1.0, 1), id="that disagrees"
        ),
        pytest.param([persons(1, 12)], (NETWORK, 10, 1.0, 1), id="and without it"),
        pytest.param(
            [persons(1, 6), persons(1, 6, "AST"), persons(2, 1)],
            (Scope("KZ", "", 1, "mobile"), 10, 1.0, 1),
            id="in two regions",
        ),
        pytest.param([persons(1, 4)], None, id="too few, whatever young ones add"),
        pytest.param([], None, id="young ones alone"),
    ],
)
def test_a_cell_says_what_groups_of_five_support(
    people: list[PlaceVotes], told: tuple[Scope, float, float, int] | None
) -> None:
    cell = AffectedCell(COUNTRY, 40.0, 1.0, 3, persons=tuple(people))
    incident = silence(parts=(cell,), confidence=0.9)
    public = publishable(incident, None, 5)
    assert (public is None) is (told is None)
    for part in public.parts if public else ():
        assert (part.scope, part.votes, part.share, part.networks) == told
        assert part.persons is None
    exact = publishable(incident, None, 1)
    assert exact == incident, "where nobody asks for anonymity all is told"


def test_few_of_a_part_do_not_hold_back_the_others() -> None:
    """A small part does not hold back the others.

    Otherwise a feed's silence about a dark network would reveal a few vantages elsewhere.
    """
    many = AffectedCell(NETWORK, 12.0, 1.0, 1, persons=(persons(1, 12),))
    few = AffectedCell(Scope("KZ", "AST"), 3.0, 1.0, 1, persons=(persons(2, 3, "AST"),))
    public = publishable(silence(parts=(many, few)), None, 5)
    assert public is not None
    assert public == publishable(silence(parts=(many,)), None, 5)


@pytest.mark.parametrize(
    ("reports", "hints"), [(4, ("recurring",)), (5, ("power_cut", "recurring"))]
)
def test_a_hint_on_the_cause_rests_on_as_many_reports(reports: int, hints: tuple[str, ...]) -> None:
    many = AffectedCell(NETWORK, 12.0, 1.0, 1, persons=(persons(1, 12),))
    incident = silence(parts=(many,), hints=("power_cut", "recurring"), reports=reports)
    public = publishable(incident, None, 5)
    assert public is not None
    assert public.hints == hints


MANY = AffectedCell(NETWORK, 12.0, 1.0, 1, persons=(persons(1, 12),))


@pytest.mark.parametrize("kind", [IncidentKind.COLLECTOR_BLOCKED, IncidentKind.POWER])
@pytest.mark.parametrize(("told", "is_public"), [(4.0, False), (5.0, True), (None, True)])
def test_a_cause_rests_on_as_many_or_corrects_what_is_public(
    kind: IncidentKind, told: float | None, is_public: bool
) -> None:
    incident = silence(kind=kind, parts=(MANY,), told=told)
    assert (publishable(incident, None, 5) is not None) is is_public
    corrected = publishable(incident, silence(parts=(MANY,)), 5)
    assert corrected is not None
    assert corrected.kind is kind, "a cut that was none does not stand"


@pytest.mark.parametrize(("several", "is_one_way"), [(4.0, True), (5.0, False), (None, False)])
def test_few_on_another_way_are_not_told_by_a_hint_or_the_confidence(
    several: float | None, is_one_way: bool
) -> None:
    public = publishable(silence(parts=(MANY,), confidence=0.95, several=several), None, 5)
    assert public is not None
    assert (public.hints, public.confidence) == ((("one_way",), 0.6) if is_one_way else ((), 0.9))


@pytest.mark.parametrize(
    ("votes", "k", "step_us"),
    [
        ([9.0], 5, 5 * MINUTE_US),
        ([4.0, 5.0], 5, 5 * MINUTE_US),
        ([5.0, 5.0], 5, SECOND_US),
        ([1.0], 1, SECOND_US),
    ],
)
def test_seconds_are_public_of_twice_as_many_as_a_cell_needs(
    votes: list[float], k: int, step_us: int
) -> None:
    assert choose_step_us(votes, k) == step_us


def test_no_more_networks_than_votes_are_named() -> None:
    crowded = AffectedCell(Scope("KZ"), 6.0, 1.0, 12)
    (part,) = coarsen(silence(parts=(crowded,)), 5).parts
    assert (part.votes, part.networks) == (5.0, 5)
