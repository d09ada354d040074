"""Crowded, returning or new liars neither raise nor hide an incident.

That a third in two networks cannot is shown from journal to log in app/test_collusion_live.py.
"""

from random import Random

import pytest

from heliograph.units import DAY_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    ServiceVote,
    VantageArrival,
    VantageLocation,
    VantageRef,
    VoteValue,
)
from support.examples import draw_seeds
from support.presence_model import (
    KZ,
    OLD_US,
    Cut,
    Signals,
    at,
    confirmed,
    drop,
    live,
    two_networks,
    world,
)

ONSET, END = 7_200.0, 10_800.0
CUTS = [Cut(ONSET, END, KZ, 2.0)]
SEEDS = draw_seeds(3)


def detect(signals: Signals) -> list[Incident]:
    return confirmed(detect_silence(signals, at(4 * 3_600)).incidents)


def present(vantages: list[VantageRef]) -> Signals:
    return [VantageArrival(at(0), w) for w in vantages]


def newcomers(count: int, prefixes: int, first_us: int) -> list[VantageRef]:
    places = [VantageLocation("KZ", "ALA", asn, "fixed") for asn in (1, 2)]
    return [VantageRef(f"s{i}", f"p{i % prefixes}", places[i % 2], first_us) for i in range(count)]


def lying_votes(liars: list[VantageRef], honest: list[VantageRef]) -> list[ServiceVote]:
    """Return a vote a minute: half an hour of calm, then an hour of lies."""
    rng = Random(3)
    votes = []
    for vantage in [*liars, *honest, *world(2)]:
        start_s = rng.uniform(0, 60)
        for minute in range(90):
            is_lie = minute >= 30 and vantage in liars
            value = VoteValue.BLOCKED if is_lie else VoteValue.GOOD
            now = at(start_s + 60 * minute)
            votes.append(ServiceVote(now, vantage, "signal", value, "tls", "reset"))
    return votes


@pytest.mark.parametrize("seed", SEEDS)
def test_liars_who_are_most_of_a_cell_do_not_make_it_a_country(seed: int) -> None:
    """Liars who are most of a cell do not make it a country.

    Three fifths of a cell decide about it; a country is more than that.
    """
    rng = Random(seed)
    honest, colluding = two_networks(rng)
    mixed = [*honest, *colluding]
    rng.shuffle(mixed)  # a third of the country wherever chance puts them
    honest, colluding = mixed[18:], mixed[:18]
    signals = live(honest + world(), rng, 4) + present(colluding)
    incidents = detect(signals + drop(colluding, ONSET, rng))
    incidents += detect_blocking(lying_votes(colluding, honest), at(0), at(5_400))
    assert all(part.scope.region for incident in incidents for part in incident.parts)


@pytest.mark.parametrize("seed", SEEDS)
def test_liars_who_come_and_go_do_not_hide_a_cut(seed: int) -> None:
    rng = Random(seed)
    honest, colluding = two_networks(rng)
    signals = live(honest + world(), rng, 4, cuts=CUTS)
    (incident,) = detect(signals + live(colluding, rng, 2, churn=400.0))
    assert incident.scope == Scope("KZ")


@pytest.mark.parametrize("seed", SEEDS)
def test_crowd_of_new_vantages_neither_raises_nor_hides_a_cut(seed: int) -> None:
    rng = Random(seed)
    honest, _ = two_networks(rng)
    crowd = newcomers(100, 25, at(0) - 9 * DAY_US)
    quiet = live(honest + world(), rng, 4)
    assert detect([*quiet, *present(crowd), *drop(crowd, ONSET, rng)]) == []
    (incident,) = detect([*live(honest + world(), rng, 4, cuts=CUTS), *present(crowd)])
    assert incident.scope == Scope("KZ")


YOUNG_COUNTRY = 2 * DAY_US, ["suspected"]
TWO_HOURS = DAY_US // 12, list[str]()


@pytest.mark.parametrize(("age_us", "states"), [TWO_HOURS, YOUNG_COUNTRY])
def test_keys_without_age_confirm_nothing_where_nobody_is_older(
    age_us: int, states: list[str]
) -> None:
    """In a country that has just begun to measure, everybody is as young as the liars."""
    rng = Random(1)
    crowd = newcomers(100, 25, at(ONSET) - age_us)
    signals = live(world(), rng, 4) + present(crowd) + drop(crowd, ONSET, rng)
    found = detect_silence(signals, at(ONSET + 900)).incidents
    assert [i.state for i in found if i.scope.country == "KZ"] == states
    assert all(i.confidence <= 0.5 for i in found)
    votes = lying_votes(crowd, [])
    found = detect_blocking(votes, at(0), at(2_700))
    assert [i.state for i in found] == states
    assert all(i.confidence <= 0.5 for i in found)


def test_new_keys_abroad_do_not_explain_a_cut_away() -> None:
    rng = Random(1)
    honest, _ = two_networks(rng)
    crowd = [
        VantageRef(f"s{i}", f"p{i}", VantageLocation(f"Y{i % 5}", "", 1, "fixed"), at(0))
        for i in range(200)
    ]
    signals = live(honest + world(), rng, 4, cuts=CUTS) + present(crowd)
    (incident,) = detect(signals + drop(crowd, ONSET, rng))
    assert incident.scope == Scope("KZ")


def test_new_keys_inside_do_not_end_a_cut() -> None:
    rng = Random(1)
    honest, _ = two_networks(rng)
    signals = live(honest + world(), rng, 4, cuts=CUTS)
    late = newcomers(300, 300, at(0) - 2 * DAY_US)
    signals += [VantageArrival(at(ONSET + 600), w) for w in late]
    (incident,) = confirmed(detect_silence(signals, at(END - 60)).incidents)
    assert incident.closed_us is None


def test_two_hundred_vantages_of_one_prefix_are_one_vote() -> None:
    rng = Random(1)
    honest, _ = two_networks(rng)
    crowd = newcomers(200, 1, OLD_US)
    signals = live(honest + world(), rng, 4) + present(crowd)
    assert detect(signals + drop(crowd, ONSET, rng)) == []
