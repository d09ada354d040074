"""Cuts are found in time, named as what they are, and over when they are over."""

from collections.abc import Callable
from random import Random

import pytest

from heliograph_collector.detect import Findings, Incident, watch
from heliograph_collector.incidents.cause_hints import recurring
from heliograph_collector.incidents.incident import Kind, State, carry
from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import (
    SECOND_US,
    Fault,
    Goodbye,
    Lost,
    Place,
    Replay,
    Why,
    Witness,
)
from support.dark_world import KZ, Cut, Signals, at, country, live, people, world

ONSET, END = 7_200.0, 10_800.0
TWO = ("ALA", "AST")
Where = Callable[[Witness], bool]

CUTS: dict[str, tuple[Where, Scope, str, float]] = {
    "country": (KZ, Scope("KZ"), "national", 60),
    "mobile": (
        lambda w: KZ(w) and w.place.access == "mobile",
        Scope("KZ", access="mobile"),
        "mobile-only",
        180,
    ),
    "operator": (lambda w: KZ(w) and w.place.asn == 201, Scope("KZ", asn=201), "one-operator", 120),
    "city": (lambda w: KZ(w) and w.place.region == "ALA", Scope("KZ", "ALA"), "one-city", 120),
}


def seconds(at_us: int | None) -> float:
    assert at_us is not None
    return (at_us - at(0)) / SECOND_US


def replay(seed: int, *cuts: Cut, each: int = 2, churn: float = 4.0, hours: float = 4) -> Findings:
    rng = Random(seed)
    signals = live(country(each=each) + world(), rng, hours, churn=churn, cuts=cuts)
    return watch(signals, at(hours * 3_600))


def confirmed(findings: Findings) -> list[Incident]:
    return [i for i in findings.incidents if i.confirmed_us is not None]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", CUTS)
def test_a_cut_is_found_named_and_over(name: str, seed: int) -> None:
    where, scope, label, within_s = CUTS[name]
    churn = (1.0, 4.0, 12.0)[seed % 3]
    findings = replay(seed, Cut(ONSET, END, where, 2.0), each=4, churn=churn)
    (incident,) = confirmed(findings)
    assert incident.kind is Kind.SILENCE
    assert (incident.scope, incident.label) == (scope, label)
    assert 0 < seconds(incident.suspected_us) - ONSET <= 60
    assert seconds(incident.confirmed_us) - ONSET <= max(within_s, 75)
    assert incident.started.earliest_us <= at(ONSET + 2)
    assert incident.started.latest_us >= at(ONSET)
    assert incident.started.latest_us - incident.started.earliest_us <= 35 * SECOND_US
    assert incident.state is State.CLOSED
    assert incident.ended is not None
    assert incident.ended.earliest_us <= at(END) <= incident.ended.latest_us
    assert seconds(incident.closed_us) - END <= 180
    assert "on_the_hour" in incident.hints


@pytest.mark.parametrize("seed", range(4))
def test_two_dozen_vantages_say_it_within_a_minute(seed: int) -> None:
    rng = Random(seed)
    signals = live(country(regions=TWO) + world(), rng, 3, cuts=[Cut(ONSET, END, KZ, 2.0)])
    (incident,) = confirmed(watch(signals, at(ONSET + 60)))  # nothing later is known yet
    assert incident.state is State.CONFIRMED
    assert incident.label == "national"


def test_a_cut_that_rolls_out_over_three_quarters_of_an_hour_is_one_incident() -> None:
    def of(asn: int) -> Where:
        return lambda w: KZ(w) and w.place.asn == asn

    cuts = [
        Cut(ONSET + 500 * i, END, of(asn), 5.0)
        for i, asn in enumerate((101, 201, 102, 202, 103, 203))
    ]
    (incident,) = confirmed(replay(3, *cuts, each=4))
    assert incident.scope == Scope("KZ")
    assert incident.started.latest_us <= at(ONSET + 30)
    assert incident.state is State.CLOSED


@pytest.mark.parametrize("seed", range(2))
def test_a_cut_that_trickles_in_over_half_an_hour_is_found(seed: int) -> None:
    (incident,) = confirmed(replay(seed, Cut(ONSET, END, KZ, 1_800.0)))
    assert incident.label == "national"
    assert seconds(incident.confirmed_us) - ONSET <= 1_500


