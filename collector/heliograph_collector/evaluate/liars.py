"""Liars: a share of the established vantages feigns a block, and then a blackout."""

from random import Random

from heliograph_collector.detect.signals import Place, Witness
from heliograph_collector.evaluate.priors import HOUR, REGIONS, T0, Draw, assemble
from heliograph_collector.evaluate.scenario import Cell, Event, Scenario
from heliograph_collector.evaluate.world import ESTABLISHED_US, Service, people

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
