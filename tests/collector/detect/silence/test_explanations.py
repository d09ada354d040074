"""A cut, a power failure, and a fault of ours are told apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.examples import draw_seeds
from support.presence_model import KZ, Signals, at, country, drop, live, people, world

ONSET, END = 7_200.0, 10_800.0
UNTIL = at(4 * 3_600)
BLOCKED = IncidentKind.COLLECTOR_BLOCKED


@dataclass(frozen=True)
class Return:
    """The way a vantage comes back or reports: delay in seconds, way, and results."""

    after_s: tuple[float, float]
    way: str = "post"
    is_back: bool = True
    online: bool | None = True
    measured_s: float = 45.0  # after it was last heard
    tells: bool = True  # anything of the silence itself


def is_cut(incident: Incident) -> bool:
    """Return whether an incident is a cut that stands."""
    stands = incident.state in (IncidentState.CONFIRMED, IncidentState.CLOSED)
    return stands and incident.kind is IncidentKind.SILENCE


def blocked_signals(
    vantages: Sequence[VantageRef], rng: Random, way: Return, share: float
) -> Signals:
    """Let all lose their session at once; a share reports by another way."""
    signals: Signals = []
    for vantage in vantages:
        heard_s = ONSET - rng.uniform(0, 15)
        lost_s = heard_s + 37.5
        signals.append(VantageLoss(at(lost_s), vantage.nym, at(heard_s)))
        if rng.random() >= share:
            continue
        told_s = lost_s + rng.uniform(*way.after_s)
        if way.is_back:
            signals.append(VantageArrival(at(told_s), replace(vantage, carrier=way.way)))
        if not way.tells:
            continue
        signals.append(
            OfflineReport(
                at(told_s + 2),
                vantage.nym,
                at(heard_s),
                at(told_s),
                alive=True,
                online=way.online,
                carrier=way.way,
                measured_us=at(heard_s + way.measured_s) if way.online is not None else 0,
            )
        )
    return signals


OURS = {
    "most return by post": (Return((20, 100)), 0.9),
    "half return by post": (Return((20, 100)), 0.5),
    "all return at once": (Return((2, 15)), 1.0),
    "they return too soon to have measured in between": (Return((2, 40), tells=False), 1.0),
    "words by DNS, nobody is back": (Return((15, 60), "dns", is_back=False), 0.6),
    "they return and measured no anchor": (Return((20, 100), online=None), 0.9),
    "words before their loss is noticed": (Return((-25, -5), "dns", False, measured_s=5), 0.6),
    "half return before their loss is noticed": (Return((-20, -5), "relay", measured_s=5), 0.5),
}


@pytest.mark.parametrize("case", OURS)
def test_block_of_our_address_is_no_cut(case: str) -> None:
    way, share = OURS[case]
    for seed in draw_seeds(20 if case == "most return by post" else 4):
        rng = Random(seed)
        signals = live(country(each=2) + world(), rng, 4, churn=1.0)
        signals += blocked_signals(country(each=2), rng, way, share)
        (early,) = detect_silence(signals, at(ONSET + 300)).incidents
        assert early.kind is BLOCKED, (case, seed)
        assert early.confirmed_us is not None
        if "before" in case:
            assert all(early.confirmed_us >= change.at_us for change in early.kinds), "never a cut"
        (final,) = detect_silence(signals, UNTIL).incidents
        assert (final.id, final.kind) == (early.id, BLOCKED)


@pytest.mark.parametrize(
    "case", ["most return by post", "they return too soon to have measured in between"]
)
def test_cut_after_a_block_of_our_address_is_news(case: str) -> None:
    """A cut after a block of our address is a new incident, despite its returns."""
    way, _ = OURS[case]
    for seed in draw_seeds(4):
        rng = Random(seed)
        signals = live(country(each=2) + world(), rng, 4, churn=1.0)
        signals += blocked_signals(country(each=2), rng, way, 1.0)
        for vantage in country(each=2):
            heard_s = ONSET + 1_500 - rng.uniform(0, 15)
            signals.append(VantageArrival(at(ONSET + 400 + rng.uniform(0, 180)), vantage))
            signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
        block, cut = detect_silence(signals, at(ONSET + 1_600)).incidents
        assert (block.kind, block.state) == (BLOCKED, IncidentState.CLOSED), (case, seed)
        assert block.confidence > 0.5, "what was told is not forgotten when all are back"
        assert is_cut(cut)


def cut_signals(rng: Random, lasts_s: float, way: Return, post_share: float = 0.5) -> Signals:
    """A true cut: after it agents come back by whichever way they try first."""
    signals: Signals = live(country(each=2) + world(), rng, 4, churn=1.0)
    for vantage in country(each=2):
        heard_s = ONSET - rng.uniform(0, 15)
        back_s = ONSET + lasts_s + rng.uniform(0, 60)
        carrier = way.way if rng.random() < post_share else "session"
        signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
        signals.append(VantageArrival(at(back_s), replace(vantage, carrier=carrier)))
        if carrier != "session":
            joined_s = min(back_s + 60, ONSET + lasts_s + 60)
            signals.append(VantageArrival(at(joined_s), vantage))
        report = OfflineReport(at(back_s + 5), vantage.nym, at(heard_s), at(back_s), alive=True)
        measured_us = at(ONSET + way.measured_s)
        signals.append(replace(report, online=way.online, measured_us=measured_us))
    return signals


CUTS = {
    "anchors failed": (3_600.0, Return((0, 0), online=False), 0.95),
    "no anchor was measured": (3_600.0, Return((0, 0), online=None), 0.6),
    "anchors answered at its end": (300.0, Return((0, 0), online=True, measured_s=302), 0.6),
}


@pytest.mark.parametrize("case", CUTS)
def test_true_cut_stays_one_whatever_way_agents_return(case: str) -> None:
    lasts_s, way, most = CUTS[case]
    for seed in draw_seeds(4):
        (incident,) = detect_silence(cut_signals(Random(seed), lasts_s, way), UNTIL).incidents
        assert is_cut(incident), (case, seed)
        assert incident.kinds == ()
        assert most - 0.3 < incident.confidence <= most
        if way.online is False:
            assert incident.confidence > 0.6, "what they measured decides"


def test_a_quarter_that_feigns_leaves_a_cut_in_doubt_and_does_not_explain_it_away() -> None:
    vantages = country(each=2)
    colluding = vantages[::4]
    for seed in draw_seeds(2):
        rng = Random(seed)
        signals = live(vantages + world(), rng, 4, churn=0)
        honest = [w for w in vantages if w not in colluding]
        signals += drop(honest, ONSET, rng, END)
        signals += blocked_signals(colluding, rng, Return((20, 60)), 1.0)
        (incident,) = detect_silence(signals, at(ONSET + 1_800)).incidents
        assert (incident.kind, incident.state) == (IncidentKind.SILENCE, IncidentState.SUSPECTED)
        assert incident.scope.is_national
        assert incident.confidence <= 0.5, "their word is heard, and decides nothing"


def test_two_that_say_their_link_works_delay_no_cut() -> None:
    vantages = country(each=2)
    rng = Random(1)
    signals = live(vantages + world(), rng, 4, churn=0) + drop(vantages[2:], ONSET, rng, END)
    signals += blocked_signals(vantages[:2], rng, Return((-25, -5), "dns", False), 1.0)
    (incident,) = detect_silence(signals, at(ONSET + 60)).incidents
    assert is_cut(incident)


def test_silence_over_two_carriers_is_sure_at_once() -> None:
    """A silence over two carriers is sure at once, as no block of one explains it."""
    rng = Random(1)
    vantages = [
        replace(w, carrier="edge-1" if i % 2 else "session") for i, w in enumerate(country(each=4))
    ]
    signals = live(vantages + world(), rng, 4, churn=1.0) + drop(vantages, ONSET, rng)
    (incident,) = detect_silence(signals, at(ONSET + 75)).incidents
    assert is_cut(incident)
    assert 0.9 < incident.confidence <= 0.95
    assert "one_way" not in incident.hints


@pytest.mark.parametrize("everywhere", [False, True])
def test_one_silent_carrier_among_living_ones_is_a_block_of_it_or_our_fault(
    everywhere: bool,
) -> None:
    """Agents are spread over two carriers; one dies, here or in all countries."""
    rng = Random(2)
    vantages = [
        replace(w, carrier="edge-1" if i % 2 else "session")
        for i, w in enumerate(country(each=4) + world())
    ]
    silent = [w for w in vantages if w.carrier == "edge-1" and (everywhere or KZ(w))]
    signals = live(vantages, rng, 4, churn=1.0) + drop(silent, ONSET, rng, END)
    incidents = detect_silence(signals, at(ONSET + 300)).incidents
    assert [i.kind for i in incidents] == ([] if everywhere else [BLOCKED])


def test_dead_anchors_make_no_cut_of_a_silent_carrier_among_living_ones() -> None:
    """A cloud fails that has one of our entrances and our anchors."""
    rng = Random(6)
    vantages = [
        replace(w, carrier="edge-1" if i % 2 else "session")
        for i, w in enumerate(country(each=4) + world())
    ]
    silent = [w for w in vantages if w.carrier == "edge-1" and KZ(w)]
    signals = live(vantages, rng, 4, churn=1.0) + drop(silent, ONSET, rng, END)
    signals += [
        OfflineReport(at(END + 90), w.nym, at(ONSET), at(END), alive=True, online=False)
        for w in silent
    ]
    incidents = detect_silence(signals, UNTIL).incidents
    assert [(i.kind, i.state) for i in incidents] == [(BLOCKED, IncidentState.CLOSED)]


def power_signals(
    rng: Random, regions: Sequence[str], tell: Callable[[VantageRef], OfflineReport | None]
) -> tuple[Signals, list[VantageRef]]:
    """Cut the power of some regions' lines, not of phones; it returns town by town."""
    vantages = country(regions=("ALA", "AST", "VOS", "KAR"), each=4)
    signals: Signals = live(vantages + world(), rng, 6, churn=1.0)
    dark = [w for w in vantages if w.place.region in regions and w.place.access == "fixed"]
    signals += drop(dark, ONSET, rng)
    for vantage in dark:
        back_s = END + rng.uniform(0, 2_400)
        signals.append(VantageArrival(at(back_s), vantage))
        report = tell(vantage)
        if report is not None:
            signals.append(replace(report, at_us=at(back_s + 60), until_us=at(back_s)))
    return signals, dark


