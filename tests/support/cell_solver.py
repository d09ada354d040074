"""An adversary who computes the people of hidden cells by integer programming.

It knows the code: what is published about the unknown people of each place is written as linear
rows over integers (a product with a switch is three rows), and each public band bounds one of these
sums. The least and the most people that a place can have follow from all answers at once. Its
worlds are those of `aggregate.disclosure`: networks and their regions.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

Place = tuple[int, str]  # ASN, region
Band = tuple[int, int]  # least and most, both inclusive
Answers = Mapping[Place, Band]  # a scope, with 0 and "" for every value
OTHERS = -1  # the network of the small networks together, among atoms
Sum = Mapping[int, int]  # variable → factor

MOST = 12  # persons of a place; more are of no use to the adversary
WHOLE = 12 * 16  # more than all persons together


@dataclass
class Program:
    """Integer variables with bounds, and rows whose sums must lie within a band."""

    lows: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)
    rows: list[tuple[Sum, float, float]] = field(default_factory=list)

    def add_variable(self, low: int, high: int) -> int:
        self.lows.append(low)
        self.highs.append(high)
        return len(self.lows) - 1

    def add_row(self, terms: Sum, low: float = -np.inf, high: float = np.inf) -> None:
        self.rows.append((terms, low, high))

    def add_switch(self, terms: Sum, k: int) -> int:
        """Return the variable that is 1 if the sum is k or more, and 0 if it is less."""
        switch = self.add_variable(0, 1)
        self.add_row(add(terms, {switch: -k}), low=0)
        self.add_row(add(terms, {switch: -WHOLE}), high=k - 1)
        return switch

    def add_product(self, terms: Sum, switch: int, *, value: int = 1) -> Sum:
        """Return a sum that equals `terms` while the switch has this value, else 0."""
        product = self.add_variable(0, WHOLE)
        on = {switch: WHOLE if value else -WHOLE}
        room = 0 if value else WHOLE
        self.add_row(add({product: 1}, negate(on)), high=room)
        self.add_row(add({product: 1}, negate(terms)), high=0)
        self.add_row(add(add({product: 1}, negate(terms)), negate(on)), low=room - WHOLE)
        return {product: 1}

    def solve(self, goal: Mapping[int, float]) -> list[int] | None:
        """Return the variables that minimize the goal; None if no world fits."""
        matrix = np.zeros((len(self.rows), len(self.lows)))
        for number, (terms, _, _) in enumerate(self.rows):
            for variable, factor in terms.items():
                matrix[number, variable] += factor
        costs = np.zeros(len(self.lows))
        for variable, cost in goal.items():
            costs[variable] = cost
        # Here, since each worker imports this file, and one of them solves.
        from scipy.optimize import Bounds, LinearConstraint, milp

        rows = LinearConstraint(matrix, [r[1] for r in self.rows], [r[2] for r in self.rows])
        bounds = Bounds(self.lows, self.highs)
        result = milp(costs, integrality=np.ones(len(costs)), bounds=bounds, constraints=rows)
        return [round(value) for value in result.x] if result.success else None


def add(first: Sum, second: Sum) -> Sum:
    keys = first.keys() | second.keys()
    return {key: first.get(key, 0) + second.get(key, 0) for key in keys}


def negate(terms: Sum) -> Sum:
    return {key: -factor for key, factor in terms.items()}


@dataclass
class Moment:
    """A moment of a feed: its unknown people by place, as variables of the program."""

    program: Program
    people: dict[Place, int]
    k: int

    def read_sums(self, answers: Answers) -> None:
        """Read answers of a feed in which each scope is a sum over everybody in it."""
        for (asn, region), (low, high) in answers.items():
            inside = [v for (a, r), v in self.people.items() if asn in (0, a) and region in ("", r)]
            self.program.add_row(dict.fromkeys(inside, 1), low, high)

    def read_atoms(self, answers: Answers, listed: Answers) -> None:
        """Read answers of a feed in which each scope is a sum of atoms.

        See `aggregate.disclosure`. `listed` are the atoms of the daily file; an atom that is not
        listed is empty.
        """
        atoms = self._build_atoms()
        for place, terms in atoms.items():
            self.program.add_row(terms, *listed.get(place, (0, 0)))
        for (asn, region), (low, high) in answers.items():
            total: Sum = {}
            for (a, r), terms in atoms.items():
                if asn in (0, a) and region in ("", r):
                    total = add(total, terms)
            self.program.add_row(total, low, high)

    def _build_atoms(self) -> dict[Place, Sum]:
        """Build the sum of each atom; networks too small to be listed are network -1."""
        atoms: dict[Place, Sum] = {}
        others: dict[str, Sum] = {}
        for asn in sorted({asn for asn, _ in self.people}):
            regions = {r: {v: 1} for (a, r), v in self.people.items() if a == asn}
            is_large = self.program.add_switch(merge(regions), self.k)
            self._add_group(atoms, asn, regions, is_large)
            for region, terms in regions.items():
                few = self.program.add_product(terms, is_large, value=0)
                others[region] = add(others.get(region, {}), few)
        self._add_group(atoms, OTHERS, others, self.program.add_switch(merge(others), self.k))
        return atoms

    def _add_group(
        self, atoms: dict[Place, Sum], asn: int, regions: Mapping[str, Sum], is_shown: int
    ) -> None:
        """Split a group into regions of k and a rest, as the disclosure does.

        If the rest would be of few, the smallest region of k joins it.
        """
        program = self.program
        named = {region: terms for region, terms in regions.items() if region}
        is_large = {region: program.add_switch(terms, self.k) for region, terms in named.items()}
        joins = {region: program.add_variable(0, 1) for region in named}
        small = merge(regions)
        for region, terms in named.items():
            small = add(small, negate(program.add_product(terms, is_large[region])))
        has_some = program.add_switch(small, 1)
        has_few = add({has_some: 1}, {program.add_switch(small, self.k): -1})
        one_joins = dict.fromkeys(joins.values(), 1)
        program.add_row(add(one_joins, negate(has_few)), high=0)
        rest = program.add_product(merge(regions), is_shown)
        for region, terms in named.items():
            program.add_row({joins[region]: 1, is_large[region]: -1}, high=0)
            program.add_row(add(one_joins, negate(add(has_few, {is_large[region]: 1}))), low=-1)
            for other, larger in named.items():
                if other != region:
                    slack = {joins[region]: -WHOLE, is_large[other]: -WHOLE}
                    program.add_row(add(add(larger, negate(terms)), slack), low=-2 * WHOLE)
            is_named = program.add_variable(0, 1)
            program.add_row({is_named: 1, is_large[region]: -1, joins[region]: 1}, 0, 0)
            atoms[asn, region] = program.add_product(terms, is_named)
            rest = add(rest, negate(atoms[asn, region]))
        atoms[asn, ""] = rest


def merge(sums: Mapping[str, Sum]) -> Sum:
    total: Sum = {}
    for terms in sums.values():
        total = add(total, terms)
    return total


def start_moment(
    program: Program, places: Collection[Place], own: Mapping[Place, int], k: int
) -> Moment:
    """Begin with the adversary's own persons, and unknown others beside them."""
    people = {place: program.add_variable(own.get(place, 0), MOST) for place in places}
    return Moment(program, people, k)
