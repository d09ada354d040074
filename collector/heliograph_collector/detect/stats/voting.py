"""Who votes, and how much: one vote per vantage, one per network, the old before the young."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from heliograph_collector.model.signals import DAY_US, Place, Witness
from heliograph_collector.model.thresholds import Thresholds


@dataclass(slots=True)
class Tally:
    """`votes` and `hits` are weighted; a network that spans places shares its one vote out."""

    votes: float = 0.0
    hits: float = 0.0

    @property
    def share(self) -> float:
        return self.hits / self.votes if self.votes else 0.0

    def add(self, other: "Tally") -> None:
        self.votes += other.votes
        self.hits += other.hits


Ballot = dict[Place, Tally]


def count(votes: Iterable[tuple[Witness, bool]]) -> Ballot:
    """One vote per network and place, the network's whole weight being one.

    A network's vote in a place is a hit when more than half of its vantages there are. Who says
    to be in several places does not get more votes by it.
    """
    # No object for each booth: with `cells_of` this is where detectors spend their time.
    booths: dict[tuple[str, Place], list[int]] = {}  # how many, and how many hits
    spans: defaultdict[tuple[str, str], int] = defaultdict(int)
    for witness, hit in votes:
        key = witness.prefix, witness.place
        booth = booths.get(key)
        if booth is None:
            booths[key] = [1, hit]
            spans[witness.prefix, witness.place.country] += 1
        else:
            booth[0] += 1
            booth[1] += hit
    ballot: defaultdict[Place, Tally] = defaultdict(Tally)
    for (prefix, place), (people, hits) in booths.items():
        weight = 1.0 / spans[prefix, place.country]
        tally = ballot[place]
        tally.votes += weight
        tally.hits += weight * (2 * hits > people)
    return dict(ballot)


def total(ballot: Ballot) -> Tally:
    whole = Tally()
    for tally in ballot.values():
        whole.add(tally)
    return whole


def standing(witness: Witness, at_us: int) -> float:
    """1 - 1/days, the weight of a vantage known for so many days; 0 on the first."""
    days = (at_us - witness.first_us) / DAY_US
    return max(0.0, 1.0 - 1.0 / days) if days > 0 else 0.0


def established(
    votes: Iterable[tuple[Witness, bool]], at_us: int, limits: Thresholds
) -> tuple[Ballot, bool]:
    """(ballot, whether the old enough make it up).

    Only those known for `standing_days` confirm. Where they are too few to confirm anything, all
    vote, and what comes of it is of low confidence.
    """
    every = list(votes)
    needed = 1.0 - 1.0 / limits.standing_days
    old = count((w, hit) for w, hit in every if standing(w, at_us) >= needed)
    if total(old).votes >= limits.votes:
        return old, True
    return count(every), False
