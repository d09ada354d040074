"""Phases: each dated step of an incident, and corrections of its cause."""

from dataclasses import replace

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.incidents.diff import IncidentChange, diff_incidents
from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
    KindChange,
    PhaseChange,
    PhaseDirection,
)
from heliograph_collector.incidents.log_writer import BLOCKED_DELAY_US, is_early
from heliograph_collector.incidents.public_cells import coarsen
from heliograph_collector.incidents.record import incident_record, parse_incident
from heliograph_collector.model.scope import AffectedCell, Scope

T0 = 1_640_995_200_000_000 + 44 * MINUTE_US
MOBILE = AffectedCell(Scope("KZ", "", 0, "mobile"), 12.0, 1.0, 3)
FIXED = AffectedCell(Scope("KZ", "", 0, "fixed"), 15.0, 1.0, 3)
NATIONAL = AffectedCell(Scope("KZ"), 27.0, 1.0, 6)
CUT = PhaseDirection.CUT


def at(minute: float) -> Bracket:
    start_us = T0 + round(minute * MINUTE_US)
    return Bracket(start_us, start_us + MINUTE_US)


STEPWISE = Incident(
    id="0" * 16,
    kind=IncidentKind.SILENCE,
    state=IncidentState.CONFIRMED,
    parts=(NATIONAL,),
    started=at(0),
    suspected_us=T0 + MINUTE_US,
    confirmed_us=T0 + 2 * MINUTE_US,
    confidence=0.6,
    turns=(
        PhaseChange(CUT, (MOBILE,), at(0), T0 + 2 * MINUTE_US),
        PhaseChange(CUT, (FIXED,), at(3), T0 + 5 * MINUTE_US),
        PhaseChange(PhaseDirection.OPENING, (FIXED,), at(12), T0 + 14 * MINUTE_US),
    ),
)


def test_each_step_has_its_bracket_and_confirmation() -> None:
    """Mobile 21:44, fixed 21:47, fixed back 21:56: the first of them lasts."""
    mobile, fixed = incident_record(STEPWISE).phases
    assert (mobile.kind, mobile.scope.access, mobile.ended) == ("network_silence", "mobile", None)
    assert (fixed.kind, fixed.scope.access) == ("network_silence", "fixed")
    turns = incident_record(STEPWISE).turns
    assert (mobile.started, fixed.started, fixed.ended) == tuple(turn.when for turn in turns)
    assert [mobile.confirmed_at, fixed.confirmed_at] == [turn.seen for turn in turns[:2]]


def test_part_of_a_wider_cut_that_returns_is_a_recovery() -> None:
    opening = PhaseChange(PhaseDirection.OPENING, (FIXED,), at(12), T0 + 14 * MINUTE_US)
    again = PhaseChange(CUT, (FIXED,), at(30), T0 + 32 * MINUTE_US)
    phases = incident_record(replace(STEPWISE, turns=(opening, again))).phases
    assert [(p.kind, p.scope.access, p.ended is None) for p in phases] == [
        ("network_silence", "", True),
        ("recovery", "fixed", False),
        ("network_silence", "fixed", True),
    ]


def test_cut_that_comes_into_doubt_calls_those_who_were_called_once() -> None:
    doubted = replace(STEPWISE, state=IncidentState.SUSPECTED, confirmed_us=None)
    told = (STEPWISE.id, IncidentChange.CONFIRMED)
    corrected = (STEPWISE.id, IncidentChange.SUSPECTED)
    for sent, alert in (([], False), ([told], True), ([told, corrected], False)):
        _, (revision,) = diff_incidents([STEPWISE], [doubted], sent)
        assert (revision.change, revision.alert) == (IncidentChange.SUSPECTED, alert)


def test_another_explanation_is_a_phase_and_calls_those_who_were_called() -> None:
    changed_us = T0 + 4 * MINUTE_US
    kinds = (KindChange(IncidentKind.SILENCE, T0), KindChange(IncidentKind.POWER, changed_us))
    relabeled = replace(STEPWISE, turns=(), kind=IncidentKind.POWER, kinds=kinds)
    silence, power = incident_record(relabeled).phases
    assert (silence.kind, power.kind) == ("network_silence", "power")
    assert silence.ended is not None
    assert silence.ended.latest == power.confirmed_at
    assert parse_incident(incident_record(relabeled)).kinds == kinds
    before = replace(relabeled, kind=IncidentKind.SILENCE, kinds=())
    for alerted in (True, False):
        sent = [(before.id, IncidentChange.CONFIRMED)] if alerted else []
        _, (revision,) = diff_incidents([before], [relabeled], sent)
        assert (revision.change, revision.alert) == (IncidentChange.RELABELED, alerted)


def test_block_of_the_collector_is_public_by_country_and_hour_and_later() -> None:
    blocked = replace(STEPWISE, kind=IncidentKind.COLLECTOR_BLOCKED, parts=(MOBILE, FIXED))
    public = coarsen(blocked, 5)
    assert [part.scope for part in public.parts] == [Scope("KZ")]
    assert public.turns == ()
    assert public.started.earliest_us % HOUR_US == public.started.latest_us % HOUR_US == 0
    assert coarsen(public, 5) == public
    due_us = blocked.started.latest_us + BLOCKED_DELAY_US
    assert (is_early(blocked, due_us - 1), is_early(blocked, due_us)) == (True, False)
    assert not is_early(STEPWISE, T0)
