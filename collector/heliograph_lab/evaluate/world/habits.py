"""Draw habits: silences without events, by the hour, correlated and heavy-tailed."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from heliograph_lab.evaluate.world.figures import DAY, HOUR, draw
from heliograph_lab.evaluate.world.people import Silence, SilenceCause, WorldVantage

PEAK_S = 16 * HOUR  # 21:00 to 22:00 in Kazakhstan: most restarts and departures; assumed
LONGEST_S = 12 * HOUR  # a longer absence is an evening's; assumed
NIGHTLY_SHARE = 0.3  # at most so many leave each night, half of them with a goodbye; assumed


@dataclass(frozen=True, slots=True)
class Downtime:
    """A Weibull distribution of downtimes with this median."""

    shape: float
    median_s: float

    def draw_s(self, rng: Random) -> float:
        scale_s = self.median_s / math.log(2) ** (1 / self.shape)
        return min(LONGEST_S, max(1.0, rng.weibullvariate(scale_s, self.shape)))


def add_habits(rng: Random, vantages: Sequence[WorldVantage], lasts_s: float) -> None:
    """Add the silences that vantages of one country have by themselves."""
    downtime = Downtime(draw(rng, "down_shape"), draw(rng, "down_median"))
    swing = draw(rng, "day_swing")
    for vantage in vantages:
        vantage.silences += _draw_churn(rng, vantage.churn, swing, downtime, lasts_s)
    _add_local_faults(rng, vantages, downtime, lasts_s)
    _add_nights(rng, vantages, lasts_s)


def _draw_churn(
    rng: Random, per_day: float, swing: float, downtime: Downtime, lasts_s: float
) -> list[Silence]:
    """Draw by thinning: the rate is highest at PEAK_S."""
    silences: list[Silence] = []
    second = 0.0
    highest = per_day * (1 + swing) / DAY
    while True:
        second += rng.expovariate(highest)
        if second >= lasts_s:
            return silences
        phase = math.cos(2 * math.pi * (second - PEAK_S) / DAY)
        if rng.random() * (1 + swing) < 1 + swing * phase:
            back_s = second + downtime.draw_s(rng)
            silences.append(Silence(second, back_s, "own"))
            second = back_s


def _add_local_faults(
    rng: Random, vantages: Sequence[WorldVantage], downtime: Downtime, lasts_s: float
) -> None:
    """Add faults that a minority of an operator's vantages in a region share."""
    cells: defaultdict[tuple[int, str], list[WorldVantage]] = defaultdict(list)
    for vantage in vantages:
        cells[vantage.location.asn, vantage.location.region].append(vantage)
    per_day = draw(rng, "local_faults")
    share = draw(rng, "local_share")
    for members in cells.values():
        second = rng.expovariate(per_day / DAY)
        while second < lasts_s:
            until_s = second + downtime.draw_s(rng)
            for vantage in rng.sample(members, int(share * len(members))):
                vantage.silences.append(Silence(second + rng.uniform(0, 20), until_s, "path"))
            second = until_s + rng.expovariate(per_day / DAY)


def _add_nights(rng: Random, vantages: Sequence[WorldVantage], lasts_s: float) -> None:
    """Let some people go to bed every night, half of them with a goodbye."""
    share = rng.uniform(0, NIGHTLY_SHARE)
    sleepers = [v for v in vantages if v.location.access != "hosting" and rng.random() < share]
    for vantage in sleepers:
        bed_s = rng.gauss(PEAK_S + 2 * HOUR, 1.5 * HOUR)
        cause: SilenceCause = "own" if rng.random() < 0.5 else "away"
        for day in range(-1, math.ceil(lasts_s / DAY)):
            since_s = day * DAY + bed_s + rng.gauss(0, 0.5 * HOUR)
            silence = Silence(since_s, since_s + rng.uniform(6, 10) * HOUR, cause)
            if 0 < silence.since_s < lasts_s:
                vantage.silences.append(silence)
