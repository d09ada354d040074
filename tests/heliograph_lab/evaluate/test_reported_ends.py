"""A cell is back once openings hold half of its vantages, under any names."""

from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
    PhaseChange,
    PhaseDirection,
)
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import VantageLocation
from heliograph_lab.evaluate.reported_ends import list_ends

SIZES = {VantageLocation("KZ", "ALA", asn, "fixed"): 10 for asn in (1, 2, 3, 4)}
OPENING = PhaseDirection.OPENING
CUT = PhaseDirection.CUT
CLOSED_US = 900


def phase(way: PhaseDirection, at_us: int, asn: int, share: float = 1.0) -> PhaseChange:
    cell = AffectedCell(Scope("KZ", asn=asn, access="fixed"), 10.0, share, 1)
    return PhaseChange(way, (cell,), Bracket(at_us - 60, at_us), at_us)


def ends(scope: Scope, *phases: PhaseChange) -> list[int]:
    incident = Incident(
        id="a",
        kind=IncidentKind.SILENCE,
        state=IncidentState.CLOSED,
        parts=(AffectedCell(Scope("KZ"), 40.0, 1.0, 4),),
        started=Bracket(0, 1),
        suspected_us=2,
        confidence=0.6,
        closed_us=CLOSED_US,
        ended=Bracket(800, 850),
        turns=phases,
    )
    return [at_us for at_us, _ in list_ends(incident, scope, SIZES)]


def test_a_country_is_back_with_the_operators_that_hold_half_of_it() -> None:
    phases = phase(OPENING, 100, 1), phase(OPENING, 200, 2), phase(OPENING, 300, 3)
    assert ends(Scope("KZ"), *phases) == [200, 300, CLOSED_US]


def test_the_share_that_is_back_counts_and_a_cut_takes_it_away() -> None:
    few = phase(OPENING, 100, 1, 0.4), phase(OPENING, 200, 2, 0.4), phase(OPENING, 300, 3)
    assert ends(Scope("KZ"), *few) == [CLOSED_US]
    again = phase(OPENING, 100, 1), phase(CUT, 150, 1), phase(OPENING, 200, 2)
    assert ends(Scope("KZ"), *again) == [CLOSED_US]


def test_an_operator_is_back_by_a_narrower_name_that_holds_all_of_it() -> None:
    assert ends(Scope("KZ", asn=1), phase(OPENING, 100, 1)) == [100, CLOSED_US]
    assert ends(Scope("KZ", asn=2), phase(OPENING, 100, 1)) == [CLOSED_US]


def test_a_cell_is_back_with_an_opening_that_names_it() -> None:
    cell = AffectedCell(Scope("KZ"), 40.0, 0.3, 4)
    opening = PhaseChange(OPENING, (cell,), Bracket(40, 100), 100)
    assert ends(Scope("KZ", asn=1), opening) == [100, CLOSED_US]
