"""Corpus of the honest world: families, their shares, and the halves of the seeds.

A scenario file is settled in the same world: its vantages get habits, carrier NATs and ages.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random

from heliograph_lab.evaluate.population import SilenceCause as PlayedCause
from heliograph_lab.evaluate.population import SimulatedVantage
from heliograph_lab.evaluate.scenario import simulate_events
from heliograph_lab.evaluate.scenario_model import Scenario
from heliograph_lab.evaluate.world import attackers, cuts, disturbances, everyday, services
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

REPORTING = 1_000_000  # seeds from here on are for reporting; nothing is tuned on them
HALVES = {"tuning": 0, "reporting": REPORTING}
CAUSES: dict[PlayedCause, SilenceCause] = {
    "own": "own",
    "killed": "killed",
    "cut": "cut",
    "power": "power",
    "blip": "path",
    "away": "away",
    "address": "address",
}


@dataclass(frozen=True, slots=True)
class WorldDraw:
    """The identity of one world, cheap to pass to another process."""

    family: str
    seed: int
    kind: str = ""


DrawFunction = Callable[[Random, int, str], World]
CUTS: Mapping[str, DrawFunction] = {
    "step": cuts.draw_step,
    "providers": cuts.draw_providers,
    "fade": cuts.draw_fade,
    "part": cuts.draw_part,
    "nat": cuts.draw_nat,
    "curfew": cuts.draw_curfew,
    "drain": cuts.draw_drain,
    "cable": cuts.draw_cable,
    "several": cuts.draw_several,
    "campus": cuts.draw_campus,
    "exams": cuts.draw_exams,
    "reroute": cuts.draw_reroute,
    "ipv6": cuts.draw_ipv6,
}
DISTURBANCES: Mapping[str, DrawFunction] = {
    "power": disturbances.draw_power,
    "own_block": disturbances.draw_own_block,
    "transit": disturbances.draw_transit,
    "crash": disturbances.draw_crash,
    "evening": disturbances.draw_evening,
    "renumber": disturbances.draw_renumber,
    "doze": disturbances.draw_doze,
    "throttled": disturbances.draw_throttled,
    "update": disturbances.draw_update,
    "cloud": everyday.draw_cloud,
    "moved": everyday.draw_moved,
    "nat_moves": everyday.draw_nat_moves,
    "holiday": everyday.draw_holiday,
    "phones": everyday.draw_phones,
    "rolling": everyday.draw_rolling,
}
SERVICES: Mapping[str, DrawFunction] = {
    "block": services.draw_block,
    "partial": services.draw_partial,
    "backlog": services.draw_backlog,
    "service_down": services.draw_service_down,
    "site_down": services.draw_site_down,
}
LIARS: Mapping[str, DrawFunction] = {
    "established": attackers.draw_established,
    "young": attackers.draw_young,
}
QUIET: Mapping[str, DrawFunction] = {
    "quiet": disturbances.draw_quiet,
    "tested": services.draw_tested,
}
FAMILIES: Mapping[str, DrawFunction] = {**QUIET, **SERVICES, **DISTURBANCES, **CUTS, **LIARS}
KINDS: Mapping[str, tuple[str, ...]] = {
    "fade": ("1h", "3h", ""),
    "part": ("region", "operator", "mobile"),
    "block": tuple(name for name, _ in services.INTERVALS_S),
    "established": tuple(map(str, attackers.SHARES)),
}
PER_SEED = {  # worlds of each kind for one seed, 1 if not named; assumed
    "quiet": 0.2,
    "tested": 0.2,
    "partial": 0.5,
    "curfew": 0.5,
    "drain": 0.5,
    "exams": 0.5,
    "holiday": 0.5,
    "phones": 0.5,
    "rolling": 0.5,
    "evening": 0.5,
    "established": 0.5,
    "step": 2.0,
    "power": 2.0,
    "own_block": 2.0,
}


def draw_world(draw: WorldDraw) -> World:
    """Draw a world, equal for equal draws. Raises KeyError on an unknown family."""
    rng = Random(f"{draw.family}:{draw.kind}:{draw.seed}")  # noqa: S311 - a simulation, repeatable
    return FAMILIES[draw.family](rng, draw.seed, draw.kind)


def list_draws(seeds: int, half: str) -> Iterator[WorldDraw]:
    """Yield the corpus; the longest replays come first."""
    first = HALVES[half]
    for name in FAMILIES:
        for kind in KINDS.get(name, ("",)):
            for number in range(max(1, round(seeds * PER_SEED.get(name, 1.0)))):
                yield WorldDraw(name, first + number, kind)


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
