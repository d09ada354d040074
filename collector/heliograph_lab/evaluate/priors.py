"""Priors: published frequencies, durations and times of shutdowns.

Shares of shutdowns: mobile-only 40 %; one city 40 %; on the hour 71 %, on the hour or half hour
85 %; again on the next day 44 %. Durations: median 5.5 h, 5 % below 0.83 h, 90 % below 22.3 h.
Sources: "Destination Unreachable", SIGCOMM 2023, and the records of shutdowns.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from heliograph.units import SECOND_US
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_lab.evaluate.population import (
    ESTABLISHED_US,
    OPERATORS,
    TestedService,
    spread_vantages,
    vantages_at,
)
from heliograph_lab.evaluate.scenario import CellSelector, Scenario, ScenarioEvent, other_countries

T0 = 1_641_168_000 * SECOND_US  # Monday, 3 January 2022
HOUR = 3_600.0
DAY = 86_400.0
REGIONS = ("ALA", "AST", "SHY", "VOS")
BANDS = (5, 10, 20, 50)  # vantages in a cut; assumed
MOBILE_ONLY = 0.40
ONE_CITY = 0.40
ON_THE_HOUR = 0.706
ON_THE_HALF = 0.142
NEXT_DAY = 0.443
MEDIAN_S = 5.5 * HOUR
SIGMA = 1.12
LONGEST_S = 72 * HOUR  # longer ones are truncated, because they test nothing new
SUDDEN = 0.85  # within 10 s, the others within half an hour; assumed
LAYERS = (("dns", "nxdomain"), ("tcp", "timeout"), ("tls", "timeout"), ("tls", "reset"))


@dataclass(frozen=True, slots=True)
class Draw:
    """The identity of one scenario of the corpus, cheap to pass to another process."""

    family: str
    seed: int
    kind: str = ""  # the kind of a confounder, or the share of liars


def draw_duration_s(rng: Random) -> float:
    """Draw a duration in seconds."""
    return min(LONGEST_S, math.exp(rng.gauss(math.log(MEDIAN_S), SIGMA)))


def draw_start_s(rng: Random, earliest_s: float) -> float:
    """Draw the start in seconds; most are on the hour, as ordered."""
    hour = math.ceil(earliest_s / HOUR) * HOUR + HOUR * rng.randrange(3)
    chance = rng.random()
    if chance < ON_THE_HOUR:
        return hour
    if chance < ON_THE_HOUR + ON_THE_HALF:
        return hour + HOUR / 2
    return hour + 60 * rng.choice([m for m in range(60) if m not in (0, 30)])


def draw_population(rng: Random, cell: CellSelector) -> tuple[VantageRef, ...]:
    """Draw vantages in the cell and around it, in some national cuts data centers too."""
    locations = [
        VantageLocation("KZ", region, asn, access)
        for asn, access in OPERATORS
        for region in REGIONS
    ]
    rng.shuffle(locations)
    inside = [location for location in locations if cell.scope.includes(location)]
    outside = [location for location in locations if not cell.scope.includes(location)]
    count = rng.choices(BANDS, (0.15, 0.25, 0.30, 0.30))[0]  # assumed
    first_us = T0 - ESTABLISHED_US
    vantages = spread_vantages(inside, count, first_us)
    if outside:
        vantages += spread_vantages(outside, max(18, count), first_us)
    if count >= 20 and cell.scope.is_national and rng.random() < 0.3:
        vantages += vantages_at(VantageLocation("KZ", "ALA", 301, "hosting"), 4, first_us)
    return tuple(vantages)


def draw_onset_s(rng: Random) -> float:
    """Draw the seconds until all vantages are cut."""
    return rng.uniform(1, 10) if rng.random() < SUDDEN else rng.uniform(300, 1_800)


def assemble_scenario(
    draw: Draw,
    rng: Random,
    lasts_s: float,
    vantages: Sequence[VantageRef],
    events: Sequence[ScenarioEvent],
    services: Sequence[TestedService] = (),
    each: int = 12,
) -> Scenario:
    """Build a scenario with drawn churn and four other countries for comparison."""
    churn_per_day = rng.choices((1.0, 4.0, 12.0), (0.3, 0.5, 0.2))[0]  # assumed
    all_vantages = (*vantages, *other_countries(T0, each=each))
    codes = {w.place.country for w in all_vantages}
    return Scenario(
        name="-".join(part for part in (draw.family, draw.kind) if part),
        since_us=T0,
        lasts_s=lasts_s,
        vantages=all_vantages,
        churn=dict.fromkeys(sorted(codes), churn_per_day),
        events=tuple(events),
        services=tuple(services),
    )
