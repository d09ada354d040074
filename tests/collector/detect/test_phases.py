"""Phases of a growing cut: a later step is a phase, falls in one step join it."""

from heliograph.units import MINUTE_US
from heliograph_collector.detect.phases import add_cut, lead_with_onset
from heliograph_collector.incidents.incident import Bracket, PhaseChange, PhaseDirection
from heliograph_collector.model.scope import AffectedCell, Scope


def change(minute: int, asn: int, way: PhaseDirection = PhaseDirection.CUT) -> PhaseChange:
    at_us = minute * MINUTE_US
    cell = AffectedCell(Scope("KZ", asn=asn), 10.0, 1.0, 1)
    return PhaseChange(way, (cell,), Bracket(at_us, at_us), at_us)


ONSET, LATER, SAME_STEP = change(0, 1), change(30, 2), change(31, 3)
OPENING = change(60, 1, PhaseDirection.OPENING)


def test_what_falls_in_the_step_of_the_onset_makes_no_phase() -> None:
    assert add_cut([], ONSET, change(1, 2)) == []


def test_a_later_step_is_a_phase_after_the_onset() -> None:
    assert add_cut([], ONSET, LATER) == [ONSET, LATER]


def test_what_falls_in_a_later_step_joins_its_phase() -> None:
    first, second = add_cut([ONSET, LATER], ONSET, SAME_STEP)
    assert first == ONSET
    assert second.parts == (*LATER.parts, *SAME_STEP.parts)
    assert second.when == LATER.when


def test_after_an_opening_a_cut_is_a_phase_whenever_it_comes() -> None:
    assert add_cut([OPENING], ONSET, change(61, 2)) == [ONSET, OPENING, change(61, 2)]


def test_an_onset_leads_once() -> None:
    assert lead_with_onset([OPENING], ONSET) == [ONSET, OPENING]
    assert lead_with_onset([ONSET, OPENING], ONSET) == [ONSET, OPENING]