@pytest.mark.parametrize("regions", [("ALA",), ("ALA", "AST", "VOS")])
@pytest.mark.parametrize("told", ["reboot", "offline", "nothing"])
def test_power_failure_of_regions_is_held_and_told_by_what_comes_back(
    regions: Sequence[str], told: str
) -> None:
    def tell(vantage: VantageRef) -> OfflineReport | None:
        alive = told == "offline"
        report = OfflineReport(0, vantage.nym, at(ONSET), 0, alive)
        return None if told == "nothing" else replace(report, online=False if alive else None)

    for seed in draw_seeds(2):
        signals, _ = power_signals(Random(seed), regions, tell)
        (held,) = detect_silence(signals, at(ONSET + 600)).incidents
        assert (held.state, held.held) == (IncidentState.SUSPECTED, ("power",))
        (incident,) = detect_silence(signals, at(6 * 3_600)).incidents
        assert is_cut(incident) is (told == "offline"), (told, seed)
        if told == "reboot":
            assert incident.kind is IncidentKind.POWER
            assert incident.state is IncidentState.CLOSED


def test_machines_that_go_to_their_batteries_tell_of_the_power_at_once() -> None:
    rng = Random(3)
    signals, dark = power_signals(rng, ("ALA", "AST"), lambda _: None)
    names = {w.nym for w in dark}
    mains: Signals = [VantageArrival(at(60), w, on_battery=False) for w in dark]
    signals = [
        replace(s, on_battery=True) if isinstance(s, VantageLoss) and s.nym in names else s
        for s in signals
    ]
    (incident,) = detect_silence(signals + mains, at(ONSET + 120)).incidents
    assert incident.kind is IncidentKind.POWER
    assert incident.confirmed_us is not None


