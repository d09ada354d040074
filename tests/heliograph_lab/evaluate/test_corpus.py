"""The corpus is drawn as it is published, and every member of it can be played."""

import math
from collections import Counter
from functools import cache
from random import Random

import pytest

from heliograph_lab.evaluate import corpus, intervals, priors
from heliograph_lab.evaluate.confounders import CONFOUNDERS, UNWITNESSED_POWER
from heliograph_lab.evaluate.priors import DAY, HOUR, Draw
from heliograph_lab.evaluate.scenario import Scenario, play_scenario
from heliograph_lab.evaluate.shutdowns import PER_LOCATION

DRAWN = 1_000
WIDE = 0.001  # an interval that a true prior leaves once in a thousand runs; the seeds are fixed


@cache
def shutdowns() -> list[Scenario]:
    return [corpus.draw_scenario(Draw("shutdown", seed)) for seed in range(DRAWN)]


def held(hits: int, prior: float) -> bool:
    low, high = intervals.share(hits, DRAWN, WIDE)
    return low <= prior <= high


def cuts(scenario: Scenario) -> list[float]:
    return [event.when[0] for event in scenario.events]


def test_shutdowns_are_as_wide_on_the_hour_and_repeated_as_they_are_published() -> None:
    scopes = [s.events[0].scope for s in shutdowns()]
    assert held(sum(scope is not None and scope.access == "mobile" for scope in scopes), 0.40)
    assert held(sum(scope is not None and scope.region != "" for scope in scopes), 0.40)
    assert held(sum(cuts(s)[0] % HOUR == 0 for s in shutdowns()), 0.706)
    assert held(sum(cuts(s)[0] % (HOUR / 2) == 0 for s in shutdowns()), 0.848)
    again = [cuts(s) for s in shutdowns() if len(s.events) > 1]
    assert held(len(again), 0.443)
    assert all(second - first == DAY for first, second in again)


def test_they_last_as_long_as_they_do() -> None:
    rng = Random(1)
    lengths = sorted(priors.draw_duration_s(rng) / HOUR for _ in range(10_000))
    assert lengths[5_000] == pytest.approx(5.5, rel=0.1)
    assert lengths[500] == pytest.approx(0.83, rel=0.15)
    assert lengths[9_000] == pytest.approx(22.3, rel=0.1)


def test_the_halves_share_no_seed_and_the_corpus_is_as_large_as_it_must_be() -> None:
    tuning, reporting = (list(corpus.corpus_draws(1_000, half)) for half in ("tuning", "reporting"))
    assert max(d.seed for d in tuning) < 1_000_000 <= min(d.seed for d in reporting)
    counted = Counter(d.family for d in reporting)
    assert counted["shutdown"] >= 1_000
    assert counted["confounder"] >= 1_000
    kinds = Counter(d.kind for d in reporting if d.family == "confounder")
    assert set(kinds) == {*CONFOUNDERS, UNWITNESSED_POWER}
    assert min(kinds[kind] for kind in CONFOUNDERS) >= 1_000 // len(CONFOUNDERS)


@pytest.mark.parametrize("family", ["shutdown", "operator", "block", "throttle"])
def test_drawn_shutdown_has_the_size_of_a_band_and_its_truth(family: str) -> None:
    sizes = set()
    for seed in range(30):
        scenario = corpus.draw_scenario(Draw(family, seed))
        scope = scenario.events[0].scope
        assert scope is not None
        people = [w for w in scenario.vantages if scope.includes(w.place)]
        sizes.add(len([w for w in people if w.place.access != "hosting"]))
    assert sizes <= set(priors.BANDS)
    assert len(sizes) > 2

    scenario = corpus.draw_scenario(Draw(family, 4))
    replay = play_scenario(scenario, 4)
    kind = "cut" if family in ("shutdown", "operator") else family
    assert [(t.kind, t.scope) for t in replay.truths] == [(kind, e.scope) for e in scenario.events]


@pytest.mark.parametrize("kind", [*CONFOUNDERS, UNWITNESSED_POWER])
def test_a_confounder_is_none_of_what_is_looked_for(kind: str) -> None:
    replay = play_scenario(corpus.draw_scenario(Draw("confounder", 3, kind)), 3)
    assert {(t.kind, t.label) for t in replay.truths} == {("confounder", kind)}
    assert replay.truths[0].scoreable == (kind != UNWITNESSED_POWER)


def test_liars_are_no_more_than_their_share() -> None:
    for seed in range(20):
        scenario = corpus.draw_scenario(Draw("liars", seed, "0.33"))
        lying = {cell.prefix for cell in scenario.events[0].cells}
        honest = [w for w in scenario.vantages if w.place.country == "KZ"]
        assert 0 < len(lying) <= math.floor(0.33 * len(honest))
        assert len(honest) == 6 * PER_LOCATION
        assert len({w.place.asn for w in honest if w.prefix in lying}) == 2


def test_a_quiet_month_has_no_truth_but_confounders() -> None:
    replay = play_scenario(corpus.draw_scenario(Draw("quiet", 1)), 1)
    assert {t.kind for t in replay.truths} == {"confounder"}
    assert replay.until_us - replay.since_us == 30 * 86_400_000_000
