"""How often, how long and when: what is published of shutdowns, and how a country is drawn.

Mobile-only 40 %, one city 40 %, on the hour 71 % (or the half 85 %), again the next day 44 %, a
median of 5.5 h (5 % below 0.83, 90 % below 22.3): "Destination Unreachable", SIGCOMM 2023, and the
records of shutdowns.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from heliograph_collector.model.signals import SECOND_US, Place, Witness
from heliograph_lab.evaluate.population import ESTABLISHED_US, OPERATORS, Service, people, spread
from heliograph_lab.evaluate.scenario import Cell, Event, Scenario, world

T0 = 1_641_168_000 * SECOND_US  # Monday, 3 January 2022
HOUR, DAY = 3_600.0, 86_400.0
REGIONS = ("ALA", "AST", "SHY", "VOS")
BANDS = (5, 10, 20, 50)  # vantages in what is cut
MOBILE_ONLY, ONE_CITY, ON_THE_HOUR, ON_THE_HALF, NEXT_DAY = 0.40, 0.40, 0.706, 0.142, 0.443
MEDIAN_S, SIGMA = 5.5 * HOUR, 1.12
LONGEST_S = 72 * HOUR  # longer ones are cut short: their end teaches nothing new
SUDDEN = 0.85  # the others roll out over half an hour
LAYERS = (("dns", "nxdomain"), ("tcp", "timeout"), ("tls", "timeout"), ("tls", "reset"))


@dataclass(frozen=True, slots=True)
class Draw:
    """One member of the corpus, cheap to hand to another process."""

    family: str
    seed: int
    kind: str = ""  # of a confounder: which; of liars: their share


def duration(rng: Random) -> float:
    """Seconds."""
    return min(LONGEST_S, math.exp(rng.gauss(math.log(MEDIAN_S), SIGMA)))


def moment(rng: Random, earliest_s: float) -> float:
    """The minute it begins at: orders are given for the full hour."""
    hour = math.ceil(earliest_s / HOUR) * HOUR + HOUR * rng.randrange(3)
    chance = rng.random()
    if chance < ON_THE_HOUR:
        return hour
    if chance < ON_THE_HOUR + ON_THE_HALF:
        return hour + HOUR / 2
    return hour + 60 * rng.choice([m for m in range(60) if m not in (0, 30)])


def restless(rng: Random) -> float:
    """Silences of a vantage by itself, a day."""
    return rng.choices((1.0, 4.0, 12.0), (0.3, 0.5, 0.2))[0]


def band(rng: Random) -> int:
    """How many vantages are in what is cut."""
    return rng.choices(BANDS, (0.15, 0.25, 0.30, 0.30))[0]


def population(rng: Random, cell: Cell) -> tuple[Witness, ...]:
    """As many as the band says in the cell, as many again around it, data centres at times."""
    places = [Place("KZ", region, asn, access) for asn, access in OPERATORS for region in REGIONS]
    rng.shuffle(places)
    inside = [place for place in places if cell.scope.holds(place)]
    outside = [place for place in places if not cell.scope.holds(place)]
    count = band(rng)
    first_us = T0 - ESTABLISHED_US
    found = spread(inside, count, first_us)
    if outside:
        found += spread(outside, max(18, count), first_us)
    if count >= 20 and cell.scope.national and rng.random() < 0.3:
        found += people(Place("KZ", "ALA", 301, "hosting"), 4, first_us)
    return tuple(found)


def onset(rng: Random) -> float:
    """Seconds until all are cut."""
    return rng.uniform(1, 10) if rng.random() < SUDDEN else rng.uniform(300, 1_800)


def assemble(
    draw: Draw,
    rng: Random,
    lasts_s: float,
    vantages: Sequence[Witness],
    events: Sequence[Event],
    services: Sequence[Service] = (),
    each: int = 12,
) -> Scenario:
    """A scenario in which everybody is as restless as it is drawn, and four countries look on."""
    calm = restless(rng)
    everybody = (*vantages, *world(T0, each=each))
    codes = {w.place.country for w in everybody}
    return Scenario(
        name="-".join(part for part in (draw.family, draw.kind) if part),
        since_us=T0,
        lasts_s=lasts_s,
        vantages=everybody,
        churn=dict.fromkeys(sorted(codes), calm),
        events=tuple(events),
        services=tuple(services),
    )
