"""Confounders: drawn events that look like shutdowns, alone or in quiet months."""

import math
from dataclasses import replace
from random import Random

from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_lab.evaluate.population import (
    ESTABLISHED_US,
    FIXED,
    MOBILE,
    TestedService,
    vantages_at,
    vantages_in_country,
)
from heliograph_lab.evaluate.priors import (
    DAY,
    HOUR,
    REGIONS,
    T0,
    Draw,
    assemble_scenario,
    draw_duration_s,
)
from heliograph_lab.evaluate.scenario import CellSelector, Scenario, ScenarioEvent

CONFOUNDERS = (
    "power",
    "restart",
    "update",
    "wifi",
    "sleep",
    "lids",
    "prefix_move",
    "messenger_down",
    "anycast",
    "clock_jump",
    "carrier",
)
UNWITNESSED_POWER = "power_unwitnessed"  # no data distinguish it from a cut, so it has no score
QUIET_DAYS = 30  # assumed
TESTED_DAYS = 2  # assumed; tests every minute make long replays
PER_MONTH = {  # more than a well-run collector has; assumed
    "restart": 2.0,
    "update": 1.0,
    "power": 2.0,
    "wifi": 1.0,
    "prefix_move": 1.0,
    "clock_jump": 0.5,
    "probe": 0.5,
    "carrier": 1.0,
}


def draw_confounder(rng: Random, draw: Draw) -> Scenario:
    """Draw one confounder in a country without other events."""
    count = rng.choice((36, 36, 72))
    vantages = vantages_in_country("KZ", REGIONS[:3], count, T0 - ESTABLISHED_US)
    services: list[TestedService] = []
    if draw.kind == "wifi":
        hall = VantageLocation("KZ", "ALA", rng.choice(FIXED), "fixed")
        vantages += vantages_at(hall, rng.choice((8, 20, 80)), T0 - ESTABLISHED_US, prefix="hall")
    if draw.kind == "carrier":
        vantages = [_with_carrier(w, rng) for w in vantages]
    if draw.kind in ("messenger_down", "anycast"):
        services.append(TestedService("telegram"))
    at_s = rng.uniform(2 * HOUR, 3 * HOUR)
    event = _draw_event(draw.kind, at_s, rng)
    lasts_s = event.lasts_s if math.isfinite(event.lasts_s) else 600.0
    if draw.kind == "power_unwitnessed":
        vantages = [w for w in vantages if w.place.access == "fixed" or w.place.region != "ALA"]
    return assemble_scenario(draw, rng, at_s + lasts_s + HOUR, vantages, [event], services)


def _with_carrier(vantage: VantageRef, rng: Random) -> VantageRef:
    return replace(vantage, carrier="edge-1" if rng.random() < 0.5 else "session")


def _draw_event(kind: str, at_s: float, rng: Random) -> ScenarioEvent:
    """Draw the event of a kind; half of the faults of the collector are declared."""
    when = (at_s, at_s)
    is_declared = rng.random() < 0.5
    short = rng.uniform(20, 240)
    long = min(6 * HOUR, draw_duration_s(rng) / 2)
    outage = min(1.5 * HOUR, max(600.0, long))
    sites = tuple(
        CellSelector(code, asn=asn)
        for code in ("KZ", "XA", "XB", "XC", "XD")
        for asn in (*MOBILE, *FIXED)
        if rng.random() < 0.3
    ) or (CellSelector("KZ"),)
    events = {
        **_collector_events(when, short, outage, is_declared),
        **_vantage_events(when, long, rng),
        **_service_events(when, outage, is_declared, sites, rng),
    }
    return events[kind]


def _collector_events(
    when: tuple[float, float], short: float, outage: float, is_declared: bool
) -> dict[str, ScenarioEvent]:
    slow = 6 * HOUR  # for an undeclared update of agents one after another
    return {
        "restart": ScenarioEvent("restart", when, lasts_s=short),
        "probe": ScenarioEvent("probe", when, lasts_s=short, declared=is_declared),
        "clock_jump": ScenarioEvent("clock_jump", when, lasts_s=short, declared=is_declared),
        "carrier": ScenarioEvent(
            "carrier", when, (CellSelector(carrier="edge-1"),), lasts_s=outage, declared=is_declared
        ),
        "update": ScenarioEvent(
            "update",
            when,
            (CellSelector("KZ"),),
            declared=is_declared,
            lasts_s=short if is_declared else slow,
            jitter_s=short / 2 if is_declared else slow,
        ),
    }


