"""Shipped corpus, drawn from seeds: shutdowns, confounders, quiet months, liars."""

from collections.abc import Callable, Iterator, Mapping
from random import Random

from heliograph_lab.evaluate.confounders import (
    CONFOUNDERS,
    UNWITNESSED_POWER,
    draw_confounder,
    draw_quiet,
    draw_tested,
)
from heliograph_lab.evaluate.priors import Draw
from heliograph_lab.evaluate.scenario import Scenario
from heliograph_lab.evaluate.shutdowns import (
    SHARES,
    draw_block,
    draw_liars,
    draw_operator,
    draw_shutdown,
    draw_throttle,
)

REPORTING = 1_000_000  # seeds from here on are for reporting; nothing is tuned on them
HALVES = {"tuning": 0, "reporting": REPORTING}
FAMILIES: Mapping[str, Callable[[Random, Draw], Scenario]] = {
    "quiet": draw_quiet,
    "tested": draw_tested,
    "shutdown": draw_shutdown,
    "operator": draw_operator,
    "block": draw_block,
    "throttle": draw_throttle,
    "confounder": draw_confounder,
    "liars": draw_liars,
}
PER_SEED = {  # scenarios of each family per seed, assumed; the longest replays first
    "quiet": 0.12,
    "tested": 0.02,
    "shutdown": 1.0,
    "operator": 0.2,
    "block": 0.25,
    "throttle": 0.08,
}
LIARS_PER_SEED = 0.04  # sweeps over the shares of liars; assumed


def draw_scenario(draw: Draw) -> Scenario:
    """Draw a scenario, equal for equal draws. Raises KeyError on an unknown family."""
    rng = Random(f"{draw.family}:{draw.kind}:{draw.seed}")  # noqa: S311 - a simulation, repeatable
    return FAMILIES[draw.family](rng, draw)


def corpus_draws(seeds: int, half: str) -> Iterator[Draw]:
    """Yield the corpus: `seeds` shutdowns and confounders, others in proportion."""
    first = HALVES[half]
    for family, per_seed in PER_SEED.items():
        for number in range(_at_least_one(seeds * per_seed)):
            yield Draw(family, first + number)
    for number in range(seeds):
        yield Draw("confounder", first + number, CONFOUNDERS[number % len(CONFOUNDERS)])
    for number in range(_at_least_one(seeds / 50)):
        yield Draw("confounder", first + number, UNWITNESSED_POWER)
    for number in range(_at_least_one(seeds * LIARS_PER_SEED)):
        for share in SHARES:
            yield Draw("liars", first + number, str(share))


def _at_least_one(count: float) -> int:
    return max(1, round(count))
