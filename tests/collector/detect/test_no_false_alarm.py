"""Chance, our faults, carriers, power, one Wi-Fi and sleep raise no cut."""

from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect import SilenceDetector, detect_silence
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    Fault,
    FaultReason,
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
    sort_signals,
)
from support.examples import IS_SOAK, draw_seeds, only_in_soak
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
SPREADING = (14, 33, 39)  # seeds of which false ones came before countries waited
UNTIL = at(4 * 3_600)


def everybody() -> list[VantageRef]:
    return country(each=3) + world()


def detect(signals: Signals) -> list[Incident]:
    return confirmed(detect_silence(signals, UNTIL).incidents)


@pytest.mark.long
@pytest.mark.parametrize("churn", [1.0, 4.0, 12.0])
def test_quiet_days_raise_no_incident(churn: float) -> None:
    """The manual has the figures of quiet years."""
    hours = 24 * (14 if IS_SOAK else 3)
    signals = live(country(each=2) + world(2), Random(int(churn)), hours, churn=churn)
    assert confirmed(detect_silence(signals, at(hours * 3_600)).incidents) == []


@pytest.mark.parametrize("seed", draw_seeds(3))
@pytest.mark.parametrize("back_s", [20, 150])
def test_restart_of_the_collector_is_a_gap_and_no_incident(seed: int, back_s: float) -> None:
    rng = Random(seed)
    signals = live(everybody(), rng, 4)
    signals.append(Fault(at(ONSET), at(ONSET + 30), FaultReason.RESTART))
    for w in everybody():  # they come in again, a few never
        if rng.random() < 0.97:
            signals.append(VantageArrival(at(ONSET + 31 + rng.uniform(0, back_s)), w))
    findings = detect_silence(signals, UNTIL)
    assert confirmed(findings.incidents) == []
    assert [(b.why, b.country) for b in findings.coverage_gaps] == [("restart", "")]
    assert findings.coverage_gaps[0].until_us == at(ONSET + 30 + 180)


@pytest.mark.parametrize("down_s", [20, 600, 3_600])
def test_what_came_back_while_the_collector_was_down_is_not_dated_later(down_s: float) -> None:
    """Returns while the collector was down, for an hour or days, are not dated later."""
    end = ONSET + 300 + down_s / 2
    signals = live(everybody(), Random(5), 4, churn=0, cuts=[Cut(ONSET, end, KZ, 3.0)])
    down = range(at(ONSET + 300), at(ONSET + 300 + down_s))
    signals = [s for s in signals if s.at_us < down.start]
    signals.append(Fault(down.start, down.stop, FaultReason.RESTART))
    rng = Random(5)
    signals += [VantageArrival(down.stop + 1 + rng.randrange(30_000_000), w) for w in everybody()]
    (incident,) = confirmed(detect_silence(signals, UNTIL).incidents)
    assert incident.ended is not None
    assert incident.ended.earliest_us <= at(end) <= incident.ended.latest_us
    assert incident.ended.earliest_us >= incident.started.latest_us


@pytest.mark.parametrize("down_s", [20, 600, 3_600])
def test_what_fell_silent_while_the_collector_was_down_is_not_dated_sooner(down_s: float) -> None:
    signals = [s for s in live(everybody(), Random(5), 4, churn=0) if s.at_us < at(ONSET)]
    up_us = at(ONSET + down_s)
    signals.append(Fault(at(ONSET), up_us, FaultReason.RESTART))
    rng = Random(5)
    spared = [w for w in everybody() if not KZ(w)]
    signals += [VantageArrival(up_us + 1 + rng.randrange(30_000_000), w) for w in spared]
    (incident,) = confirmed(detect_silence(signals, UNTIL).incidents)
    assert incident.started.earliest_us <= at(ONSET)
    assert incident.started.latest_us >= up_us, "it may have been just before the start"


def test_cut_during_a_restart_is_found_after_it() -> None:
    rng = Random(7)
    signals = live(everybody(), rng, 4, cuts=[Cut(ONSET + 10, END, KZ, 2.0)])
    in_restart = range(at(ONSET) + 1, at(ONSET + 90))
    signals = [s for s in signals if not isinstance(s, VantageLoss) or s.at_us not in in_restart]
    signals.append(Fault(at(ONSET), at(ONSET + 30), FaultReason.RESTART))
    spared = [w for w in everybody() if not KZ(w)]
    signals += [VantageArrival(at(ONSET + 31 + rng.uniform(0, 60)), w) for w in spared]
    (incident,) = detect(signals)
    assert incident.scope == Scope("KZ")
    assert (incident.confirmed_us or 0) <= at(ONSET + 30 + 180 + 60)


