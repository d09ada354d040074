"""Disco: the automaton against all paths, polls and bursts against known answers."""

import math
from collections.abc import Sequence
from itertools import pairwise, product
from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_collector.sources.replay import Replay, Signal
from heliograph_lab.evaluate.baselines.disco import (
    Automaton,
    Burst,
    bursts_in,
    cheapest_path,
    disco,
    disco_fitted,
    state_count,
)

CUT_S = 10_000
CELLS = [Scope("KZ"), Scope("KZ", region="ALA"), Scope("KZ", asn=101)]


def at(seconds: float) -> int:
    return round(seconds * SECOND_US)


def probes(n: int, region: str = "ALA", asn: int = 101) -> list[VantageArrival]:
    names = [f"{region}{asn}-{i}" for i in range(n)]
    place = VantageLocation("KZ", region, asn)
    return [VantageArrival(0, VantageRef(name, name, place)) for name in names]


def lost(arrival: VantageArrival, seconds: float) -> VantageLoss:
    return VantageLoss(at(seconds), arrival.witness.nym, at(seconds - 37.5))


def replay(*signals: Signal, until_s: float = 30_000) -> Replay:
    return Replay("made", 0, 0, at(until_s), sorted(signals, key=lambda s: s.at_us), (), (), ())


@pytest.mark.parametrize("apart_s", [0, 1])
def test_a_cut_is_told_at_the_next_poll_and_once(apart_s: int) -> None:
    """Equal times are spread over their second."""
    here = probes(12)
    gone = [lost(a, CUT_S + apart_s * i) for i, a in enumerate(here)]
    made = disco(replay(*here, *gone))
    assert {a.at_us for a in made} == {at(10_200)}  # the first multiple of 600 s after it
    assert [a.scope for a in made] == CELLS
    assert made[0].started == (at(CUT_S - 37.5), at(CUT_S + 11 * apart_s))
    assert made[0].ended_at_us is None


def test_it_is_over_at_the_poll_that_shows_half_of_them_back() -> None:
    here = probes(12)
    gone = [lost(a, CUT_S + i) for i, a in enumerate(here)]
    back = [VantageArrival(at(13_000 + 600 * i), a.witness) for i, a in enumerate(here)]
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


def path_cost(gaps: Sequence[float], path: Sequence[int], automaton: Automaton) -> float:
    climbs = sum(max(0, after - before) for before, after in pairwise([0, *path]))
    return climbs * automaton.climb + sum(map(automaton.gap_cost, path, gaps))


@pytest.mark.parametrize("seed", range(60))
def test_no_other_way_through_the_states_is_cheaper(seed: int) -> None:
    rng = Random(seed)
    automaton = Automaton(
        rate=1 / rng.uniform(50, 500), climb=rng.choice([0.0, 0.3, 1.0, 3.0]),
        s=rng.choice([1.5, 2.0, 3.0]), states=rng.choice([2, 3, 4]),
    )  # fmt: skip
    gaps = [rng.expovariate(1 / rng.choice([2, 40, 300])) + 1e-3 for _ in range(6)]
    paths = product(range(automaton.states), repeat=len(gaps))
    least = min(path_cost(gaps, path, automaton) for path in paths)
    path = cheapest_path(gaps, automaton)
    assert len(path) == len(gaps)
    assert math.isclose(path_cost(gaps, path, automaton), least, rel_tol=1e-9, abs_tol=1e-9)


def test_a_burst_amid_the_usual_is_in_a_higher_state_and_the_usual_is_not() -> None:
    automaton = Automaton(rate=1 / 600, climb=0.5 * math.log(20), states=20)
    path = cheapest_path([700.0, 500.0, *[2.0] * 10, 650.0], automaton)
    assert path[:2] == [0, 0]
    assert path[-1] == 0
    assert {7, 8, 9} >= set(path[2:-1])  # 2^8 events in 600 s are one in 2.3 s
    dear = Automaton(rate=1 / 600, climb=5.0, states=10)
    assert cheapest_path([600.0, 100.0, 600.0], dear) == [0, 0, 0], "one close pair is not worth it"


def test_bursts_are_stretches_of_a_level_or_above() -> None:
    assert bursts_in([0, 3, 4, 3, 0, 3], 3) == [Burst(3, 1, 4), Burst(3, 5, 6)]
    assert bursts_in([0, 1], 3) == []
    assert bursts_in([], 1) == []


def test_as_many_states_as_can_pay() -> None:
    assert state_count(1_024, 1.0, 2.0) == 11
    assert state_count(1e30, 1e-9, 2.0) == 48  # and no more than anybody needs
