"""Shutdowns: drawn cuts of a country, mobiles, a city or an operator, and blocks."""

from dataclasses import replace
from random import Random

from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_lab.evaluate.population import (
    ESTABLISHED_US,
    FIXED,
    MOBILE,
    TestedService,
    vantages_at,
)
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
    assemble_scenario,
    draw_duration_s,
    draw_onset_s,
    draw_population,
    draw_start_s,
)
from heliograph_lab.evaluate.scenario import CellSelector, Scenario, ScenarioEvent

SHARES = (0.20, 0.25, 0.30, 0.33, 0.36, 0.40, 0.45, 0.50, 0.55, 0.60)  # assumed
PER_LOCATION = 9  # vantages of a location; assumed
COLLUSION_LABEL = "collusion"


def draw_liars(rng: Random, draw: Draw) -> Scenario:
    """Draw 54 vantages of two operators, of which a share colludes."""
    locations = [
        VantageLocation("KZ", region, asn, "fixed") for asn in (1, 2) for region in REGIONS[:3]
    ]
    all_vantages = [
        w
        for location in locations
        for w in vantages_at(location, PER_LOCATION, T0 - ESTABLISHED_US)
    ]
    lying = _draw_liars(rng, all_vantages, float(draw.kind))
    cells = tuple(CellSelector("KZ", prefix=w.prefix) for w in lying)
    spread_s = rng.choice((2.0, 60.0, 600.0))
    votes = ScenarioEvent("anycast", (HOUR, HOUR), cells, lasts_s=HOUR, label=COLLUSION_LABEL)
    silence = replace(votes, do="lids", when=(2.5 * HOUR, 2.5 * HOUR), jitter_s=spread_s)
    votes = replace(votes, service="telegram", layer="tls", method="reset")
    events = [votes, silence]
    return assemble_scenario(
        draw, rng, 4 * HOUR, all_vantages, events, [TestedService("telegram", until_s=2.25 * HOUR)]
    )


def _draw_liars(rng: Random, all_vantages: list[VantageRef], share: float) -> list[VantageRef]:
    """Draw liars, at most their share of every location or of all vantages."""
    mixed = rng.sample(all_vantages, len(all_vantages))
    if rng.random() < 0.5:
        return mixed[: int(share * len(mixed))]
    drawn_counts: dict[VantageLocation, int] = {}
    lying = []
    for w in mixed:
        if drawn_counts.get(w.place, 0) < int(share * PER_LOCATION):
            drawn_counts[w.place] = drawn_counts.get(w.place, 0) + 1
            lying.append(w)
    return lying


USUAL_H = 12  # hours of tests before, for detectors that learn the usual level; assumed
TESTS = (
    TestedService("telegram", every_s=600.0, until_s=USUAL_H * HOUR),
    TestedService("telegram", since_s=USUAL_H * HOUR),
)


def _draw_cut(rng: Random, draw: Draw, cell: CellSelector, label: str) -> Scenario:
    lasts_s = draw_duration_s(rng)
    at_s = draw_start_s(rng, 2 * HOUR)
    is_repeated = rng.random() < NEXT_DAY
    if is_repeated:
        lasts_s = min(lasts_s, 20 * HOUR)
    jitter_s = draw_onset_s(rng)
    spared = CellSelector("KZ", access="hosting", share=0.5)
    cells: tuple[CellSelector, ...] = (cell,)
    if cell.scope.is_national:
        cells = (CellSelector("KZ", access="mobile"), CellSelector("KZ", access="fixed"), spared)
    spans = [
        (at_s, lasts_s),
        *([(at_s + DAY, min(draw_duration_s(rng), 20 * HOUR))] if is_repeated else []),
    ]
    events = tuple(
        ScenarioEvent(
            "cut",
            (at, at),
            cells,
            lasts_s=lasts,
            jitter_s=min(jitter_s, lasts / 3),
            scope=cell.scope,
            label=label,
        )
        for at, lasts in spans
    )
    end_s = max(at + lasts for at, lasts in spans) + HOUR
    return assemble_scenario(draw, rng, end_s, draw_population(rng, cell), events)


def draw_shutdown(rng: Random, draw: Draw) -> Scenario:
    """Draw a cut: national, mobile-only, one city, or the mobiles of one city."""
    mobile = rng.random() < MOBILE_ONLY
    city = rng.random() < ONE_CITY
    cell = CellSelector("KZ", rng.choice(REGIONS) if city else "", 0, "mobile" if mobile else "")
    label_parts = [*(["one-city"] if city else []), *(["mobile-only"] if mobile else [])]
    return _draw_cut(rng, draw, cell, " ".join(label_parts) or "national")


def draw_operator(rng: Random, draw: Draw) -> Scenario:
    """Draw a cut of one operator in all regions."""
    asn = rng.choice((*MOBILE, *FIXED))
    return _draw_cut(rng, draw, CellSelector("KZ", asn=asn), "one-operator")


def _draw_messenger(rng: Random, draw: Draw, do: str) -> Scenario:
    """Draw a block of the country, its mobiles or one operator, tested every minute."""
    cell, label = rng.choice(
        (
            (CellSelector("KZ"), "national"),
            (CellSelector("KZ", access="mobile"), "mobile-only"),
            (CellSelector("KZ", asn=rng.choice((*MOBILE, *FIXED))), "one-operator"),
        )
    )
    layer, method = rng.choice(LAYERS) if do == "block" else ("http", "throttled")
    at_s = (USUAL_H + 1.5) * HOUR + rng.uniform(0, 60)
    lasts_s = min(2.5 * HOUR, max(0.5 * HOUR, draw_duration_s(rng)))
    event = ScenarioEvent(
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
    everybody = draw_population(rng, cell)
    return assemble_scenario(draw, rng, at_s + lasts_s + 0.75 * HOUR, everybody, [event], TESTS)


def draw_block(rng: Random, draw: Draw) -> Scenario:
    """Draw a block of a messenger at one layer."""
    return _draw_messenger(rng, draw, "block")


def draw_throttle(rng: Random, draw: Draw) -> Scenario:
    """Draw a throttled messenger."""
    return _draw_messenger(rng, draw, "throttle")
