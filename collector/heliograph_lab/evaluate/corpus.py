"""The shipped corpus: shutdowns, what is none, quiet months, liars. Each from a seed."""

from collections.abc import Callable, Iterator, Mapping
from random import Random

from heliograph_lab.evaluate.confounders import CONFOUNDERS, UNTOLD, confounder, quiet, tested
from heliograph_lab.evaluate.priors import Draw
from heliograph_lab.evaluate.scenario import Scenario
from heliograph_lab.evaluate.shutdowns import SHARES, block, liars, operator, shutdown, throttle

SEEDS = 1_000  # shutdowns, and confounders, of the whole corpus
REPORTING = 1_000_000  # seeds from here on are for reporting; nothing is tuned on them
HALVES = {"tuning": 0, "reporting": REPORTING}
FAMILIES: Mapping[str, Callable[[Random, Draw], Scenario]] = {
    "quiet": quiet,
    "tested": tested,
    "shutdown": shutdown,
    "operator": operator,
    "block": block,
    "throttle": throttle,
    "confounder": confounder,
    "liars": liars,
}
PER_SEED = {  # how many of each, by seed; the long ones first
    "quiet": 0.12,
    "tested": 0.02,
    "shutdown": 1.0,
    "operator": 0.2,
    "block": 0.25,
    "throttle": 0.08,
}
LIARS = 0.04  # seeds of the sweep over their shares


def scenario(draw: Draw) -> Scenario:
    """The same draw, the same scenario. Raises KeyError for an unknown family."""
    rng = Random(f"{draw.family}:{draw.kind}:{draw.seed}")  # noqa: S311 - a simulation, repeatable
    return FAMILIES[draw.family](rng, draw)


def draws(seeds: int, half: str) -> Iterator[Draw]:
    """The corpus: `seeds` shutdowns, as many confounders, and the others in proportion."""
    first = HALVES[half]
    for family, per_seed in PER_SEED.items():
        for number in range(_least_one(seeds * per_seed)):
            yield Draw(family, first + number)
    for number in range(seeds):
        yield Draw("confounder", first + number, CONFOUNDERS[number % len(CONFOUNDERS)])
    for number in range(_least_one(seeds / 50)):
        yield Draw("confounder", first + number, UNTOLD)
    for number in range(_least_one(seeds * LIARS)):
        for share in SHARES:
            yield Draw("liars", first + number, str(share))


def _least_one(count: float) -> int:
    return max(1, round(count))
