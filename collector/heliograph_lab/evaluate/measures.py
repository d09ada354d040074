"""Figures with their intervals, from the outcomes of all replays. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from heliograph_lab.evaluate import intervals
from heliograph_lab.evaluate.detectors import CONTENDERS
from heliograph_lab.evaluate.run import FILE, ReplayOutcome
from heliograph_lab.evaluate.score import ReplayScore, TruthResult

EVENTS = ("shutdown", "operator", "block", "throttle", FILE)
Delay = Literal["suspected_s", "confirmed_s", "named_s", "layered_s", "restored_s", "width_s"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure with its exact 95 % interval; nan without data."""

    value: float
    low: float
    high: float
    n: float  # sample size or exposure


NO_MEASURE = Measure(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthFilter:
    """A selection of truths; an empty field matches all."""

    kinds: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    min_size: float = 0  # vantages
    below_size: float = math.inf

    def includes(self, truth: TruthResult) -> bool:
        return (
            (not self.kinds or truth.kind in self.kinds)
            and (not self.labels or truth.label in self.labels)
            and self.min_size <= truth.size < self.below_size
        )


@dataclass(frozen=True, slots=True)
class ContenderResults:
    """The scores of one contender on all replays."""

    replays: tuple[tuple[ReplayOutcome, ReplayScore], ...]

    def select_truths(
        self, truths: TruthFilter, families: Sequence[str] = EVENTS
    ) -> list[TruthResult]:
        scores = [score for _, score in self.in_families(*families)]
        return [truth for score in scores for truth in score.truths if truths.includes(truth)]

    def in_families(self, *families: str) -> list[tuple[ReplayOutcome, ReplayScore]]:
        return [
            (outcome, score) for outcome, score in self.replays if outcome.draw.family in families
        ]


def group_by_contender(outcomes: Iterable[ReplayOutcome]) -> dict[str, ContenderResults]:
    all_outcomes = list(outcomes)
    return {
        name: ContenderResults(tuple((o, o.verdicts[name]) for o in all_outcomes))
        for name in CONTENDERS
    }


@dataclass(frozen=True, slots=True)
class DelayQuantile:
    """A quantile of a delay or width of sudden truths; undetected ones are infinite."""

    unit: ClassVar = "s"
    truths: TruthFilter
    delay: Delay
    q: float = 0.95

    def measure(self, results: ContenderResults) -> Measure:
        sudden = [truth for truth in results.select_truths(self.truths) if truth.sudden]
        delays_s = [float(getattr(truth, self.delay)) for truth in sudden]
        measured = [delay_s for delay_s in delays_s if not math.isnan(delay_s)]
        if not measured:
            return NO_MEASURE
        low, high = intervals.quantile_range(measured, self.q)
        return Measure(intervals.quantile(measured, self.q), low, high, len(measured))


def _share(hits: int, n: int) -> Measure:
    return Measure(hits / n, *intervals.share(hits, n), n) if n else NO_MEASURE


def _rate(events: int, exposure: float) -> Measure:
    if not exposure:
        return NO_MEASURE
    return Measure(events / exposure, *intervals.rate(events, exposure), exposure)


@dataclass(frozen=True, slots=True)
class FalseAlarmRate:
    """False alarms a year, of countries or of smaller cells."""

    unit: ClassVar = "a year"
    family: str
    is_national: bool

    def measure(self, results: ContenderResults) -> Measure:
        replays = results.in_families(self.family)
        scopes = [false_alarm.scope for _, score in replays for false_alarm in score.wrong]
        wrong = [s for s in scopes if s.is_national == self.is_national and s.country]
        years = [o.country_years if self.is_national else o.cell_years for o, _ in replays]
        return _rate(len(wrong), math.fsum(years))


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of truths that were detected."""

    unit: ClassVar = "share"
    truths: TruthFilter
    families: tuple[str, ...] = EVENTS

    def measure(self, results: ContenderResults) -> Measure:
        truths = results.select_truths(self.truths, self.families)
        return _share(sum(truth.is_detected for truth in truths), len(truths))


@dataclass(frozen=True, slots=True)
class Precision:
    """The share of incidents that were true, among cuts or among services."""

    unit: ClassVar = "share"
    of_services: bool

    def measure(self, results: ContenderResults) -> Measure:
        families = ("block", "throttle") if self.of_services else ("shutdown", "operator")
        right = sum(score.right for _, score in results.in_families(*families, FILE))
        scores = [score for _, score in results.in_families(*families, "confounder", FILE)]
        services = [false_alarm.service for score in scores for false_alarm in score.wrong]
        wrong = sum(bool(service) == self.of_services for service in services)
        return _share(right, right + wrong)


class AlertsPerEvent:
    """Alerts per detected event, with the interval of a Poisson mean."""

    unit: ClassVar = "each"

    def measure(self, results: ContenderResults) -> Measure:
        scores = [score for _, score in results.in_families(*EVENTS)]
        detected = sum(truth.is_detected for score in scores for truth in score.truths)
        return _rate(sum(score.calls for score in scores), detected)


class BracketCoverage:
    """The share of brackets that hold the truth."""

    unit: ClassVar = "share"

    def measure(self, results: ContenderResults) -> Measure:
        hits = [hit for truth in results.select_truths(TruthFilter()) for hit in truth.brackets]
        return _share(sum(hits), len(hits))


class CollusionResistance:
    """The largest share of liars up to which no national alarm was raised."""

    unit: ClassVar = "share"

    def measure(self, results: ContenderResults) -> Measure:
        liars = results.in_families("liars")
        if not liars:
            return NO_MEASURE
        raised = {
            float(outcome.draw.kind)
            for outcome, score in liars
            if any(false_alarm.scope.is_national for false_alarm in score.wrong)
        }
        lowest = min(raised, default=1.0)
        shares = {float(outcome.draw.kind) for outcome, _ in liars}
        withstood = max((share for share in shares - raised if share <= lowest), default=0.0)
        return Measure(withstood, withstood, lowest, len({o.draw.seed for o, _ in liars}))


def confounder_counts(
    results_by_name: Mapping[str, ContenderResults],
) -> dict[str, dict[str, tuple[int, int]]]:
    """Count (replays with a false alarm, replays) by confounder and contender."""
    table: dict[str, dict[str, tuple[int, int]]] = {}
    for name, results in results_by_name.items():
        for outcome, score in results.in_families("confounder"):
            kind = outcome.draw.kind
            raised, n = table.setdefault(kind, {}).get(name, (0, 0))
            table[kind][name] = raised + bool(score.wrong), n + 1
    return table
