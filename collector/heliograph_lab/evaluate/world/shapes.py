"""Shapes: at which second each vantage falls and comes back.

A shape returns one offset in seconds for each vantage, from the first moment of the event.
"""

import math
from collections.abc import Sequence
from random import Random
from typing import Protocol

from heliograph_collector.model.signals import VantageLocation
from heliograph_lab.evaluate.world.figures import MINUTE, draw


class LocatedVantage(Protocol):
    """Vantage with a location, as shapes need it."""

    @property
    def location(self) -> VantageLocation:
        """Return where it is."""
        ...


def shape_step(rng: Random, members: Sequence[LocatedVantage], spread_s: float) -> list[float]:
    """Let all fall within a spread."""
    return [rng.uniform(0, spread_s) for _ in members]


def shape_providers(rng: Random, members: Sequence[LocatedVantage], spread_s: float) -> list[float]:
    """Let operator after operator fall, in half of the draws the mobile ones first."""
    operators = sorted({(v.location.access, v.location.asn) for v in members})
    rng.shuffle(operators)
    if rng.random() < 0.5:
        operators.sort(key=_is_not_mobile)
    times = sorted(rng.uniform(0, spread_s) for _ in operators)
    moments = {asn: at - times[0] for (_, asn), at in zip(operators, times, strict=True)}
    jitter_s = draw(rng, "provider_jitter")
    return [moments[v.location.asn] + rng.uniform(0, jitter_s) for v in members]


def _is_not_mobile(operator: tuple[str, int]) -> bool:
    return operator[0] != "mobile"


def shape_fade(rng: Random, members: Sequence[LocatedVantage], half_s: float) -> list[float]:
    """Let each fall at its own moment, by a logistic or a piecewise linear curve.

    Args:
        half_s: Half have fallen after it, nine tenths after `fade_tail` times as long.
    """
    most_s = half_s * draw(rng, "fade_tail")
    invert = _invert_logistic if rng.random() < 0.5 else _invert_linear
    offsets = [invert(rng.random(), half_s, most_s) for _ in members]
    first_s = min(offsets, default=0.0)
    return [offset - first_s for offset in offsets]


def _invert_logistic(share: float, half_s: float, most_s: float) -> float:
    width = (most_s - half_s) / math.log(9)
    clipped = min(0.995, max(0.005, share))
    return max(0.0, half_s + width * math.log(clipped / (1 - clipped)))


def _invert_linear(share: float, half_s: float, most_s: float) -> float:
    """Return when this share has fallen: linear to one half, then to nine tenths."""
    if share <= 0.5:
        return half_s * share / 0.5
    return half_s + (most_s - half_s) * (share - 0.5) / 0.4


def shape_power(rng: Random, members: Sequence[LocatedVantage]) -> list[float]:
    """Draw falls of lines, at once or by towns, and of phones with masts' batteries."""
    at_once = draw(rng, "power_at_once") if rng.random() < 0.5 else 0.0
    half_s = draw(rng, "power_half")
    towns = {v.location.region: rng.uniform(0, half_s) for v in members}
    battery_s = draw(rng, "phone_battery")
    offsets = []
    for vantage in members:
        town_s = towns[vantage.location.region]
        if vantage.location.access == "mobile":
            offsets.append(rng.uniform(0.3, 1.2) * battery_s)
        elif rng.random() < at_once:
            offsets.append(rng.uniform(0, 5))
        else:
            offsets.append(town_s + rng.expovariate(1 / (10 * MINUTE)))
    return offsets


def shape_return(rng: Random, members: Sequence[LocatedVantage]) -> list[float]:
    """Draw returns at once, by operators, or one by one, within three hours."""
    spread_s = draw(rng, "lift_spread")
    if rng.random() < 0.5:
        return shape_providers(rng, members, spread_s)
    return shape_step(rng, members, spread_s)
