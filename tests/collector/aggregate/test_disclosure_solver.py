"""Solve for hidden cells of small worlds by integer programming over all answers.

The adversary of `support.cell_solver` knows the code, owns up to k - 1 persons of a cell, and
compares two moments between which fewer than k came or went. Of each cell of few it computes the
least and the most persons. A cell is recovered if it cannot be empty (existence, without which
there is no verdict) or if only one number fits (count). A world with that cell empty is then
published by the real code, so a model that allows too much would fail.
"""

import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from random import Random

import pytest
from msgspec import structs

from heliograph_collector.aggregate.bands import band_bounds
from heliograph_collector.aggregate.disclosure import Disclosure
from heliograph_collector.aggregate.rollup import blank_cell, roll_up
from heliograph_collector.aggregate.vote_counts import CellKey
from heliograph_collector.model.records import VerdictState
from support.fake_feed import BIN_US, vote
from support.small_worlds import NOON_US

if importlib.util.find_spec("scipy") is None:
    pytest.skip("the adversary solves by scipy.optimize.milp", allow_module_level=True)
from support.cell_solver import (
    OTHERS,
    WHOLE,
    Answers,
    Moment,
    Place,
    Program,
    start_moment,
)

K = 5
WORLDS = int(os.environ.get("HELIOGRAPH_DISCLOSURE_WORLDS", "4"))
DISCLOSURE = Disclosure(K, {"telegram"}, NOON_US + 12 * BIN_US)
REGIONS = ("", "ALA", "AST")
SCOPES = list(product((0, 1, 2, 3), REGIONS))  # that a reader asks for
PLACES = list(product((1, 2, 3, 999), (*REGIONS, "KZ-99")))  # where people may be
TRIES = 8  # worlds that the adversary tries to publish, of those that have a cell's least
People = Mapping[Place, int]
Hidden = frozenset[Place]  # a cell of few, or several that are few together


@dataclass(frozen=True)
class Published:
    """All public counts of one moment: of every scope, and of the daily file's rows."""

    scopes: Answers
    atoms: Answers


def publish(people: People) -> Published:
    """Publish by the real code."""
    votes = [
        structs.replace(
            vote(f"{place}{n}", VerdictState.REACHABLE, NOON_US, asn=place[0]), region=place[1]
        )
        for place, count in people.items()
        for n in range(count)
    ]
    cells = roll_up(votes, [], NOON_US, NOON_US + BIN_US, 300)
    scopes = {}
    for asn, region in SCOPES:
        key = CellKey("KZ", region, asn, "", "telegram")
        merged = [name for name, value in key._asdict().items() if not value]
        (row,) = DISCLOSURE.release_series(blank_cell(key, 300), cells, [NOON_US], merged)
        scopes[asn, region] = to_band(row.vantages)
    atoms = {(a.asn or OTHERS, a.region): to_band(a.vantages) for a in DISCLOSURE.release(cells)}
    return Published(scopes, atoms)


def publish_by_scope(people: People) -> Published:
    """Publish as if each scope had a separate threshold, with exact numbers."""
    return Published(
        {s: (n, n) if (n := sum_scope(people, s)) >= K else (0, K - 1) for s in SCOPES}, {}
    )


def publish_whole_country(people: People) -> Published:
    """Publish atoms, but everybody in the whole country's number."""
    published = publish(people)
    total = sum(people.values())
    return replace(published, scopes={**published.scopes, (0, ""): (total, total)})


def sum_scope(people: People, scope: Place) -> int:
    asn, region = scope
    return sum(n for (a, r), n in people.items() if asn in (0, a) and region in ("", r))


def to_band(count: int) -> tuple[int, int]:
    low, high = band_bounds(count, K)
    return low, WHOLE if high is None else high


def read_atoms(moment: Moment, published: Published) -> None:
    moment.read_atoms(published.scopes, published.atoms)


def read_scopes(moment: Moment, published: Published) -> None:
    moment.read_sums(published.scopes)


def read_whole_country(moment: Moment, published: Published) -> None:
    scopes = dict(published.scopes)
    moment.read_sums({(0, ""): scopes.pop((0, ""))})
    moment.read_atoms(scopes, published.atoms)


@dataclass(frozen=True)
class Feed:
    """The publication of the people of a moment, and the adversary's reading of it."""

    publish: Callable[[People], Published]
    read: Callable[[Moment, Published], None]


ATOMS = Feed(publish, read_atoms)
BY_SCOPE = Feed(publish_by_scope, read_scopes)
WHOLE_COUNTRY = Feed(publish_whole_country, read_whole_country)


