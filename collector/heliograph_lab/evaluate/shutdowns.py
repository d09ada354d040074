"""Shutdowns as they are drawn: national, mobile-only, of a city, of an operator, of a messenger."""

from random import Random

from heliograph_collector.model.signals import Place, Witness
from heliograph_lab.evaluate.population import ESTABLISHED_US, FIXED, MOBILE, Service, people
from heliograph_lab.evaluate.priors import (
    DAY,
    HOUR,
    LAYERS,
    MOBILE_ONLY,
    NEXT_DAY,
    ONE_CITY,
    REGIONS,
    T0,
    Draw,
    assemble,
    duration,
    moment,
    onset,
    population,
)
from heliograph_lab.evaluate.scenario import Cell, Event, Scenario

SHARES = (0.20, 0.25, 0.30, 0.33, 0.36, 0.40, 0.45, 0.50, 0.55, 0.60)
EACH = 9  # vantages of a place
LIE = "collusion"


def liars(rng: Random, draw: Draw) -> Scenario:
    """54 in two networks, each in a prefix of its own. The share lies spread evenly or anyhow."""
    places = [Place("KZ", region, asn, "fixed") for asn in (1, 2) for region in REGIONS[:3]]
    everybody = [w for place in places for w in people(place, EACH, T0 - ESTABLISHED_US)]
    lying = _lying(rng, everybody, float(draw.kind))
    who = tuple(Cell("KZ", prefix=w.prefix) for w in lying)
    spread_s = rng.choice((2.0, 60.0, 600.0))
    events = [
        Event(
            "anycast",
            (HOUR, HOUR),
            who,
            lasts_s=HOUR,
            service="telegram",
            layer="tls",
            method="reset",
            label=LIE,
        ),
        Event("lids", (2.5 * HOUR, 2.5 * HOUR), who, lasts_s=HOUR, jitter_s=spread_s, label=LIE),
    ]
    return assemble(
        draw, rng, 4 * HOUR, everybody, events, [Service("telegram", until_s=2.25 * HOUR)]
    )


def _lying(rng: Random, everybody: list[Witness], share: float) -> list[Witness]:
    """A share of every place, or wherever chance puts them; never more than the share."""
    mixed = rng.sample(everybody, len(everybody))
    if rng.random() < 0.5:
        return mixed[: int(share * len(mixed))]
    taken: dict[Place, int] = {}
    lying = []
    for w in mixed:
        if taken.get(w.place, 0) < int(share * EACH):
            taken[w.place] = taken.get(w.place, 0) + 1
            lying.append(w)
    return lying


USUAL_H = 12  # hours of tests before, for those who must first learn what is usual
TESTS = (
    Service("telegram", every_s=600.0, until_s=USUAL_H * HOUR),
    Service("telegram", since_s=USUAL_H * HOUR),
)


def _cut(rng: Random, draw: Draw, cell: Cell, label: str) -> Scenario:
    lasts_s, at_s = duration(rng), moment(rng, 2 * HOUR)
    again = rng.random() < NEXT_DAY
    if again:
        lasts_s = min(lasts_s, 20 * HOUR)
    jitter_s = onset(rng)
    spared = Cell("KZ", access="hosting", share=0.5)
    who: tuple[Cell, ...] = (cell,)
    if cell.scope.national:
        who = (Cell("KZ", access="mobile"), Cell("KZ", access="fixed"), spared)
    spans = [(at_s, lasts_s), *([(at_s + DAY, min(duration(rng), 20 * HOUR))] if again else [])]
    events = tuple(
        Event(
            "cut",
            (at, at),
            who,
            lasts_s=lasts,
            jitter_s=min(jitter_s, lasts / 3),
            scope=cell.scope,
            label=label,
        )
        for at, lasts in spans
    )
    end_s = max(at + lasts for at, lasts in spans) + HOUR
    return assemble(draw, rng, end_s, population(rng, cell), events)


def shutdown(rng: Random, draw: Draw) -> Scenario:
    """National, mobile-only, one city, or the phones of one city."""
    mobile, city = rng.random() < MOBILE_ONLY, rng.random() < ONE_CITY
    cell = Cell("KZ", rng.choice(REGIONS) if city else "", 0, "mobile" if mobile else "")
    words = [*(["one-city"] if city else []), *(["mobile-only"] if mobile else [])]
    return _cut(rng, draw, cell, " ".join(words) or "national")


def operator(rng: Random, draw: Draw) -> Scenario:
    """One operator, everywhere."""
    asn = rng.choice((*MOBILE, *FIXED))
    return _cut(rng, draw, Cell("KZ", asn=asn), "one-operator")


def _messenger(rng: Random, draw: Draw, do: str) -> Scenario:
    """Tested every minute; a block may take the country, the phones or one operator."""
    cell, label = rng.choice(
        (
            (Cell("KZ"), "national"),
            (Cell("KZ", access="mobile"), "mobile-only"),
            (Cell("KZ", asn=rng.choice((*MOBILE, *FIXED))), "one-operator"),
        )
    )
    layer, method = rng.choice(LAYERS) if do == "block" else ("http", "throttled")
    at_s = (USUAL_H + 1.5) * HOUR + rng.uniform(0, 60)
    lasts_s = min(2.5 * HOUR, max(0.5 * HOUR, duration(rng)))
    event = Event(
        do,
        (at_s, at_s),
        (cell,),
        lasts_s=lasts_s,
        jitter_s=5.0,
        service="telegram",
        layer=layer,
        method=method,
        scope=cell.scope,
        label=label,
    )
    everybody = population(rng, cell)
    return assemble(draw, rng, at_s + lasts_s + 0.75 * HOUR, everybody, [event], TESTS)


def block(rng: Random, draw: Draw) -> Scenario:
    """A messenger, at one layer."""
    return _messenger(rng, draw, "block")


def throttle(rng: Random, draw: Draw) -> Scenario:
    """A messenger, made slow."""
    return _messenger(rng, draw, "throttle")
