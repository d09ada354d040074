"""Cuts are found in time, named as what they are, and over when they are over."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import (
    Incident,
    IncidentKind,
    IncidentState,
    carry_ids,
    hint_recurring,
)
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    Fault,
    FaultReason,
    Goodbye,
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.examples import draw_seeds
from support.presence_model import (
    KZ,
    Cut,
    Signals,
    at,
    confirmed,
    country,
    drop,
    live,
    people,
    world,
)

ONSET, END = 7_200.0, 10_800.0
TWO = ("ALA", "AST")
Where = Callable[[VantageRef], bool]


def of(**place: object) -> Where:
    """Those of Kazakhstan whose place is so."""
    return lambda w: KZ(w) and all(getattr(w.place, key) == at for key, at in place.items())


CUTS: dict[str, tuple[Where, Scope, str, float]] = {
    "country": (KZ, Scope("KZ"), "national", 60),
    "mobile": (of(access="mobile"), Scope("KZ", access="mobile"), "mobile-only", 180),
    "operator": (of(asn=201), Scope("KZ", asn=201), "one-operator", 120),
    "city": (of(region="ALA"), Scope("KZ", "ALA"), "one-city", 120),
}


def seconds(at_us: int | None) -> float:
    assert at_us is not None
    return (at_us - at(0)) / SECOND_US


def detect(signals: Signals, hours: float = 4) -> list[Incident]:
    return confirmed(detect_silence(signals, at(hours * 3_600)).incidents)


def replay(
    seed: int, *cuts: Cut, each: int = 2, churn: float = 4.0, hours: float = 4
) -> list[Incident]:
    signals = live(country(each=each) + world(), Random(seed), hours, churn=churn, cuts=cuts)
    return detect(signals, hours)


@pytest.mark.parametrize("seed", draw_seeds(4))
@pytest.mark.parametrize("name", CUTS)
def test_cut_is_confirmed_named_and_closed(name: str, seed: int) -> None:
    where, scope, label, within_s = CUTS[name]
    churn = (1.0, 4.0, 12.0)[seed % 3]
    (incident,) = replay(seed, Cut(ONSET, END, where, 2.0), each=4, churn=churn)
    assert incident.kind is IncidentKind.SILENCE
    assert (incident.scope, incident.label) == (scope, label)
    assert 0 < seconds(incident.suspected_us) - ONSET <= 60
    assert seconds(incident.confirmed_us) - ONSET <= max(within_s, 75)
    assert incident.started.earliest_us <= at(ONSET + 2)
    assert incident.started.latest_us >= at(ONSET)
    assert incident.started.latest_us - incident.started.earliest_us <= 35 * SECOND_US
    assert incident.state is IncidentState.CLOSED
    assert incident.ended is not None
    assert incident.ended.earliest_us <= at(END) <= incident.ended.latest_us
    assert seconds(incident.closed_us) - END <= 180
    assert "on_the_hour" in incident.hints


@pytest.mark.parametrize("seed", draw_seeds(4))
def test_cut_of_two_dozen_vantages_is_confirmed_within_a_minute(seed: int) -> None:
    rng = Random(seed)
    signals = live(country(regions=TWO) + world(), rng, 3, cuts=[Cut(ONSET, END, KZ, 2.0)])
    (incident,) = detect(signals, (ONSET + 60) / 3_600)  # nothing later is known yet
    assert incident.state is IncidentState.CONFIRMED
    assert incident.label == "national"


STALLS = {
    "just before the cut": [(ONSET - 25, ONSET - 5)],
    "during its first silence": [(ONSET + 5, ONSET + 20)],
    "again and again": [(ONSET + s, ONSET + s + 11) for s in range(-3_600, 600, 20)],
    "longer than sessions last": [(ONSET - 70, ONSET - 16)],
}


@pytest.mark.parametrize("spans", STALLS.values(), ids=STALLS)
def test_stall_blinds_for_its_length_and_no_more(spans: list[tuple[float, float]]) -> None:
    """A stall blinds for its length and no more.

    Losses are of a full silence, as the collector counts it without its stalls.
    """
    signals: Signals = live(country(each=4) + world(), Random(2), 4, cuts=[Cut(ONSET, END, KZ)])
    signals += [Fault(at(since), at(until), FaultReason.STALLED) for since, until in spans]
    findings = detect_silence(signals, at(4 * 3_600))
    (incident,) = confirmed(findings.incidents)
    assert seconds(incident.confirmed_us) - ONSET <= 75
    blind = [(b.since_us, b.until_us) for b in findings.coverage_gaps if b.why == "stalled"]
    assert blind == [(at(since), at(until)) for since, until in spans]


def test_cut_that_rolls_out_is_one_incident() -> None:
    networks = enumerate((101, 201, 102, 202, 103, 203))
    cuts = [Cut(ONSET + 500 * i, END, of(asn=asn), 5.0) for i, asn in networks]
    (incident,) = replay(3, *cuts, each=4)
    assert incident.scope == Scope("KZ")
    assert incident.started.latest_us <= at(ONSET + 30)
    assert incident.state is IncidentState.CLOSED


@pytest.mark.parametrize("seed", draw_seeds(2))
def test_cut_that_trickles_in_is_confirmed(seed: int) -> None:
    (incident,) = replay(seed, Cut(ONSET, END, KZ, 1_800.0))
    assert incident.label == "national"
    assert seconds(incident.confirmed_us) - ONSET <= 1_500


def test_short_opening_is_no_new_incident() -> None:
    cuts = (Cut(ONSET, END, KZ, 2.0), Cut(END + 1_200, END + 3_000, KZ, 2.0))
    (incident,) = replay(5, *cuts, each=3, hours=5)
    (opening,) = incident.openings
    assert opening.when.earliest_us <= at(END) <= opening.when.latest_us
    (again,) = incident.cuts
    assert again.when.earliest_us <= at(END + 1_202)
    assert again.when.latest_us >= at(END + 1_200)
    assert incident.state is IncidentState.CLOSED


@pytest.mark.parametrize("name", ["region", "asn", "access"])
def test_openings_place_by_place_withdraw_no_cut(name: str) -> None:
    """In the first hour of a cut, each place is let in for some minutes and cut again."""
    vantages = country(each=4) + world()
    places = sorted({str(getattr(w.place, name)) for w in vantages if KZ(w)})

    def find_opening(vantage: VantageRef) -> float:
        return ONSET + 600 + 400 * places.index(str(getattr(vantage.place, name)))

    cuts = [Cut(ONSET, END, KZ)]
    signals = live(vantages, Random(3), 4, churn=1.0, cuts=cuts)
    for vantage in filter(KZ, vantages):
        heard_s = find_opening(vantage) + 300
        signals.append(VantageArrival(at(heard_s - 300), vantage))
        signals.append(VantageLoss(at(heard_s + 30), vantage.nym, at(heard_s)))
    (incident,) = detect(signals)
    assert incident.state is IncidentState.CLOSED
    assert incident.started.earliest_us <= at(ONSET) <= incident.started.latest_us


def test_cut_of_a_throttled_country_is_found_in_the_first_hours_of_a_collector() -> None:
    """The cut of a throttled country is found in a collector's first hours.

    Sessions flapped for an hour; after that no vantage is left whose signals would start a check.
    """
    rng = Random(1)
    vantages = country(each=4)
    signals = live(world(), rng, 4, churn=1.0)
    for vantage in vantages:
        back_s = 1.0
        lost_s = ONSET - 3_600 + rng.expovariate(1 / 600)
        while back_s < ONSET:
            signals.append(VantageArrival(at(back_s), vantage))
            signals += drop([vantage], min(lost_s, ONSET), rng)
            back_s = lost_s + 45 + rng.expovariate(1 / 300)
            lost_s = back_s + rng.expovariate(1 / 600)
    (found,) = detect(signals)
    assert (found.scope, found.state) == (Scope("KZ"), IncidentState.CONFIRMED)
    assert (found.confirmed_us or 0) <= at(ONSET + 1_080)  # returns have ceased; 30 min without


def test_cut_on_the_next_day_is_recurring() -> None:
    cuts = (Cut(ONSET, END, KZ, 2.0), Cut(ONSET + 86_400, END + 86_400, KZ, 2.0))
    first, second = replay(6, *cuts, hours=30)
    assert first.id != second.id
    assert hint_recurring(second, [first]) == ("recurring",)
    assert hint_recurring(first, [second]) == ()


def test_order_of_signals_does_not_matter() -> None:
    rng = Random(8)
    signals = live(country() + world(), rng, 4, cuts=[Cut(ONSET, END, KZ, 2.0)])
    once = detect_silence(signals, at(4 * 3_600))
    rng.shuffle(signals)
    assert detect_silence(signals, at(4 * 3_600)) == once


def test_late_offline_reports_name_the_cause_and_keep_the_id() -> None:
    where = CUTS["country"][0]
    signals: Signals = live(country() + world(), Random(9), 4, cuts=[Cut(ONSET, END, where, 2.0)])
    before = detect_silence(signals, at(4 * 3_600)).incidents
    for alive, hint in ((True, "network_cut"), (False, "power_cut")):
        told = (at(ONSET), at(END), alive)
        late = [OfflineReport(at(END + 300), w.nym, *told) for w in country()[:8]]
        after = carry_ids(before, detect_silence([*signals, *late], at(4 * 3_600)).incidents)
        assert [i.id for i in after] == [i.id for i in before]
        assert hint in after[0].hints
        assert after[0].state is IncidentState.CLOSED


def test_cell_of_few_is_suspected_and_never_confirmed() -> None:
    four = people(VantageLocation("KZ", "ALA", 201, "fixed"), 4)
    rest = people(VantageLocation("KZ", "AST", 101, "mobile"), 12)
    cut = Cut(ONSET, END, of(asn=201), 2.0)
    signals = live(four + rest + world(), Random(2), 4, churn=1.0, cuts=[cut])
    (incident,) = detect_silence(signals, at(4 * 3_600)).incidents
    assert incident.confirmed_us is None
    assert incident.held == ("few_votes",)
    assert incident.confidence <= 0.5
    assert incident.state is IncidentState.WITHDRAWN  # no alert, so none of its end


def test_cut_without_other_countries_is_less_certain() -> None:
    signals = live(country(each=4), Random(4), 4, cuts=[Cut(ONSET, END, KZ, 2.0)])
    (incident,) = detect(signals)
    assert incident.confidence == 0.6, "it is one way too"


def test_goodbyes_are_no_silence() -> None:
    signals = live(country(each=4) + world(), Random(4), 4, churn=0)
    for i, witness in enumerate(country(each=4)):
        signals.append(Goodbye(at(ONSET + i * 0.1), witness.nym))
        signals.append(VantageLoss(at(ONSET + 40), witness.nym, at(ONSET)))  # its session's end
    assert detect_silence(signals, at(4 * 3_600)).incidents == ()


def test_first_start_is_no_coverage_gap() -> None:
    """A first start is no coverage gap: a new collector can have lost no agent."""
    onset = 120.0
    cuts = [Cut(onset, 1_800, KZ, 2.0)]
    signals = live(country(each=4) + world(), Random(5), 1, churn=0, cuts=cuts)
    start = at(0) - 1
    findings = detect_silence([*signals, Fault(start, start, FaultReason.RESTART)], at(1_500))
    (incident,) = confirmed(findings.incidents)
    assert seconds(incident.confirmed_us) - onset <= 60
    assert findings.coverage_gaps == ()


def list_few_people() -> list[VantageRef]:
    """Six people behind four prefixes of three operators."""
    return [
        *people(VantageLocation("KZ", "ALA", 101, "mobile"), 3, prefix="nat"),
        *people(VantageLocation("KZ", "AST", 101, "mobile"), 1),
        *people(VantageLocation("KZ", "AST", 102, "mobile"), 1),
        *people(VantageLocation("KZ", "VOS", 201, "fixed"), 1),
    ]


@pytest.mark.parametrize("seed", draw_seeds(3))
def test_a_country_of_few_people_behind_a_nat_is_told_once_none_found_another_way(
    seed: int,
) -> None:
    rng = Random(seed)
    few = list_few_people()
    signals = live(few + world(), rng, 4, churn=1.0) + drop(few, ONSET, rng, END)
    (incident,) = detect_silence(signals, at(ONSET + 240)).incidents
    assert (incident.state, incident.scope) == (IncidentState.CONFIRMED, Scope("KZ"))
    assert incident.confidence <= 0.5
    two = few[:4]
    signals = live(two + world(), rng, 4, churn=1.0) + drop(two, ONSET, rng, END)
    assert confirmed(detect_silence(signals, at(ONSET + 240)).incidents) == []


def test_young_vantages_that_fall_with_the_few_established_make_the_country_suspected() -> None:
    """Young vantages that fall with the few established ones make a suspicion.

    Ten phones of one operator are old; all others came in the week before, and none is left.
    """
    rng = Random(4)
    old = people(VantageLocation("KZ", "ALA", 110, "mobile"), 5)
    old += people(VantageLocation("KZ", "AST", 110, "mobile"), 5)
    young = [replace(v, first_us=at(-5 * 86_400)) for v in country(each=2)]
    signals = live([*old, *young, *world()], rng, 4, churn=1.0) + drop([*old, *young], ONSET, rng)
    told = detect_silence(signals, at(ONSET + 420)).incidents
    assert {(i.label, i.state, i.confidence) for i in told} == {
        ("one-operator", IncidentState.CONFIRMED, 0.6),
        ("national", IncidentState.SUSPECTED, 0.5),
    }
