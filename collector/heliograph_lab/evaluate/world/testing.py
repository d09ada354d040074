"""Tests of a service by the default plan: whole, light, second looks, early runs.

A light check tries one endpoint, every few minutes. A first failure is repeated within 40 s. After
failures of two established vantages in different prefixes, five others of the country are asked
for a light check within one to three minutes, once in a quarter of an hour.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from random import Random

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.signals import FAILING_VALUES, VoteValue
from heliograph_lab.evaluate.world.events import ServiceTested
from heliograph_lab.evaluate.world.figures import draw
from heliograph_lab.evaluate.world.people import WorldVantage
from heliograph_lab.evaluate.world.world import PlannedTest, World

SECOND_LOOKS_S = 1_800.0  # at least so long between two second looks, as the agents do
ESTABLISHED_US = 14 * DAY_US  # who counts for an early run, as in the collector
FRESH_US = 600 * SECOND_US  # a failure counts so long for it
ASK_AGAIN_US = 900 * SECOND_US
MAX_ASKED = 5
REACTION_S = 35.0  # a batch of 30 s, judging, and the way back; assumed
NOISE = (("dns", "timeout"), ("tcp", "timeout"), ("tls", "timeout"))


@dataclass(frozen=True, slots=True)
class Tester:
    """A vantage that tests, and the seconds in which it is dark."""

    vantage: WorldVantage
    dark: tuple[tuple[float, float], ...]
    rng: Random

    def is_dark(self, second: float) -> bool:
        index = bisect_right(self.dark, (second, float("inf"))) - 1
        return index >= 0 and second < self.dark[index][1]


def render_tests(world: World, test: PlannedTest, testers: Sequence[Tester]) -> list[ServiceTested]:
    """Render all tests of one service."""
    results = [result for tester in testers for result in _render_planned(world, test, tester)]
    if test.light_s:
        results += _render_early_runs(world, test, testers, results)
    return results


def _render_planned(world: World, test: PlannedTest, tester: Tester) -> Iterator[ServiceTested]:
    for every_s, is_light in ((test.every_s, False), (test.light_s, True)):
        looked_s = -SECOND_LOOKS_S
        for second in _draw_moments(world, test, every_s, tester.rng):
            if tester.is_dark(second):
                continue
            result = _draw_test(world, test, tester, second, is_light=is_light)
            yield result
            if result.value in FAILING_VALUES and second - looked_s >= SECOND_LOOKS_S:
                looked_s = second + draw(tester.rng, "second_look")
                yield _draw_second_look(world, test, tester, looked_s, result)


def _draw_moments(world: World, test: PlannedTest, every_s: float, rng: Random) -> Iterator[float]:
    if not every_s:
        return
    second = test.since_s + rng.uniform(0, every_s)
    while second < min(world.lasts_s, test.until_s):
        yield second
        second += every_s * rng.uniform(0.9, 1.1)


def _draw_second_look(
    world: World, test: PlannedTest, tester: Tester, second: float, first: ServiceTested
) -> ServiceTested:
    """Draw the repetition of a failure, which noise may outlast."""
    retest = _draw_test(world, test, tester, second, is_light=first.is_light)
    if tester.rng.random() < draw(tester.rng, "noise_lasts"):
        retest = replace(first, at_us=retest.at_us)
    return replace(retest, trigger="second_look")


def _draw_test(
    world: World, test: PlannedTest, tester: Tester, second: float, *, is_light: bool
) -> ServiceTested:
    rng = tester.rng
    chance = rng.random()
    at_us = world.to_us(second)
    ref = tester.vantage.ref
    good = ServiceTested(at_us, ref, test.service, VoteValue.GOOD, is_light=is_light)
    if chance < test.unknown:
        return replace(good, value=VoteValue.UNKNOWN)
    for trouble in tester.vantage.troubles:
        is_now = trouble.since_s <= second < trouble.until_s
        if trouble.service == test.service and is_now and rng.random() < trouble.share:
            return replace(good, value=trouble.value, layer=trouble.layer, method=trouble.method)
    if chance < test.unknown + test.noise:
        layer, method = rng.choice(NOISE)
        return replace(good, value=VoteValue.BLOCKED, layer=layer, method=method)
    return good


@dataclass(slots=True)
class _NetworkFailures:
    by_prefix: dict[str, int] = field(default_factory=dict)
    asked_us: int = 0


def _render_early_runs(
    world: World, test: PlannedTest, testers: Sequence[Tester], results: Sequence[ServiceTested]
) -> Iterator[ServiceTested]:
    rng = Random(f"early:{world.name}:{world.seed}:{test.service}")  # noqa: S311 - a simulation
    by_country: defaultdict[str, list[Tester]] = defaultdict(list)
    for tester in testers:
        by_country[tester.vantage.location.country].append(tester)
    all_failures: defaultdict[str, _NetworkFailures] = defaultdict(_NetworkFailures)
    for result in sorted(results, key=attrgetter("at_us")):
        if result.value is not VoteValue.BLOCKED or not _is_established(world, result):
            continue
        failures = all_failures[result.vantage.place.country]
        failures.by_prefix[result.vantage.prefix] = result.at_us
        fresh = [p for p, at_us in failures.by_prefix.items() if result.at_us - at_us <= FRESH_US]
        if len(fresh) < 2 or result.at_us - failures.asked_us < ASK_AGAIN_US:
            continue
        failures.asked_us = result.at_us
        asked_s = (result.at_us - world.since_us) / SECOND_US + REACTION_S
        others = [
            tester
            for tester in by_country[result.vantage.place.country]
            if tester.vantage.ref.prefix not in fresh and not tester.is_dark(asked_s)
        ]
        spread_s = draw(rng, "early_spread")
        for tester in rng.sample(others, min(MAX_ASKED, len(others))):
            second = asked_s + rng.uniform(0, spread_s)
            early = _draw_test(world, test, tester, second, is_light=True)
            yield replace(early, trigger="early_run")


def _is_established(world: World, result: ServiceTested) -> bool:
    return result.at_us - result.vantage.first_us >= ESTABLISHED_US
