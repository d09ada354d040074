"""The automaton against every way there is, and against a burst that anybody can see."""

import math
from itertools import product
from random import Random

import pytest

from heliograph_lab.evaluate.baselines.disco import (
    Automaton,
    Burst,
    bursts,
    cheapest,
    states_for,
    total,
)


@pytest.mark.parametrize("seed", range(60))
def test_no_other_way_through_the_states_is_cheaper(seed: int) -> None:
    rng = Random(seed)
    automaton = Automaton(
        rate=1 / rng.uniform(50, 500),
        climb=rng.choice([0.0, 0.3, 1.0, 3.0]),
        s=rng.choice([1.5, 2.0, 3.0]),
        states=rng.choice([2, 3, 4]),
    )
    gaps = [rng.expovariate(1 / rng.choice([2, 40, 300])) + 1e-3 for _ in range(6)]
    least = min(
        total(gaps, path, automaton) for path in product(range(automaton.states), repeat=len(gaps))
    )
    path = cheapest(gaps, automaton)
    assert len(path) == len(gaps)
    assert math.isclose(total(gaps, path, automaton), least, rel_tol=1e-9, abs_tol=1e-9)


def test_a_burst_amid_the_usual_is_in_a_higher_state_and_the_usual_is_not() -> None:
    automaton = Automaton(rate=1 / 600, climb=0.5 * math.log(20), states=20)
    path = cheapest([700.0, 500.0, *[2.0] * 10, 650.0], automaton)
    assert path[:2] == [0, 0]
    assert path[-1] == 0
    assert {7, 8, 9} >= set(path[2:-1])  # 2^8 events in 600 s are one in 2.3 s


def test_one_close_pair_is_not_worth_the_climb() -> None:
    automaton = Automaton(rate=1 / 600, climb=5.0, states=10)
    assert cheapest([600.0, 100.0, 600.0], automaton) == [0, 0, 0]


def test_bursts_are_stretches_of_a_level_or_above() -> None:
    assert bursts([0, 3, 4, 3, 0, 3], 3) == [Burst(3, 1, 4), Burst(3, 5, 6)]
    assert bursts([0, 1], 3) == []
    assert bursts([], 1) == []


def test_as_many_states_as_can_pay() -> None:
    assert states_for(1_024, 1.0, 2.0) == 11
    assert states_for(1e30, 1e-9, 2.0) == 48  # and no more than anybody needs