@pytest.mark.parametrize("after_s", [45, 60, 90, 150])
@pytest.mark.parametrize(
    ("why", "back_s"),
    [(FaultReason.RESTART, None), (FaultReason.RESTART, 100), (FaultReason.TAKEOVER, 8)],
)
def test_a_start_in_a_cut_of_phones_names_no_more_than_them(
    after_s: float, why: FaultReason, back_s: float | None
) -> None:
    """A start in a cut of phones names no more: lines are unknown until they are back."""
    rng = Random(7)
    start = ONSET + after_s
    phones = [Cut(ONSET, END, lambda w: KZ(w) and w.place.access == "mobile", 2.0)]
    signals = live(everybody(), rng, 4, churn=0, cuts=phones)
    signals = [s for s in signals if s.at_us <= at(start)]
    signals.append(Fault(at(start), at(start + 10), why))
    spared = [w for w in everybody() if not (KZ(w) and w.place.access == "mobile")]
    if back_s is not None:
        signals += [VantageArrival(at(start + 11 + rng.uniform(0, back_s)), w) for w in spared]
    until_us = at(start + (180 if back_s is None else 1_000))
    incidents = detect_silence(signals, until_us).incidents
    assert all(part.scope.access == "mobile" for i in incidents for part in i.parts)
    if back_s is not None:
        assert [i.scope for i in confirmed(incidents)] == [Scope("KZ", access="mobile")]


def test_cut_during_a_takeover_is_found_as_soon_as_hosts_tell_of_it() -> None:
    """A cut during a takeover is found as soon as hosts report it, without a grace."""
    rng = Random(7)
    signals = live(everybody(), rng, 4, cuts=[Cut(ONSET + 10, END, KZ, 2.0)])
    told_us = at(ONSET + 50)
    missed = range(at(ONSET) + 1, told_us)
    signals = [
        replace(s, at_us=told_us) if isinstance(s, VantageLoss) and s.at_us in missed else s
        for s in signals
    ]
    signals.append(Fault(at(ONSET), at(ONSET + 30), FaultReason.TAKEOVER))
    spared = [w for w in everybody() if not KZ(w)]
    signals += [VantageArrival(at(ONSET + 31 + rng.uniform(0, 3)), w) for w in spared]
    (incident,) = detect(signals)
    assert incident.scope == Scope("KZ")
    assert (incident.suspected_us or 0) <= at(ONSET + 90)
    findings = detect_silence(signals, UNTIL)
    assert [(gap.country, gap.until_us) for gap in findings.coverage_gaps] == [
        ("", at(ONSET + 30)),
        ("KZ", at(ONSET + 60)),
    ]


def test_coverage_says_whose_agents_a_takeover_awaits() -> None:
    """Coverage names the countries whose agents a takeover awaits.

    Their host died with the leader; half of one country, and a tenth of the others, were there.
    They come to another host within a minute. A tenth would hide no cut of a region.
    """
    signals = live(everybody(), Random(7), 4)
    signals.append(Fault(at(ONSET), at(ONSET + 30), FaultReason.TAKEOVER))
    late = [w for w in everybody() if KZ(w)][::2] + [w for w in everybody() if not KZ(w)][::10]
    for witness in everybody():
        back_s = 60 if witness in late else 3
        signals.append(VantageArrival(at(ONSET + 30 + back_s), witness))
    detector = SilenceDetector()
    for signal in sort_signals(signals):
        if signal.at_us <= at(ONSET + 60):
            detector.on_signal(signal)
    detector.advance_to(at(ONSET + 60))
    told = [(gap.since_us, gap.country) for gap in detector.coverage_gaps if gap.country]
    assert told == [(at(ONSET), "KZ")]
    assert detector.coverage_gaps[-1].until_us > at(ONSET + 60), "as long as they are awaited"
    findings = detect_silence(signals, UNTIL)
    assert [(gap.country, gap.until_us) for gap in findings.coverage_gaps] == [
        ("", at(ONSET + 30)),
        ("KZ", at(ONSET + 100)),
    ]


def test_gap_for_agents_of_a_dead_host_delays_no_cut() -> None:
    """The gap for agents of a dead host has an end, and delays no cut."""
    signals = live(everybody(), Random(7), 4, cuts=[Cut(ONSET, END, KZ, 2.0)])
    host = Fault(at(ONSET - 30), at(ONSET + 165), FaultReason.HOST, "KZ")
    (incident,) = detect([*signals, host])
    (without,) = detect(signals)
    assert incident.confirmed_us == without.confirmed_us
    ended = replace(host, until_us=at(ONSET + 40))
    for told in ([host], [host, ended]):
        findings = detect_silence([*signals, *told], UNTIL)
        gap = findings.coverage_gaps[0]
        assert (gap.country, gap.why, gap.until_us) == ("KZ", "stalled", told[-1].until_us)
        assert len(findings.coverage_gaps) == 1