def test_a_short_opening_is_no_new_incident() -> None:
    cuts = (Cut(ONSET, END, KZ, 2.0), Cut(END + 1_200, END + 3_000, KZ, 2.0))
    (incident,) = confirmed(replay(5, *cuts, each=3, hours=5))
    (opening,) = incident.openings
    assert opening.when.earliest_us <= at(END) <= opening.when.latest_us
    (again,) = incident.cuts
    assert again.when.earliest_us <= at(END + 1_202)
    assert again.when.latest_us >= at(END + 1_200)
    assert incident.state is State.CLOSED


def test_the_next_day_is_another_incident_and_comes_again() -> None:
    cuts = (Cut(ONSET, END, KZ, 2.0), Cut(ONSET + 86_400, END + 86_400, KZ, 2.0))
    first, second = confirmed(replay(6, *cuts, hours=30))
    assert first.id != second.id
    assert recurring(second, [first]) == ("recurring",)
    assert recurring(first, [second]) == ()


def test_the_same_signals_in_any_order_say_the_same() -> None:
    rng = Random(8)
    signals = live(country() + world(), rng, 4, cuts=[Cut(ONSET, END, KZ, 2.0)])
    once = watch(signals, at(4 * 3_600))
    rng.shuffle(signals)
    assert watch(signals, at(4 * 3_600)) == once


def test_late_word_from_the_dark_names_the_cause_and_keeps_the_name() -> None:
    where = CUTS["country"][0]
    signals: Signals = live(country() + world(), Random(9), 4, cuts=[Cut(ONSET, END, where, 2.0)])
    before = watch(signals, at(4 * 3_600)).incidents
    for alive, hint in ((True, "network_cut"), (False, "power_cut")):
        late = [Replay(at(END + 300), w.nym, at(ONSET), at(END), alive) for w in country()[:8]]
        after = carry(before, watch([*signals, *late], at(4 * 3_600)).incidents)
        assert [i.id for i in after] == [i.id for i in before]
        assert hint in after[0].hints
        assert after[0].state is State.CLOSED


def test_a_cell_of_few_is_suspected_and_never_confirmed() -> None:
    four = people(Place("KZ", "ALA", 201, "fixed"), 4)
    rest = people(Place("KZ", "AST", 101, "mobile"), 12)
    cut = Cut(ONSET, END, lambda w: KZ(w) and w.place.asn == 201, 2.0)
    signals = live(four + rest + world(), Random(2), 4, churn=1.0, cuts=[cut])
    (incident,) = watch(signals, at(4 * 3_600)).incidents
    assert incident.confirmed_us is None
    assert incident.held == ("few_votes",)
    assert incident.confidence <= 0.5
    assert incident.state is State.WITHDRAWN  # nobody was alarmed, nobody is told of its end


def test_nobody_else_to_bear_witness_makes_it_less_sure() -> None:
    signals = live(country(each=4), Random(4), 4, cuts=[Cut(ONSET, END, KZ, 2.0)])
    (incident,) = confirmed(watch(signals, at(4 * 3_600)))
    assert incident.confidence == 0.7


def test_goodbyes_never_count() -> None:
    signals = live(country(each=4) + world(), Random(4), 4, churn=0)
    for i, witness in enumerate(country(each=4)):
        signals.append(Goodbye(at(ONSET + i * 0.1), witness.nym))
        signals.append(Lost(at(ONSET + 40), witness.nym, at(ONSET)))  # its session's end
    assert watch(signals, at(4 * 3_600)).incidents == ()


def test_a_first_start_awaits_nobody() -> None:
    """A collector that never ran can have lost nobody: it is not blind for three minutes."""
    onset = 120.0
    signals = live(
        country(each=4) + world(), Random(5), 1, churn=0, cuts=[Cut(onset, 1_800, KZ, 2.0)]
    )
    start = at(0) - 1
    findings = watch([*signals, Fault(start, start, Why.RESTART)], at(1_500))
    (incident,) = confirmed(findings)
    assert seconds(incident.confirmed_us) - onset <= 60
    assert findings.blind == ()
