"""Figures with their intervals, from the outcomes of all replays. Pure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from heliograph_lab.evaluate import intervals
from heliograph_lab.evaluate.detectors import CONTENDERS
from heliograph_lab.evaluate.priors import BANDS
from heliograph_lab.evaluate.run import DATED, FILE, ReplayOutcome
from heliograph_lab.evaluate.score import FalseAlarm, ReplayScore, TruthResult

EVENTS = ("shutdown", "operator", "block", "throttle", FILE)
REGIONAL = ("one-city", "one-operator")
MOBILE = ("mobile-only", "one-city mobile-only")


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure with its exact 95 % interval; nan without data."""

    value: float
    low: float
    high: float
    n: float  # sample size or exposure


NO_MEASURE = Measure(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True, slots=True)
class ContenderResults:
    """The scores of one contender on all replays."""

    replays: tuple[tuple[ReplayOutcome, ReplayScore], ...]

    def select_truths(self, predicate: Callable[[TruthResult], bool]) -> list[TruthResult]:
        return [
            f for o, v in self.replays if o.draw.family in EVENTS for f in v.truths if predicate(f)
        ]

    def in_families(self, *families: str) -> list[tuple[ReplayOutcome, ReplayScore]]:
        return [(o, v) for o, v in self.replays if o.draw.family in families]


def group_by_contender(outcomes: Iterable[ReplayOutcome]) -> dict[str, ContenderResults]:
    all_outcomes = list(outcomes)
    return {
        name: ContenderResults(tuple((o, o.verdicts[name]) for o in all_outcomes))
        for name in CONTENDERS
    }


def is_cut(truth: TruthResult) -> bool:
    return truth.kind == "cut"


def is_service(truth: TruthResult) -> bool:
    return truth.kind != "cut"


def is_large(truth: TruthResult) -> bool:
    return truth.size >= 10


def quantile(values: Sequence[float], q: float) -> Measure:
    measured = [value for value in values if not math.isnan(value)]
    if not measured:
        return NO_MEASURE
    low, high = intervals.quantile_range(measured, q)
    return Measure(intervals.quantile(measured, q), low, high, len(measured))


def delay(
    predicate: Callable[[TruthResult], bool], field_name: str, q: float = 0.95
) -> Callable[[ContenderResults], Measure]:
    """Return a measure of a delay of sudden truths; undetected ones are infinite."""
    return lambda results: quantile(
        [
            float(getattr(f, field_name))
            for f in results.select_truths(lambda f: f.sudden and predicate(f))
        ],
        q,
    )


def _share(hits: int, n: int) -> Measure:
    if not n:
        return NO_MEASURE
    return Measure(hits / n, *intervals.share(hits, n), n)


def _rate(events: int, exposure: float) -> Measure:
    if not exposure:
        return NO_MEASURE
    return Measure(events / exposure, *intervals.rate(events, exposure), exposure)


def is_national_cut(truth: TruthResult) -> bool:
    return is_cut(truth) and truth.label == "national" and truth.size >= 20


def false_alarms(family: str, is_national: bool) -> Callable[[ContenderResults], Measure]:
    def measure(results: ContenderResults) -> Measure:
        played = results.in_families(family)
        wrong = sum(
            1
            for _, v in played
            for w in v.wrong
            if w.scope.is_national == is_national and w.scope.country
        )
        years = (o.country_years if is_national else o.cell_years for o, _ in played)
        return _rate(wrong, math.fsum(years))

    return measure


def recall(predicate: Callable[[TruthResult], bool]) -> Callable[[ContenderResults], Measure]:
    def measure(results: ContenderResults) -> Measure:
        truths = results.select_truths(predicate)
        return _share(sum(f.is_detected for f in truths), len(truths))

    return measure


def precision(of_services: bool) -> Callable[[ContenderResults], Measure]:
    families = ("block", "throttle") if of_services else ("shutdown", "operator")

    def measure(results: ContenderResults) -> Measure:
        right = sum(v.right for _, v in results.in_families(*families, FILE))
        played = results.in_families(*families, "confounder", FILE)
        wrong = sum(1 for _, v in played for w in v.wrong if bool(w.service) == of_services)
        return _share(right, right + wrong)

    return measure


def alerts(results: ContenderResults) -> Measure:
    """Measure alerts per detected event, with the interval of a Poisson mean."""
    played = results.in_families(*EVENTS)
    detected = sum(f.is_detected for _, v in played for f in v.truths)
    return _rate(sum(v.calls for _, v in played), detected)


def brackets(results: ContenderResults) -> Measure:
    holds = [b for f in results.select_truths(lambda f: True) for b in f.brackets]
    return _share(sum(holds), len(holds))


def collusion(results: ContenderResults) -> Measure:
    """Return the largest share of liars up to which no national alarm was raised."""
    raised_by_share: dict[float, bool] = {}
    seeds = set()
    for outcome, verdict in results.in_families("liars"):
        share = float(outcome.draw.kind)
        raised_by_share[share] = raised_by_share.get(share, False) or any(
            _is_national(w) for w in verdict.wrong
        )
        seeds.add(outcome.draw.seed)
    if not raised_by_share:
        return NO_MEASURE
    withstood = 0.0
    for share in sorted(raised_by_share):
        if raised_by_share[share]:
            return Measure(withstood, withstood, share, len(seeds))
        withstood = share
    return Measure(withstood, withstood, 1.0, len(seeds))


def _is_national(wrong: FalseAlarm) -> bool:
    return wrong.scope.is_national


def dated_recall(
    channel_of: Callable[[TruthResult], bool],
) -> Callable[[ContenderResults], Measure]:
    """Return a measure of recall on dated real events."""

    def measure(results: ContenderResults) -> Measure:
        truths = [f for _, v in results.in_families(DATED) for f in v.truths if channel_of(f)]
        return _share(sum(f.is_detected for f in truths), len(truths))

    return measure


def is_in_band(band: int) -> Callable[[TruthResult], bool]:
    """Return a predicate for cuts of at least `band` vantages, below the next band."""
    return lambda truth: is_cut(truth) and band == _band(truth)


def _band(truth: TruthResult) -> int:
    return max((band for band in BANDS if band <= truth.size), default=0)


def confounder_counts(
    results_by_name: Mapping[str, ContenderResults],
) -> dict[str, dict[str, tuple[int, int]]]:
    """Count (replays with a false alarm, replays) by confounder and contender."""
    table: dict[str, dict[str, tuple[int, int]]] = {}
    for name, results in results_by_name.items():
        for outcome, verdict in results.in_families("confounder"):
            kind = outcome.draw.kind
            raised, n = table.setdefault(kind, {}).get(name, (0, 0))
            table[kind][name] = raised + bool(verdict.wrong), n + 1
    return table