def test_takeover_alone_is_no_incident() -> None:
    """A takeover is no incident: agents of the dead leader's host come to another."""
    rng = Random(3)
    signals = live(everybody(), rng, 4)
    signals.append(Fault(at(ONSET), at(ONSET + 30), FaultReason.TAKEOVER))
    for w in everybody():
        back_s = 150 if rng.random() < 0.3 else 3
        if rng.random() < 0.97:
            signals.append(VantageArrival(at(ONSET + 31 + rng.uniform(0, back_s)), w))
    assert detect(signals) == []


@pytest.mark.parametrize("why", [FaultReason.UPDATE, FaultReason.PROBE, FaultReason.CARRIER])
def test_declared_fault_is_no_incident(why: FaultReason) -> None:
    rng = Random(3)
    signals = live(everybody(), rng, 4, churn=1.0)
    signals += drop(country(each=3), ONSET + 20, rng, ONSET + 90)
    signals.append(Fault(at(ONSET), at(ONSET + 120), why))
    assert detect(signals) == []


@pytest.mark.parametrize("stall_s", [35, 120, 900])
def test_agents_that_gave_up_on_a_stalled_collector_are_no_incident(stall_s: float) -> None:
    """They have as long to come back as it stood still, up to three minutes."""
    rng = Random(5)
    signals = live(everybody(), rng, 4, churn=1.0)
    woke_s = ONSET + stall_s
    signals.append(Fault(at(ONSET), at(woke_s), FaultReason.STALLED))
    for w in country(each=3):
        lost_s = woke_s + rng.uniform(15, 30)
        signals.append(VantageLoss(at(lost_s), w.nym, at(ONSET - rng.uniform(0, 15))))
        back_s = max(lost_s + 1, woke_s + rng.uniform(0, min(stall_s, 170)))
        signals.append(VantageArrival(at(back_s), w))
    assert detect(signals) == []


def test_undeclared_fault_everywhere_is_common_mode() -> None:
    rng = Random(4)
    signals = live(everybody(), rng, 4, churn=1.0)
    signals += drop(everybody(), ONSET, rng, ONSET + 600)
    findings = detect_silence(signals, UNTIL)
    assert findings.incidents == ()
    assert {b.why for b in findings.coverage_gaps} == {"common_mode"}
    assert {b.country for b in findings.coverage_gaps} >= {"KZ"}


def test_failure_of_one_carrier_is_no_incident() -> None:
    edge = [w for w in country(each=3) if w.place.asn != 203]
    edge = [VantageRef(w.nym, w.prefix, w.place, w.first_us, "edge-1") for w in edge]
    direct = people(VantageLocation("KZ", "ALA", 203, "fixed"), 6)
    direct += people(VantageLocation("KZ", "", 101, ""), 4)
    rng = Random(6)
    signals = live(edge + direct + world(), rng, 4, churn=1.0)
    signals += drop(edge, ONSET, rng, END)
    assert detect(signals) == []


def _power_cut() -> tuple[Signals, list[VantageRef]]:
    """All fixed lines of one city; phones have batteries."""
    rng = Random(11)
    city = [w for w in country(each=3) if w.place.region == "ALA" and w.place.access == "fixed"]
    signals = live(everybody(), rng, 4, churn=1.0)
    return signals + drop(city, ONSET, rng, END), city


def test_power_failure_is_suspected_and_withdrawn() -> None:
    signals, _ = _power_cut()
    (incident,) = detect_silence(signals, at(ONSET + 1_800)).incidents
    assert incident.state is IncidentState.SUSPECTED
    assert incident.held == ("power",)
    (incident,) = detect_silence(signals, UNTIL).incidents
    assert incident.state is IncidentState.WITHDRAWN


@pytest.mark.parametrize(
    ("alive", "kind", "wait_s", "state"),
    [
        (False, IncidentKind.POWER, 0, IncidentState.CONFIRMED),
        (True, IncidentKind.SILENCE, 900, IncidentState.CLOSED),
    ],
)
def test_offline_reports_decide_about_the_power(
    alive: bool, kind: IncidentKind, wait_s: float, state: IncidentState
) -> None:
    """Offline reports decide about the power.

    A cut is confirmed late, since machines that restart would report after laptops.
    """
    signals, city = _power_cut()
    signals = [s for s in signals if s.at_us < at(END)]
    signals += [VantageArrival(at(END - 60 + i), w) for i, w in enumerate(city[:4])]
    told = (at(ONSET), at(END - 60), alive)
    signals += [OfflineReport(at(END - 30), w.nym, *told) for w in city[:4]]
    (incident,) = detect_silence(signals, at(END + wait_s)).incidents
    assert (incident.state, incident.kind) == (state, kind)
    assert incident.confirmed_us is not None


