"""What is not a cut raises none: chance, ourselves, carriers, the power, one Wi-Fi, sleep."""

from random import Random

import pytest

from heliograph_collector.detect import Findings, Incident, watch
from heliograph_collector.incidents.incident import State
from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import (
    Arrival,
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
SPREADING = (14, 33, 39)  # seeds of which false ones came before countries waited
UNTIL = at(4 * 3_600)


def confirmed(findings: Findings) -> list[Incident]:
    return [i for i in findings.incidents if i.confirmed_us is not None]


def everybody() -> list[Witness]:
    return country(each=3) + world()


def drop(witnesses: list[Witness], since: float, until: float, rng: Random) -> Signals:
    """They all go silent, and come back within a minute after."""
    signals: Signals = []
    for w in witnesses:
        heard = since - rng.uniform(0, 15)
        signals.append(Lost(at(heard + 37.5), w.nym, at(heard)))
        signals.append(Arrival(at(until + rng.uniform(0, 60)), w))
    return signals


@pytest.mark.parametrize("churn", [1.0, 4.0, 12.0])
def test_quiet_weeks_raise_nothing(churn: float) -> None:
    """The manual has the figures of quiet years."""
    signals = live(country(each=2) + world(2), Random(int(churn)), 24 * 14, churn=churn)
    assert confirmed(watch(signals, at(24 * 14 * 3_600))) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("back_s", [20, 150])
def test_the_collector_restarts(seed: int, back_s: float) -> None:
    rng = Random(seed)
    signals = live(everybody(), rng, 4)
    signals.append(Fault(at(ONSET), at(ONSET + 30), Why.RESTART))
    for w in everybody():  # they come in again, a few never
        if rng.random() < 0.97:
            signals.append(Arrival(at(ONSET + 31 + rng.uniform(0, back_s)), w))
    findings = watch(signals, UNTIL)
    assert confirmed(findings) == []
    assert [(b.why, b.country) for b in findings.blind] == [("restart", "")]
    assert findings.blind[0].until_us == at(ONSET + 30 + 180)


def test_a_cut_in_the_middle_of_a_restart_is_found_after_it() -> None:
    rng = Random(7)
    signals = live(everybody(), rng, 4, cuts=[Cut(ONSET + 10, END, KZ, 2.0)])
    signals = [s for s in signals if not (isinstance(s, Lost) and ONSET < _s(s.at_us) < ONSET + 90)]
    signals.append(Fault(at(ONSET), at(ONSET + 30), Why.RESTART))
    signals += [Arrival(at(ONSET + 31 + rng.uniform(0, 60)), w) for w in everybody() if not KZ(w)]
    (incident,) = confirmed(watch(signals, UNTIL))
    assert incident.scope == Scope("KZ")
    assert _s(incident.confirmed_us or 0) <= ONSET + 30 + 180 + 60


@pytest.mark.parametrize("why", [Why.UPDATE, Why.PROBE, Why.CARRIER])
def test_agents_are_updated_or_our_way_is_in_trouble(why: Why) -> None:
    rng = Random(3)
    signals = live(everybody(), rng, 4, churn=1.0)
    signals += drop(country(each=3), ONSET + 20, ONSET + 90, rng)
    signals.append(Fault(at(ONSET), at(ONSET + 120), why))
    assert confirmed(watch(signals, UNTIL)) == []


def test_a_fault_that_nobody_declared_is_seen_by_its_being_everywhere() -> None:
    rng = Random(4)
    signals = live(everybody(), rng, 4, churn=1.0)
    signals += drop(everybody(), ONSET, ONSET + 600, rng)
    findings = watch(signals, UNTIL)
    assert findings.incidents == ()
    assert {b.why for b in findings.blind} == {"common_mode"}
    assert {b.country for b in findings.blind} >= {"KZ"}


def test_another_country_cut_at_the_same_hour_is_no_common_fault() -> None:
    cut = Cut(ONSET, END, lambda w: w.place.country in ("KZ", "XA"), 2.0)
    people = country(each=3) + world(5, each=2)
    found = confirmed(watch(live(people, Random(5), 4, cuts=[cut]), UNTIL))
    assert {i.scope for i in found} == {Scope("KZ"), Scope("XA")}


def test_an_edge_fails_for_one_country() -> None:
    edge = [w for w in country(each=3) if w.place.asn != 203]
    edge = [Witness(w.nym, w.prefix, w.place, w.first_us, "edge-1") for w in edge]
    direct = people(Place("KZ", "ALA", 203, "fixed"), 6) + people(Place("KZ", "", 101, ""), 4)
    rng = Random(6)
    signals = live(edge + direct + world(), rng, 4, churn=1.0)
    signals += drop(edge, ONSET, END, rng)
    assert confirmed(watch(signals, UNTIL)) == []


def _power_cut() -> tuple[Signals, list[Witness]]:
    """All fixed lines of one city; phones have batteries."""
    rng = Random(11)
    city = [w for w in country(each=3) if w.place.region == "ALA" and w.place.access == "fixed"]
    signals = live(everybody(), rng, 4, churn=1.0)
    return signals + drop(city, ONSET, END, rng), city


def test_a_city_without_power_is_suspected_and_no_alarm() -> None:
    signals, _ = _power_cut()
    (incident,) = watch(signals, at(ONSET + 1_800)).incidents
    assert incident.state is State.SUSPECTED
    assert incident.held == ("power",)
    (incident,) = watch(signals, UNTIL).incidents
    assert incident.state is State.WITHDRAWN


@pytest.mark.parametrize(("alive", "state"), [(True, State.CONFIRMED), (False, State.WITHDRAWN)])
def test_word_from_the_dark_decides_about_the_power(alive: bool, state: State) -> None:
    signals, city = _power_cut()
    signals = [s for s in signals if s.at_us < at(END)]
    signals += [Arrival(at(END - 60 + i), w) for i, w in enumerate(city[:4])]
    signals += [Replay(at(END - 30), w.nym, at(ONSET), at(END - 60), alive) for w in city[:4]]
    (incident,) = watch(signals, at(END)).incidents
    assert incident.state is state


def test_one_big_wifi_is_one_voter() -> None:
    rng = Random(12)
    hall = people(Place("KZ", "ALA", 201, "fixed"), 80, prefix="hall")
    signals = live(everybody() + hall, rng, 4, churn=1.0) + drop(hall, ONSET, END, rng)
    assert watch(signals, UNTIL).incidents == ()


def test_a_prefix_moves() -> None:
    rng = Random(13)
    moving = [w for w in country(each=3) if w.place.asn == 201]
    signals = live(everybody(), rng, 4, churn=1.0)
    for w in moving:  # heard again from the new one in half a minute
        heard = ONSET - rng.uniform(0, 15)
        signals.append(Lost(at(heard + 37.5), w.nym, at(heard)))
        moved = Witness(w.nym, f"new-{w.prefix}", w.place, w.first_us)
        signals.append(Arrival(at(heard + 38 + rng.uniform(0, 12)), moved))
    assert confirmed(watch(signals, UNTIL)) == []


def test_half_a_country_goes_to_sleep() -> None:
    rng = Random(14)
    signals = live(everybody(), rng, 4, churn=1.0)
    signals += [Goodbye(at(ONSET + rng.uniform(0, 30)), w.nym) for w in country(each=3)[::2]]
    assert watch(signals, UNTIL).incidents == ()


def _s(at_us: int) -> float:
    return (at_us - at(0)) / 1e6


@pytest.mark.parametrize("seed", [*SPREADING, *range(4)])
@pytest.mark.parametrize("spread_s", [20.0, 30.0])
def test_a_fault_of_ours_that_nobody_declared_and_that_spreads(seed: int, spread_s: float) -> None:
    """Country after country goes within half a minute, each in a moment."""
    rng = Random(seed)
    signals = live(everybody(), rng, 4)
    for code in ("KZ", "XA", "XB", "XC", "XD"):
        since = ONSET + rng.uniform(0, spread_s)
        here = [w for w in everybody() if w.place.country == code]
        signals += drop(here, since, since + 600, rng)
    assert confirmed(watch(signals, UNTIL)) == []


@pytest.mark.parametrize("seed", range(4))
def test_one_country_does_not_wait_for_another_that_is_cut_too(seed: int) -> None:
    """Nor does a third in the same minute hide it: where most live on it waits, and is told."""
    rng = Random(seed)
    vantages = country(each=3) + world(8)
    for codes, within_s in ((("KZ",), 60), (("KZ", "XA"), 60), (("KZ", "XA", "XB"), 130)):
        signals = live(vantages, rng, 4)
        signals += drop([w for w in vantages if w.place.country in codes], ONSET, END, rng)
        found = {i.scope: i.confirmed_us or 0 for i in confirmed(watch(signals, UNTIL))}
        assert set(found) == {Scope(code) for code in codes}
        assert max(found.values()) - at(ONSET) <= within_s * 1_000_000
