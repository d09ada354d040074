"""Families of liars: vantages under one hand that feign a silence and a block."""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VoteValue
from heliograph_lab.evaluate.world.figures import HOUR
from heliograph_lab.evaluate.world.people import COUNTRIES, WorldVantage
from heliograph_lab.evaluate.world.services import add_test
from heliograph_lab.evaluate.world.world import (
    T0_US,
    Spans,
    TruthDetails,
    World,
    create_world,
)

COUNTRY = COUNTRIES[0]
SHARES = (0.10, 0.20, 0.30, 0.33, 0.36, 0.45, 0.55)  # of the established; swept
LABEL = "liars"


def draw_established(rng: Random, seed: int, kind: str) -> World:
    """Draw a country of 54 established vantages, of which a share (`kind`) lies.

    The liars are spread over networks, or as dense as they can be in two of them.
    """
    world = create_world("established", seed, rng, 6 * HOUR, 54, 20)
    home = world.members(Scope(COUNTRY))
    for vantage in home:
        vantage.ref = replace(vantage.ref, first_us=T0_US - rng.randint(20, 200) * DAY_US)
    order = rng.sample(home, len(home))
    if rng.random() < 0.5:
        order.sort(key=_asn_of)
    _feign(world, rng, order[: math.floor(float(kind) * len(home))])
    return world


def _asn_of(vantage: WorldVantage) -> int:
    return vantage.location.asn


def draw_young(rng: Random, seed: int, kind: str) -> World:
    """Draw a small country in which ten times as many newcomers of two hours lie."""
    world = create_world("young", seed, rng, 6 * HOUR, rng.choice((6, 12, 36)), 20)
    home = world.members(Scope(COUNTRY))
    if rng.random() < 0.5:  # the whole country is young
        for vantage in home:
            age_us = round(rng.uniform(1, 12) * DAY_US)
            vantage.ref = replace(vantage.ref, first_us=T0_US - age_us)
    liars = []
    for number in range(10 * len(home)):
        model = rng.choice(home)
        name = f"liar-{number}"
        age_us = 2 * HOUR_US
        ref = replace(model.ref, nym=name, prefix=name, first_us=T0_US - age_us)
        liars.append(WorldVantage(ref, 0.0, model.retry_limit_s, weight=0.0))
    world.vantages += liars
    _feign(world, rng, liars)
    return world


def _feign(world: World, rng: Random, liars: Sequence[WorldVantage]) -> None:
    """Let liars feign a block for an hour, and a silence two hours later."""
    spread_s = rng.choice((2.0, 60.0, 600.0))
    add_test(world, rng, "telegram")
    for hour, service in ((1, "telegram"), (3.5, "")):
        since_s = tuple(hour * HOUR + rng.uniform(0, spread_s) for _ in liars)
        spans = Spans(tuple(liars), since_s, tuple(since + HOUR for since in since_s))
        details = TruthDetails("confounder", Scope(COUNTRY), LABEL, service, "tls")
        if service:
            world.trouble(details, spans, VoteValue.BLOCKED, "reset")
        else:
            world.silence(spans, "own")
            world.record(details, spans)