FIVE = ("KZ", "XA", "XB", "XC", "XD")


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("lasts_s", "is_told"), [(6 * 3_600.0, True), (150.0, False)])
def test_countries_of_five_are_cut_by_a_cable_or_by_our_transit(
    lasts_s: float, is_told: bool, count: int
) -> None:
    """Those that live on prove that we do; our own broken transit is over in minutes."""
    for seed in draw_seeds(2):
        rng = Random(seed)
        vantages = country(each=2) + world(each=2)
        signals = live(vantages, rng, 7, churn=1.0)
        hit = [w for w in vantages if w.place.country in FIVE[:count]]
        signals += drop(hit, ONSET, rng, ONSET + lasts_s)
        back_us = at(ONSET + lasts_s + 65)  # each tells that its anchors answered
        reports = [OfflineReport(back_us, w.nym, at(ONSET), back_us, True, True) for w in hit]
        early = detect_silence(signals, at(ONSET + 60)).incidents
        assert {i.scope.country for i in early} == set(FIVE[:count]), "suspected all the same"
        findings = detect_silence([*signals, *reports], at(ONSET + 600))
        told = {i.scope.country for i in findings.incidents if i.confirmed_us is not None}
        assert told == (set(FIVE[:count]) if is_told else set())
        blind = {gap.country for gap in findings.coverage_gaps}
        assert blind == (set() if is_told else set(FIVE[:count]))
        cuts = [i for i in findings.incidents if is_cut(i)]
        assert all(i.confidence <= 0.5 for i in cuts), "it may still be our way to them"


