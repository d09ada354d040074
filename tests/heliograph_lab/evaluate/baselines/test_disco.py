"""Disco's polls and bursts, on disconnects whose right answer is known."""

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import SECOND_US, Arrival, Lost, Place, Witness
from heliograph_collector.sources.replay import Replay, Signal
from heliograph_lab.evaluate.baselines import disco, disco_fitted

CUT_S = 10_000


def at(seconds: float) -> int:
    return round(seconds * SECOND_US)


def probes(n: int, region: str = "ALA", asn: int = 101) -> list[Arrival]:
    return [
        Arrival(0, Witness(f"{region}{asn}-{i}", f"{region}{asn}-{i}", Place("KZ", region, asn)))
        for i in range(n)
    ]


def lost(arrival: Arrival, seconds: float) -> Lost:
    return Lost(at(seconds), arrival.witness.nym, at(seconds - 37.5))


def replay(*signals: Signal, until_s: float = 30_000) -> Replay:
    return Replay("made", 0, 0, at(until_s), sorted(signals, key=lambda s: s.at_us), (), (), ())


def test_a_cut_is_told_at_the_next_poll_and_once() -> None:
    here = probes(12)
    gone = [lost(a, CUT_S + i) for i, a in enumerate(here)]
    made = disco(replay(*here, *gone))
    assert {a.at_us for a in made} == {at(10_200)}  # the first multiple of 600 s after it
    assert [a.scope for a in made] == [
        Scope("KZ"),
        Scope("KZ", region="ALA"),
        Scope("KZ", asn=101),
    ]
    assert made[0].started == (at(CUT_S - 37.5), at(CUT_S + 11))
    assert made[0].ended_at_us is None


def test_it_is_over_at_the_poll_that_shows_half_of_them_back() -> None:
    here = probes(12)
    gone = [lost(a, CUT_S + i) for i, a in enumerate(here)]
    back = [Arrival(at(13_000 + 600 * i), a.witness) for i, a in enumerate(here)]
    made = disco(replay(*here, *gone, *back))
    assert {a.ended_at_us for a in made} == {at(16_200)}  # the sixth is back at 16,000
    assert made[0].ended == (at(13_000), at(16_000))


def test_four_disconnects_are_too_few_and_so_is_a_stream_of_four_probes() -> None:
    many, few = probes(12), probes(4, "AST", 202)
    assert disco(replay(*many, *[lost(a, CUT_S + i) for i, a in enumerate(many[:4])])) == []
    made = disco(replay(*many, *few, *[lost(a, CUT_S + i) for i, a in enumerate([*few, many[0]])]))
    assert [a.scope for a in made] == [Scope("KZ")]


def test_a_day_of_single_losses_is_no_burst() -> None:
    here = probes(12)
    alone = [lost(here[i % 12], 3_600 * (i + 1)) for i in range(24)]
    assert disco(replay(*here, *alone, until_s=90_000)) == []


def test_at_the_published_rate_machines_that_come_and_go_are_bursts() -> None:
    """Five of 40 within two minutes: 11 states above one disconnect in 100 days each."""
    here = probes(40)
    chance = [lost(here[i], CUT_S + 30 * i) for i in range(5)]
    assert disco(replay(*here, *chance)) != []
    assert disco_fitted(replay(*here, *chance)) == []


def test_equal_times_are_spread_over_their_second() -> None:
    here = probes(12)
    made = disco(replay(*here, *[lost(a, CUT_S) for a in here]))
    assert {a.scope for a in made} == {
        Scope("KZ"),
        Scope("KZ", region="ALA"),
        Scope("KZ", asn=101),
    }