def _vantage_events(
    when: tuple[float, float], long: float, rng: Random
) -> dict[str, ScenarioEvent]:
    city = CellSelector("KZ", "ALA", access="fixed")
    home = CellSelector("KZ")
    power = ScenarioEvent("power", when, (city,), lasts_s=long, jitter_s=rng.choice((2.0, 60.0)))
    return {
        "power": power,
        UNWITNESSED_POWER: replace(power, jitter_s=2.0, scoreable=False, label=UNWITNESSED_POWER),
        "wifi": ScenarioEvent("wifi", when, (CellSelector(prefix="hall"),), lasts_s=long),
        "sleep": ScenarioEvent(
            "sleep", when, (home,), lasts_s=6 * HOUR, jitter_s=0.5 * HOUR, share=0.5
        ),
        "lids": ScenarioEvent(
            "lids", when, (home,), lasts_s=6 * HOUR, jitter_s=3 * HOUR, share=0.2
        ),
        "prefix_move": ScenarioEvent(
            "prefix_move", when, (CellSelector("KZ", asn=rng.choice(FIXED)),), jitter_s=5
        ),
    }


def _service_events(
    when: tuple[float, float],
    outage: float,
    is_declared: bool,
    sites: tuple[CellSelector, ...],
    rng: Random,
) -> dict[str, ScenarioEvent]:
    site = ScenarioEvent(
        "anycast", when, sites, lasts_s=outage, service="telegram", layer="tcp", method="timeout"
    )
    share = rng.uniform(0.7, 1.0)
    service_down = replace(
        site, do="messenger_down", cells=(CellSelector(),), declared=is_declared, share=share
    )
    return {"anycast": site, "messenger_down": service_down}


def draw_quiet(rng: Random, draw: Draw) -> Scenario:
    """Draw a month without cuts: five countries with all kinds of confounders."""
    vantages = [
        _with_carrier(w, rng)
        for w in vantages_in_country("KZ", REGIONS[:3], 36, T0 - ESTABLISHED_US)
    ]
    vantages += vantages_at(
        VantageLocation("KZ", "ALA", 201, "fixed"), 20, T0 - ESTABLISHED_US, prefix="hall"
    )
    events = [_night_event(day, do, share) for day in range(QUIET_DAYS) for do, share in NIGHTLY]
    for kind, per_month in PER_MONTH.items():
        for _ in range(_poisson(rng, per_month)):
            event = _draw_event(kind, rng.uniform(HOUR, QUIET_DAYS * DAY - 12 * HOUR), rng)
            events.append(event)
    return assemble_scenario(draw, rng, QUIET_DAYS * DAY, vantages, events, each=36)


NIGHTLY = (("sleep", 0.3), ("lids", 0.1))  # shares of vantages; assumed


def _night_event(day: int, do: str, share: float) -> ScenarioEvent:
    at_s = day * DAY + 16 * HOUR  # evening in Kazakhstan (UTC+5 or +6)
    return ScenarioEvent(
        do, (at_s, at_s), (CellSelector("KZ"),), lasts_s=8 * HOUR, jitter_s=3 * HOUR, share=share
    )


def draw_tested(rng: Random, draw: Draw) -> Scenario:
    """Draw two quiet days of tests of a messenger every minute; it is down once."""
    vantages = vantages_in_country("KZ", REGIONS[:3], 36, T0 - ESTABLISHED_US)
    down = _draw_event("messenger_down", rng.uniform(HOUR, (TESTED_DAYS - 0.5) * DAY), rng)
    return assemble_scenario(
        draw, rng, TESTED_DAYS * DAY, vantages, [down], [TestedService("telegram")], each=36
    )


def _poisson(rng: Random, mean: float) -> int:
    """Draw a Poisson count of this mean."""
    count = 0
    at = rng.expovariate(1.0)
    while at < mean:
        count = count + 1
        at = at + rng.expovariate(1.0)
    return count
