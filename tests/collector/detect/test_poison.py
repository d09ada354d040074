"""A third of the established vantages in two networks can neither raise nor hide an incident."""

from random import Random

import pytest

from heliograph_collector.detect import Incident, watch
from heliograph_collector.detect.blocking.detector import reach
from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import DAY_US, Arrival, Lost, Opinion, Place, Witness
from heliograph_collector.model.signals import Standing as Says
from support.dark_world import KZ, OLD_US, Cut, Signals, at, live, two_networks, world

ONSET, END = 7_200.0, 10_800.0
SEEDS = range(3)


def anybody(rng: Random) -> tuple[list[Witness], list[Witness]]:
    """The same, but a third of the country wherever chance puts them: most of a small cell, say."""
    honest, colluding = two_networks(rng)
    mixed = [*honest, *colluding]
    rng.shuffle(mixed)
    return mixed[18:], mixed[:18]


def confirmed(signals: Signals) -> list[Incident]:
    return [i for i in watch(signals, at(4 * 3_600)).incidents if i.confirmed_us is not None]


def hush(witnesses: list[Witness], rng: Random) -> Signals:
    return [
        Lost(at(ONSET + 37.5 - d), w.nym, at(ONSET - d))
        for w in witnesses
        for d in [rng.uniform(0, 15)]
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_they_cannot_raise_a_silence(seed: int) -> None:
    rng = Random(seed)
    honest, colluding = two_networks(rng)
    signals = live(honest + world(), rng, 4)
    signals += [Arrival(at(0), w) for w in colluding]
    assert confirmed(signals + hush(colluding, rng)) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_where_they_crowd_into_a_cell_they_do_not_make_it_a_country(seed: int) -> None:
    """Who holds three fifths of a cell speaks for it; a country is more than that."""
    rng = Random(seed)
    honest, colluding = anybody(rng)
    signals = live(honest + world(), rng, 4)
    signals += [Arrival(at(0), w) for w in colluding]
    raised = confirmed(signals + hush(colluding, rng))
    assert all(p.scope.region for i in raised for p in i.parts)
    told = reach(opinions(colluding, honest, Says.BLOCKED, Says.GOOD), at(0), at(5_400))
    assert all(p.scope.region for i in told for p in i.parts)


@pytest.mark.parametrize("seed", SEEDS)
def test_they_cannot_hide_a_silence(seed: int) -> None:
    rng = Random(seed)
    honest, colluding = two_networks(rng)
    signals = live(honest + world(), rng, 4, cuts=[Cut(ONSET, END, KZ, 2.0)])
    signals += [Arrival(at(0), w) for w in colluding]  # and never a word of silence
    (incident,) = confirmed(signals)
    assert incident.scope == Scope("KZ")
    assert (incident.confirmed_us or 0) <= at(ONSET + 75)


@pytest.mark.parametrize("seed", SEEDS)
def test_they_cannot_make_a_country_numb_by_coming_and_going(seed: int) -> None:
    rng = Random(seed)
    honest, colluding = two_networks(rng)
    signals = live(honest + world(), rng, 4, cuts=[Cut(ONSET, END, KZ, 2.0)])
    signals += live(colluding, rng, 2, churn=400.0)
    (incident,) = confirmed(signals)
    assert incident.scope == Scope("KZ")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crowd_of_new_ones_neither_raises_nor_hides(seed: int) -> None:
    rng = Random(seed)
    honest, _ = two_networks(rng)
    young = at(0) - 9 * DAY_US
    crowd = [
        Witness(f"s{i}", f"p{i % 25}", Place("KZ", "ALA", 1 + i % 2, "fixed"), young)
        for i in range(100)
    ]
    there: Signals = [Arrival(at(0), w) for w in crowd]
    quiet = live(honest + world(), rng, 4)
    assert confirmed([*quiet, *there, *hush(crowd, rng)]) == []
    cut = live(honest + world(), rng, 4, cuts=[Cut(ONSET, END, KZ, 2.0)])
    (incident,) = confirmed([*cut, *there])
    assert incident.scope == Scope("KZ")


def test_one_network_prefix_is_one_vote_however_often_it_speaks() -> None:
    rng = Random(1)
    honest, _ = two_networks(rng)
    house = [Witness(f"h{i}", "house", Place("KZ", "ALA", 1, "fixed"), OLD_US) for i in range(200)]
    signals = live(honest + world(), rng, 4)
    signals += [Arrival(at(0), w) for w in house]
    assert confirmed(signals + hush(house, rng)) == []


def opinions(liars: list[Witness], truth: list[Witness], lie: Says, true: Says) -> list[Opinion]:
    """Everybody every minute for half an hour of calm, then for an hour of what is said here."""
    rng = Random(3)
    found = []
    for w in [*liars, *truth, *world(2)]:
        late = lie if w in liars else true if w in truth else Says.GOOD
        start = rng.uniform(0, 60)
        for minute in range(90):
            standing = Says.GOOD if minute < 30 else late
            found.append(Opinion(at(start + 60 * minute), w, "signal", standing, "tls", "reset"))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_they_cannot_raise_a_block(seed: int) -> None:
    honest, colluding = two_networks(Random(seed))
    told = reach(opinions(colluding, honest, Says.BLOCKED, Says.GOOD), at(0), at(5_400))
    assert [i for i in told if i.confirmed_us is not None] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_they_cannot_hide_a_block(seed: int) -> None:
    honest, colluding = two_networks(Random(seed))
    (incident,) = reach(opinions(colluding, honest, Says.GOOD, Says.BLOCKED), at(0), at(5_400))
    assert incident.confirmed_us is not None
    assert incident.scope == Scope("KZ")
    assert incident.confirmed_us <= at(1_800 + 300)
