"""Vantages of a world, with operators, carrier NATs, ages and habits."""

import math
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from heliograph.units import DAY_US
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_lab.evaluate.population import Interference
from heliograph_lab.evaluate.world.events import PowerState
from heliograph_lab.evaluate.world.figures import draw

MOBILE = (101, 102, 103)
FIXED = (201, 202, 203)
HOSTING = 301
REGIONS = ("ALA", "AST", "SHY", "VOS")
SHARE_BY_ACCESS = {"mobile": 0.45, "fixed": 0.48, "hosting": 0.07}  # assumed
CHARGING_SHARE = 0.3  # of phones; the others are on their batteries anyway; assumed
UPTIME_SHARE = 0.6  # of machines whose agents can read it, on Linux; assumed
MAIN_ENTRANCE = "session"  # names of carriers
OTHER_ENTRANCE = "relay"
COUNTRIES = ("KZ", "XA", "XB", "XC", "XD")
# own: the machine; killed: its agent, whose kernel closes the session; path: its network;
# transit: our network; address: our entrance
SilenceCause = Literal["own", "killed", "away", "cut", "power", "path", "transit", "address"]


@dataclass(frozen=True, slots=True)
class Silence:
    """Time in which a vantage is silent, in seconds of the world."""

    since_s: float
    until_s: float
    cause: SilenceCause


@dataclass(slots=True)
class WorldVantage:
    """One vantage, its own habits and the events that affect it."""

    ref: VantageRef
    churn: float  # silences a day by itself
    retry_limit_s: float
    weight: float = 1.0
    power: PowerState = ""  # as its agent knows it
    knows_uptime: bool = False
    has_other_way: bool = False  # reports a broken session by another entrance
    silences: list[Silence] = field(default_factory=list)
    troubles: list[Interference] = field(default_factory=list)
    moves: list[tuple[float, str]] = field(default_factory=list)  # (second, its prefix since then)

    @property
    def location(self) -> VantageLocation:
        return self.ref.place


@dataclass(slots=True)
class CountryPlan:
    """Numbers by which one country's vantages are drawn."""

    code: str
    count: int
    pools: int  # carrier NATs of each mobile operator
    churn: float
    spread: float
    young_share: float
    retry_limit_s: float
    other_way_share: float = 0.0
    other_entrance_share: float = 0.0  # sessions that do not come by the main entrance


def draw_country_plan(rng: Random, code: str, count: int = 0) -> CountryPlan:
    """Draw the plan of a country; a tenth has only 5 to 9 vantages."""
    drawn_count = rng.randint(5, 9) if rng.random() < 0.1 else round(draw(rng, "vantages"))
    return CountryPlan(
        code=code,
        count=count or drawn_count,
        pools=round(draw(rng, "nat_pools")),
        churn=draw(rng, "churn"),
        spread=draw(rng, "churn_spread"),
        young_share=draw(rng, "young"),
        retry_limit_s=draw(rng, "retry_limit"),
        other_way_share=draw(rng, "own_block_share"),
        other_entrance_share=draw(rng, "other_entrance") if rng.random() < 0.5 else 0.0,
    )


def draw_vantages(rng: Random, plan: CountryPlan, since_us: int) -> list[WorldVantage]:
    """Draw the vantages of a country; every region has every operator in turn."""
    return [
        _draw_vantage(rng, plan, since_us, draw_location(rng, plan.code), number)
        for number in range(plan.count)
    ]


def draw_location(rng: Random, code: str) -> VantageLocation:
    access = rng.choices(tuple(SHARE_BY_ACCESS), tuple(SHARE_BY_ACCESS.values()))[0]
    asn = HOSTING if access == "hosting" else rng.choice(MOBILE if access == "mobile" else FIXED)
    return VantageLocation(code, rng.choice(REGIONS), asn, access)


def _draw_vantage(
    rng: Random, plan: CountryPlan, since_us: int, location: VantageLocation, number: int
) -> WorldVantage:
    name = f"{plan.code}-{number}"
    prefix = f"{plan.code}-net-{number}"
    if location.access == "mobile":  # shared by all of a carrier, in every region
        prefix = f"{plan.code}-nat-{location.asn}-{rng.randrange(plan.pools)}"
    ref = VantageRef(name, prefix, location, since_us - round(_draw_age_days(rng, plan) * DAY_US))
    return draw_habits_of(rng, plan, ref)


def draw_habits_of(rng: Random, plan: CountryPlan, ref: VantageRef) -> WorldVantage:
    """Draw what one vantage does by itself and what its agent can say."""
    churn = plan.churn * math.exp(rng.gauss(0, plan.spread))
    quiet = 0.1 if ref.place.access == "hosting" else 1.0  # servers restart seldom; assumed
    if rng.random() < plan.other_entrance_share:
        ref = replace(ref, carrier=OTHER_ENTRANCE)
    is_phone = ref.place.access == "mobile"
    power: PowerState = "battery" if is_phone else "ac"
    return WorldVantage(
        ref,
        min(48.0, churn * quiet),
        plan.retry_limit_s,
        power="ac" if is_phone and rng.random() < CHARGING_SHARE else power,
        knows_uptime=rng.random() < UPTIME_SHARE,
        has_other_way=rng.random() < plan.other_way_share,
    )


def _draw_age_days(rng: Random, plan: CountryPlan) -> float:
    """Draw a vantage's age in days, for a quarter of the young ones below one."""
    if rng.random() >= plan.young_share:
        return rng.uniform(14, 400)
    return rng.uniform(0.05, 1) if rng.random() < 0.25 else rng.uniform(1, 14)