def test_country_that_loses_first_by_chance_waits_for_the_others() -> None:
    """A country that loses agents first by chance waits for the others, as all stop."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        small = country(each=2)[:12]
        signals = live([*small, *world()], rng, 4, churn=1.0)
        signals += drop(small[:8], ONSET, rng, ONSET + 7_200)
        for other in FIVE[1:]:
            vantages = rng.sample(country(other, each=1), 12)
            for number, vantage in enumerate(vantages):
                since_s = ONSET + (rng.uniform(0, 10) if number < 2 else rng.uniform(25, 55))
                signals += drop([vantage], since_s, rng, ONSET + 7_200)
        assert not [i for i in detect_silence(signals, at(ONSET + 600)).incidents if is_cut(i)]


def test_crash_that_nobody_declares_confirms_nothing() -> None:
    """60 % of all sessions are lost everywhere and come back by and by."""
    for seed in draw_seeds(6):
        rng = Random(seed)
        vantages = country(each=2) + world(each=2)
        signals = live(vantages, rng, 4, churn=1.0)
        lost = [w for w in vantages if rng.random() < 0.6]
        for w in lost:
            signals += drop([w], ONSET, rng, ONSET + rng.choice((30.0, 90.0, 240.0, 900.0)))
        assert [i for i in detect_silence(signals, UNTIL).incidents if is_cut(i)] == []


def test_phones_behind_one_nat_are_suspected_and_no_more() -> None:
    for seed in draw_seeds(2):
        rng = Random(seed)
        phones = people(VantageLocation("KZ", "ALA", 101, "mobile"), 28, prefix="nat")
        fixed = [w for w in country(each=2) if w.place.access == "fixed"]
        signals = live(phones + fixed + world(), rng, 4, churn=1.0) + drop(phones, ONSET, rng, END)
        (incident,) = detect_silence(signals, at(ONSET + 180)).incidents
        assert (incident.state, incident.scope.asn) == (IncidentState.SUSPECTED, 101)
        assert incident.confidence <= 0.5
        assert [i for i in detect_silence(signals, UNTIL).incidents if is_cut(i)] == []


@pytest.mark.parametrize(("left", "churn"), [(0, 1.0), (1, 12.0), (2, 20.0)])
def test_a_nat_of_several_regions_confirms_its_own_network(left: int, churn: float) -> None:
    """A NAT of several regions confirms its network, despite one or two phones left."""
    rng = Random(4)
    regions = ("ALA", "AST", "VOS")
    places = [VantageLocation("KZ", region, 101, "mobile") for region in regions]
    phones = [replace(phone, prefix="nat") for place in places for phone in people(place, 9)]
    fixed = [w for w in country(each=2) if w.place.access == "fixed"]
    signals = live(phones + fixed + world(), rng, 4, churn=churn)
    signals += drop(phones[left:], ONSET, rng, END)
    (incident,) = detect_silence(signals, at(ONSET + 180)).incidents
    assert incident.state is IncidentState.CONFIRMED
    assert {part.scope.asn for part in incident.parts} == {101}
    assert incident.confidence <= 0.5
    (incident,) = detect_silence(signals, UNTIL).incidents
    assert incident.ended is not None
    assert incident.ended.latest_us <= at(END + 180)


def test_a_cut_of_five_votes_with_a_data_center_lasts_until_they_are_back() -> None:
    rng = Random(5)
    lines = [w for w in country(each=1) if w.place.asn in (101, 201)][:4]
    hosting = people(VantageLocation("KZ", "ALA", 301, "hosting"), 1)
    cut = [*lines, *hosting]
    signals = live(cut + world(), rng, 4, churn=1.0) + drop(cut, ONSET, rng, END)
    (incident,) = detect_silence(signals, at(END - 60)).incidents
    assert incident.state is IncidentState.CONFIRMED
    (incident,) = detect_silence(signals, UNTIL).incidents
    assert incident.state is IncidentState.CLOSED


def test_stepwise_shutdown_is_one_incident_with_dated_phases() -> None:
    """A stepwise shutdown, mobile first, is one incident with dated phases."""
    for seed in draw_seeds(2):
        rng = Random(seed)
        vantages = country(each=3)
        mobile = [w for w in vantages if w.place.access == "mobile"]
        fixed = [w for w in vantages if w.place.access == "fixed"]
        signals = live(vantages + world(), rng, 4, churn=1.0)
        signals += drop(mobile, ONSET, rng, END)
        signals += drop(fixed, ONSET + 180, rng, ONSET + 720)
        (incident,) = detect_silence(signals, UNTIL).incidents
        assert incident.label == "national"
        steps = [(t.way.value, [p.scope.access for p in t.parts]) for t in incident.turns]
        assert steps == [("cut", ["mobile"]), ("cut", ["fixed"]), ("opening", ["fixed"])]
        for turn, since_s in zip(incident.turns, (ONSET, ONSET + 180, ONSET + 720), strict=True):
            assert turn.when.earliest_us <= at(since_s + 15)
            assert turn.when.latest_us >= at(since_s - 15)
            assert turn.seen_us - turn.when.latest_us < 150 * SECOND_US
