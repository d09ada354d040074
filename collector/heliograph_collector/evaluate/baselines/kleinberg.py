"""Kleinberg's automaton: the cheapest way to explain gaps between events by states of haste.

State i sends events at rate s^i times the usual one. A gap x costs -ln(rate e^(-rate x)) in its
state; each step up costs gamma ln n, steps down are free. J. Kleinberg, "Bursty and hierarchical
structure in streams", KDD 2002, section 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_MOST_STATES = 48


@dataclass(frozen=True, slots=True)
class Automaton:
    """`rate`: usual events a second; `climb`: what each step up costs, in nats."""

    rate: float
    climb: float
    s: float = 2.0
    states: int = 2

    def gap(self, state: int, seconds: float) -> float:
        """What a gap costs in a state."""
        rate = self.rate * self.s**state
        return rate * seconds - math.log(rate)

    def move(self, before: int, after: int) -> float:
        return max(0, after - before) * self.climb


@dataclass(frozen=True, slots=True)
class Burst:
    """Events `first` to `last`, both in it, at this state or above."""

    level: int
    first: int
    last: int


def states_for(span_s: float, least_gap_s: float, s: float) -> int:
    """As many as can ever pay: ceil(1 + log_s T + log_s (1 / shortest gap))."""
    wanted = math.ceil(1 + math.log(span_s, s) + math.log(1 / least_gap_s, s))
    return min(_MOST_STATES, max(1, wanted))


def cheapest(gaps: Sequence[float], automaton: Automaton) -> list[int]:
    """One state per gap, of the least cost in all (Viterbi); it begins in state 0."""
    costs = [0.0] + [math.inf] * (automaton.states - 1)
    ways: list[list[int]] = []
    for seconds in gaps:
        came, moved = _moves(costs, automaton)
        costs = [cost + automaton.gap(state, seconds) for state, cost in enumerate(moved)]
        ways.append(came)
    path: list[int] = []
    state = min(range(len(costs)), key=costs.__getitem__)
    for came in reversed(ways):
        path.append(state)
        state = came[state]
    return path[::-1]


def _moves(costs: Sequence[float], automaton: Automaton) -> tuple[list[int], list[float]]:
    """For each state the one to come from, and what it has cost: in one pass up, one down."""
    came, moved = list(range(len(costs))), list(costs)
    for state in range(1, len(costs)):
        if moved[state - 1] + automaton.climb < moved[state]:
            came[state], moved[state] = came[state - 1], moved[state - 1] + automaton.climb
    for state in range(len(costs) - 2, -1, -1):
        if moved[state + 1] < moved[state]:
            came[state], moved[state] = came[state + 1], moved[state + 1]
    return came, moved


def total(gaps: Sequence[float], path: Sequence[int], automaton: Automaton) -> float:
    """What a way through the states costs."""
    moves = sum(automaton.move(before, after) for before, after in pairwise([0, *path]))
    return moves + sum(automaton.gap(state, gap) for state, gap in zip(path, gaps, strict=True))


def bursts(path: Sequence[int], level: int) -> list[Burst]:
    """Stretches of gaps in this state or above; gap i lies between events i and i + 1."""
    found: list[Burst] = []
    first: int | None = None
    for gap, state in enumerate([*path, -1]):
        if state >= level and first is None:
            first = gap
        elif state < level and first is not None:
            found.append(Burst(level, first, gap))
            first = None
    return found