class Solver:
    """One adversary against one world, at two moments."""

    def __init__(self, feed: Feed, moments: Sequence[People], own: People, random: Random) -> None:
        self.program = Program()
        self.own = own
        self._feed = feed
        self._published = [feed.publish(people) for people in moments]
        self._random = random
        self._moments = [start_moment(self.program, PLACES, own, K) for _ in moments]
        for moment, published in zip(self._moments, self._published, strict=True):
            feed.read(moment, published)
        for first, last in pairwise(moment.people for moment in self._moments):
            changes = [self.program.add_variable(0, K - 1) for _ in (*PLACES, *PLACES)]
            self.program.add_row(dict.fromkeys(changes, 1), high=K - 1)  # few come or go
            for place, come, gone in zip(PLACES, changes[::2], changes[1::2], strict=True):
                self.program.add_row({last[place]: 1, first[place]: -1, come: -1, gone: 1}, 0, 0)

    def find_bounds(self, hidden: Hidden) -> tuple[int, int]:
        """Find the least and the most others in these places at the last moment."""
        inside = [self._moments[-1].people[place] for place in hidden]
        worlds = [self.program.solve(dict.fromkeys(inside, sign)) for sign in (1, -1)]
        least, most = (sum(world[v] for v in inside) if world else -1 for world in worlds)
        own = sum(self.own.get(place, 0) for place in hidden)
        return least - own, most - own

    def is_proven(self, hidden: Hidden) -> bool:
        """Return whether the real code publishes the same for a world without the others."""
        for _ in range(TRIES):
            variables = [v for moment in self._moments for v in moment.people.values()]
            goal = {variable: self._random.uniform(-1, 3) for variable in variables}
            goal |= {self._moments[-1].people[place]: 1_000 for place in hidden}
            world = self.program.solve(goal)
            if world is None:
                return False
            moments = [{at: world[v] for at, v in m.people.items()} for m in self._moments]
            if self._published == [self._feed.publish(people) for people in moments]:
                return all(moments[-1][at] == self.own.get(at, 0) for at in hidden)
        return False

    def list_recovered(self, few: Iterable[Hidden]) -> list[Hidden]:
        recovered = []
        for hidden in few:
            least, most = self.find_bounds(hidden)
            if least > 0 or most <= least or not self.is_proven(hidden):
                recovered.append(hidden)
        return recovered


def draw_world(random: Random) -> tuple[list[dict[Place, int]], dict[Place, int]]:
    """Draw the people of two moments, and the adversary's own among them."""
    places = random.sample(list(product((1, 2, 3), REGIONS)), random.randint(2, 5))
    people = {place: random.choice((1, 2, 3, 4, 5, 6, 9)) for place in places}
    own = {places[0]: random.randint(1, K - 1)}
    people[places[0]] = own[places[0]] + random.randint(0, 2)
    later = dict(people)
    for place in random.choices(places, k=random.randint(0, K - 1)):
        later[place] += 1
    return [people, later], own


def list_few(people: People, own: People, feed: Feed) -> list[Hidden]:
    """List the cells of few: of each scope, and the rests beside the public ones."""
    scopes = feed.publish(people).scopes
    shown = {scope for scope, (least, _) in scopes.items() if least >= K}
    cells = {
        frozenset(at for at in PLACES if asn in (0, at[0]) and region in ("", at[1]))
        for asn, region in SCOPES
    }
    cells |= {frozenset({(asn, "")}) for asn, _ in SCOPES if asn}  # who declares no region
    cells |= {
        frozenset(at for at in PLACES if at[0] == asn and (not at[1] or at not in shown))
        for asn in (1, 2, 3)
    }
    cells.add(frozenset(at for at in PLACES if (at[0], "") not in shown))
    return [
        cell
        for cell in sorted(cells, key=sorted)
        if sum(own.get(at, 0) for at in cell) < sum(people.get(at, 0) for at in cell) < K
    ]


@pytest.mark.long
def test_the_solver_recovers_nothing_from_atoms() -> None:
    few_count = 0
    recovered = []
    for seed in range(WORLDS):
        random = Random(seed)
        moments, own = draw_world(random)
        few = list_few(moments[-1], own, ATOMS)
        few_count += len(few)
        found = Solver(ATOMS, moments, own, random).list_recovered(few)
        recovered += [(seed, sorted(hidden), moments) for hidden in found]
    print(f"{len(recovered)} of {few_count} cells of few are recovered, in {WORLDS} worlds")
    assert few_count >= WORLDS // 2
    assert recovered == []


@pytest.mark.parametrize(
    ("feed", "people"),
    [
        pytest.param(BY_SCOPE, {(1, "ALA"): 5, (1, "AST"): 1}, id="a threshold for each scope"),
        pytest.param(WHOLE_COUNTRY, {(1, "ALA"): 9, (2, "AST"): 4}, id="everybody in the country"),
    ],
)
def test_the_solver_recovers_cells_from_feeds_that_leak(feed: Feed, people: People) -> None:
    few = list_few(people, {}, feed)
    solver = Solver(feed, [people], {}, Random(1))
    assert max(solver.find_bounds(hidden)[0] for hidden in few) > 0
    assert solver.list_recovered(few) != []
    few = list_few(people, {}, ATOMS)
    assert few != []
    assert Solver(ATOMS, [people], {}, Random(1)).list_recovered(few) == []