def test_one_big_wifi_is_one_vote() -> None:
    rng = Random(12)
    hall = people(VantageLocation("KZ", "ALA", 201, "fixed"), 80, prefix="hall")
    signals = live(everybody() + hall, rng, 4, churn=1.0) + drop(hall, ONSET, rng, END)
    assert detect_silence(signals, UNTIL).incidents == ()


def test_prefix_that_moves_is_no_incident() -> None:
    rng = Random(13)
    moving = [w for w in country(each=3) if w.place.asn == 201]
    signals = live(everybody(), rng, 4, churn=1.0)
    for w in moving:  # heard again from the new one in half a minute
        heard = ONSET - rng.uniform(0, 15)
        signals.append(VantageLoss(at(heard + 37.5), w.nym, at(heard)))
        moved = VantageRef(w.nym, f"new-{w.prefix}", w.place, w.first_us)
        signals.append(VantageArrival(at(heard + 38 + rng.uniform(0, 12)), moved))
    assert detect(signals) == []


@pytest.mark.parametrize("seed", [*SPREADING, *draw_seeds(4)])
@pytest.mark.parametrize("spread_s", [20.0, 30.0])
def test_undeclared_fault_that_spreads_is_no_incident(seed: int, spread_s: float) -> None:
    """Country after country goes within half a minute, each in a moment."""
    rng = Random(seed)
    signals = live(everybody(), rng, 4)
    for code in ("KZ", "XA", "XB", "XC", "XD"):
        since = ONSET + rng.uniform(0, spread_s)
        here = [w for w in everybody() if w.place.country == code]
        signals += drop(here, since, rng, since + 600)
    assert detect(signals) == []


@pytest.mark.parametrize("seed", draw_seeds(4))
def test_cut_country_is_confirmed_beside_others(seed: int) -> None:
    """A cut country is confirmed beside others, even three in the same minute."""
    rng = Random(seed)
    vantages = country(each=3) + world(8)
    for codes, within_s in ((("KZ",), 60), (("KZ", "XA"), 60), (("KZ", "XA", "XB"), 130)):
        signals = live(vantages, rng, 4)
        signals += drop([w for w in vantages if w.place.country in codes], ONSET, rng, END)
        found = {i.scope: i.confirmed_us or 0 for i in detect(signals)}
        assert set(found) == {Scope(code) for code in codes}
        assert max(found.values()) - at(ONSET) <= within_s * 1_000_000


RETURNED = {
    "all, after a fault of ours": (None, 120, [FaultReason.PROBE]),
    "all, after a fault that nobody declared": (None, 120, []),
    "the country, after a moment": ("KZ", 40, []),
}


@pytest.mark.parametrize(("code", "down_s", "faults"), RETURNED.values(), ids=RETURNED)
def test_cut_is_found_soon_after_sessions_came_back_together(
    code: str | None, down_s: float, faults: list[FaultReason]
) -> None:
    """A cut is found soon after one fault of ours, which is no flapping."""
    rng = Random(2)
    signals = live(everybody(), rng, 4, churn=1.0)
    back_s = ONSET - 600
    signals += [Fault(at(back_s - down_s), at(back_s), why) for why in faults]
    for w in everybody():
        if code in (None, w.place.country):
            heard_s = back_s - down_s - rng.uniform(0, 15)
            signals.append(VantageLoss(at(heard_s + 37.5), w.nym, at(heard_s)))
            signals.append(VantageArrival(at(back_s + rng.uniform(0, 30)), w))
    signals += drop([w for w in everybody() if KZ(w)], ONSET, rng)
    (incident,) = detect(signals)
    assert incident.scope == Scope("KZ")
    assert at(ONSET) < (incident.confirmed_us or 0) <= at(ONSET + 60)


@pytest.mark.long
@pytest.mark.parametrize(
    ("up_s", "down_s"), [(600.0, 1_000.0), pytest.param(180.0, 360.0, marks=only_in_soak)]
)
def test_sessions_that_break_and_come_back_are_no_cut_that_stands(
    up_s: float, down_s: float
) -> None:
    """Sessions that break and come back are no cut that stands.

    In a throttled country two thirds are silent at any time, and results come from all.
    """
    rng = Random(1)
    signals = live(world(), rng, 6, churn=1)
    for vantage in country(each=2):
        signals.append(VantageArrival(at(1), vantage))
        second = ONSET + rng.expovariate(1 / up_s)
        while second < END + ONSET:
            back_s = second + 45 + rng.expovariate(1 / down_s)
            signals += drop([vantage], second, rng)
            signals.append(VantageArrival(at(back_s), vantage))
            second = back_s + rng.expovariate(1 / up_s)
    found = detect_silence(signals, at(END + ONSET)).incidents
    assert [i for i in confirmed(found) if i.state is not IncidentState.WITHDRAWN] == []
    assert not [i for i in found if (i.confirmed_us or 0) > at(ONSET + 1_800)]
