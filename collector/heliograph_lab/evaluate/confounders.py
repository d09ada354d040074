"""What is no shutdown and looks like one: one at a time, and sprinkled over quiet months."""

import math
from dataclasses import replace
from random import Random

from heliograph_collector.model.signals import Place, Witness
from heliograph_lab.evaluate.population import (
    ESTABLISHED_US,
    FIXED,
    MOBILE,
    Service,
    country,
    people,
)
from heliograph_lab.evaluate.priors import DAY, HOUR, REGIONS, T0, Draw, assemble, duration
from heliograph_lab.evaluate.scenario import Cell, Event, Scenario

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
UNTOLD = "power_unwitnessed"  # nobody can tell it from a cut: shown, and not counted
QUIET_DAYS, TESTED_DAYS = 30, 2
OFTEN = {  # a month, in a quiet world: more than a well-run collector has
    "restart": 2.0,
    "update": 1.0,
    "power": 2.0,
    "wifi": 1.0,
    "prefix_move": 1.0,
    "clock_jump": 0.5,
    "probe": 0.5,
    "carrier": 1.0,
}


def _towns(rng: Random, code: str = "KZ") -> list[Witness]:
    return country(code, REGIONS[:3], rng.choice((36, 36, 72)), T0 - ESTABLISHED_US)


def confounder(rng: Random, draw: Draw) -> Scenario:
    """One thing that is no shutdown, in a country that lives otherwise."""
    vantages = _towns(rng)
    services: list[Service] = []
    if draw.kind == "wifi":
        hall = Place("KZ", "ALA", rng.choice(FIXED), "fixed")
        vantages += people(hall, rng.choice((8, 20, 80)), T0 - ESTABLISHED_US, prefix="hall")
    if draw.kind == "carrier":
        vantages = [_carried(w, rng) for w in vantages]
    if draw.kind in ("messenger_down", "anycast"):
        services.append(Service("telegram"))
    at_s = rng.uniform(2 * HOUR, 3 * HOUR)
    event = _befalls(draw.kind, at_s, rng)
    lasts_s = event.lasts_s if math.isfinite(event.lasts_s) else 600.0
    if draw.kind == "power_unwitnessed":
        vantages = [w for w in vantages if w.place.access == "fixed" or w.place.region != "ALA"]
    return assemble(draw, rng, at_s + lasts_s + HOUR, vantages, [event], services)


def _carried(witness: Witness, rng: Random) -> Witness:
    carrier = "edge-1" if rng.random() < 0.5 else "session"
    w = witness
    return Witness(w.nym, w.prefix, w.place, w.first_us, carrier)


def _befalls(kind: str, at_s: float, rng: Random) -> Event:
    """What each kind of confounder looks like. A fault of ours is declared in half of the cases."""
    when, known = (at_s, at_s), rng.random() < 0.5
    short, long = rng.uniform(20, 240), min(6 * HOUR, duration(rng) / 2)
    outage = min(1.5 * HOUR, max(600.0, long))
    sites = tuple(
        Cell(code, asn=asn)
        for code in ("KZ", "XA", "XB", "XC", "XD")
        for asn in (*MOBILE, *FIXED)
        if rng.random() < 0.3
    ) or (Cell("KZ"),)
    events = {
        **_ours(when, short, outage, known),
        **_theirs(when, long, rng),
        **_of_a_service(when, outage, known, sites, rng),
    }
    return events[kind]


def _ours(when: tuple[float, float], short: float, outage: float, known: bool) -> dict[str, Event]:
    """The collector, its way to the world, its carriers, its agents."""
    slow = 6 * HOUR  # agents that are updated one after another, and nobody told us
    return {
        "restart": Event("restart", when, lasts_s=short),
        "probe": Event("probe", when, lasts_s=short, declared=known),
        "clock_jump": Event("clock_jump", when, lasts_s=short, declared=known),
        "carrier": Event(
            "carrier", when, (Cell(carrier="edge-1"),), lasts_s=outage, declared=known
        ),
        "update": Event(
            "update",
            when,
            (Cell("KZ"),),
            declared=known,
            lasts_s=short if known else slow,
            jitter_s=short / 2 if known else slow,
        ),
    }


def _theirs(when: tuple[float, float], long: float, rng: Random) -> dict[str, Event]:
    """Where the vantages are."""
    city, home = Cell("KZ", "ALA", access="fixed"), Cell("KZ")
    power = Event("power", when, (city,), lasts_s=long, jitter_s=rng.choice((2.0, 60.0)))
    return {
        "power": power,
        UNTOLD: replace(power, jitter_s=2.0, scoreable=False, label=UNTOLD),
        "wifi": Event("wifi", when, (Cell(prefix="hall"),), lasts_s=long),
        "sleep": Event("sleep", when, (home,), lasts_s=6 * HOUR, jitter_s=0.5 * HOUR, share=0.5),
        "lids": Event("lids", when, (home,), lasts_s=6 * HOUR, jitter_s=3 * HOUR, share=0.2),
        "prefix_move": Event("prefix_move", when, (Cell("KZ", asn=rng.choice(FIXED)),), jitter_s=5),
    }


def _of_a_service(
    when: tuple[float, float], outage: float, known: bool, sites: tuple[Cell, ...], rng: Random
) -> dict[str, Event]:
    """The messenger itself, or one of its sites."""
    site = Event(
        "anycast", when, sites, lasts_s=outage, service="telegram", layer="tcp", method="timeout"
    )
    share = rng.uniform(0.7, 1.0)
    down = replace(site, do="messenger_down", who=(Cell(),), declared=known, share=share)
    return {"anycast": site, "messenger_down": down}


def quiet(rng: Random, draw: Draw) -> Scenario:
    """A month in which nothing is cut: five countries live, and all that befalls us befalls us."""
    vantages = [_carried(w, rng) for w in country("KZ", REGIONS[:3], 36, T0 - ESTABLISHED_US)]
    vantages += people(Place("KZ", "ALA", 201, "fixed"), 20, T0 - ESTABLISHED_US, prefix="hall")
    events = [_night(day, do, share) for day in range(QUIET_DAYS) for do, share in NIGHTLY]
    for kind, often in OFTEN.items():
        for _ in range(_poisson(rng, often)):
            event = _befalls(kind, rng.uniform(HOUR, QUIET_DAYS * DAY - 12 * HOUR), rng)
            events.append(event)
    return assemble(draw, rng, QUIET_DAYS * DAY, vantages, events, each=36)


NIGHTLY = (("sleep", 0.3), ("lids", 0.1))


def _night(day: int, do: str, share: float) -> Event:
    at_s = day * DAY + 16 * HOUR  # an evening in the east
    return Event(do, (at_s, at_s), (Cell("KZ"),), lasts_s=8 * HOUR, jitter_s=3 * HOUR, share=share)


def tested(rng: Random, draw: Draw) -> Scenario:
    """Two quiet days in which everybody tests a messenger each minute; once it is down."""
    vantages = country("KZ", REGIONS[:3], 36, T0 - ESTABLISHED_US)
    down = _befalls("messenger_down", rng.uniform(HOUR, (TESTED_DAYS - 0.5) * DAY), rng)
    return assemble(draw, rng, TESTED_DAYS * DAY, vantages, [down], [Service("telegram")], each=36)


def _poisson(rng: Random, mean: float) -> int:
    """Arrivals in a unit of time."""
    count, at = 0, rng.expovariate(1.0)
    while at < mean:
        count, at = count + 1, at + rng.expovariate(1.0)
    return count
