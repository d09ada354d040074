"""A scenario file in the honest world: its vantages get habits, carrier NATs and ages."""

from collections import defaultdict
from dataclasses import replace
from random import Random

from heliograph_lab.evaluate.population import SilenceCause as PlayedCause
from heliograph_lab.evaluate.population import SimulatedVantage
from heliograph_lab.evaluate.scenario import simulate_events
from heliograph_lab.evaluate.scenario_model import Scenario
from heliograph_lab.evaluate.world.figures import DAY, draw
from heliograph_lab.evaluate.world.habits import add_habits
from heliograph_lab.evaluate.world.people import (
    CountryPlan,
    Silence,
    SilenceCause,
    WorldVantage,
    draw_country_plan,
    draw_habits_of,
)
from heliograph_lab.evaluate.world.world import PlannedTest, World

CAUSES: dict[PlayedCause, SilenceCause] = {
    "own": "own",
    "killed": "killed",
    "cut": "cut",
    "power": "power",
    "blip": "path",
    "away": "away",
    "address": "address",
}


def settle_scenario(scenario: Scenario, seed: int) -> World:
    """Settle a scenario's vantages in the honest world, and play its events on them."""
    state = simulate_events(replace(scenario, churn=dict.fromkeys(scenario.churn, 0.0)), seed)
    rng = Random(f"honest:{scenario.name}:{seed}")  # noqa: S311 - a simulation, repeatable
    world = World(scenario.name, seed, rng, scenario.lasts_s, scenario.since_us)
    by_country: defaultdict[str, list[SimulatedVantage]] = defaultdict(list)
    for vantage in state.vantages:
        by_country[vantage.location.country].append(vantage)
    for code, played in by_country.items():
        plan = draw_country_plan(rng, code, len(played))
        settled = [_build_vantage(rng, plan, vantage) for vantage in played]
        add_habits(rng, settled, scenario.lasts_s)
        world.vantages += settled
    world.truths = state.truths
    world.faults = state.faults
    unknown = draw(rng, "unknown")
    world.tests = [
        PlannedTest(s.name, s.every_s, s.noise, unknown, s.since_s, s.until_s)
        for s in scenario.services
    ]
    first_day = round(scenario.since_us / 1e6 // DAY)
    days = range(first_day, first_day + round(scenario.lasts_s / DAY) + 1)
    world.risky_days = {(code, day) for code in by_country for day in days}
    return world


def _build_vantage(rng: Random, plan: CountryPlan, played: SimulatedVantage) -> WorldVantage:
    ref = played.ref
    if ref.place.access == "mobile":
        pool = rng.randrange(plan.pools)
        ref = replace(ref, prefix=f"{plan.code}-nat-{ref.place.asn}-{pool}")
    settled = draw_habits_of(rng, plan, ref)
    settled.silences = [Silence(s.since_s, s.until_s, CAUSES[s.how]) for s in played.silences]
    settled.troubles = list(played.interferences)
    return settled
