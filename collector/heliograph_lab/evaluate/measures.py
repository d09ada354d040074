"""Figures with their intervals, from the outcomes of all replays. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from heliograph_lab.evaluate import intervals
from heliograph_lab.evaluate.detectors import CONTENDERS
from heliograph_lab.evaluate.run import DATED, FILE, ReplayOutcome
from heliograph_lab.evaluate.score import LabelVerdict, ReplayScore, TruthResult
from heliograph_lab.evaluate.world.families import CUTS, DISTURBANCES, LIARS, QUIET, SERVICES

CUT_FAMILIES = (*CUTS, FILE)
SERVICE_FAMILIES = ("block", "backlog", "partial", FILE)
RISKY_FAMILIES = (*CUTS, *DISTURBANCES, *SERVICES, FILE)
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

    families: tuple[str, ...] = (*CUTS, *SERVICES, FILE)
    draws: tuple[str, ...] = ()  # the kind of a family's draw
    kinds: tuple[str, ...] = ()
    min_size: float = 0  # vantages

    def includes(self, draw_kind: str, truth: TruthResult) -> bool:
        return (
            (not self.draws or draw_kind in self.draws)
            and (not self.kinds or truth.kind in self.kinds)
            and self.min_size <= truth.size
        )


@dataclass(frozen=True, slots=True)
class ContenderResults:
    """The scores of one contender on all replays."""

    replays: tuple[tuple[ReplayOutcome, ReplayScore], ...]

    def select_truths(self, truths: TruthFilter) -> list[TruthResult]:
        return [
            truth
            for outcome, score in self.in_families(*truths.families)
            for truth in score.truths
            if truths.includes(outcome.draw.kind, truth)
        ]

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
    """A quantile of a delay or width; undetected truths are infinite.

    `from_half` counts from the moment at which half of the vantages were affected, because a step
    may itself take two minutes.
    """

    unit: ClassVar = "s"
    truths: TruthFilter
    delay: Delay
    q: float = 0.95
    from_half: bool = False

    def measure(self, results: ContenderResults) -> Measure:
        delays_s = [
            float(getattr(truth, self.delay)) - (truth.half_s if self.from_half else 0)
            for truth in results.select_truths(self.truths)
        ]
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
    """False alarms a year of countries or smaller cells, by silence or of services."""

    unit: ClassVar = "a year"
    families: tuple[str, ...]
    is_national: bool
    of_services: bool = False

    def measure(self, results: ContenderResults) -> Measure:
        replays = results.in_families(*self.families)
        wrong = [
            alarm
            for _, score in replays
            for alarm in score.wrong
            if alarm.scope.country
            and alarm.scope.is_national == self.is_national
            and bool(alarm.service) == self.of_services
        ]
        years = [o.country_years if self.is_national else o.cell_years for o, _ in replays]
        return _rate(len(wrong), math.fsum(years))


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of truths that were detected, at all or within a time."""

    unit: ClassVar = "share"
    truths: TruthFilter
    within_s: float = math.inf

    def measure(self, results: ContenderResults) -> Measure:
        truths = results.select_truths(self.truths)
        hits = sum(truth.is_detected and truth.confirmed_s <= self.within_s for truth in truths)
        return _share(hits, len(truths))


@dataclass(frozen=True, slots=True)
class OneIncidentShare:
    """The share of truths that one incident reported, neither none nor a sequence."""

    unit: ClassVar = "share"
    truths: TruthFilter

    def measure(self, results: ContenderResults) -> Measure:
        truths = results.select_truths(self.truths)
        return _share(sum(t.is_detected and t.incidents == 1 for t in truths), len(truths))


@dataclass(frozen=True, slots=True)
class DrainShare:
    """Share of draining countries that were reported while enough vantages were left.

    With `least` left of `size`, the share (size - least) / size of the drain has passed.
    """

    unit: ClassVar = "share"
    least: int

    def measure(self, results: ContenderResults) -> Measure:
        truths = results.select_truths(TruthFilter(families=("drain",)))
        in_time = [
            truth.suspected_s <= truth.spread_s * max(0.0, 1 - self.least / max(1, truth.size))
            for truth in truths
        ]
        return _share(sum(in_time), len(truths))


@dataclass(frozen=True, slots=True)
class LabelShare:
    """Share of silences with a wrong or open cause ten minutes after confirmation."""

    unit: ClassVar = "share"
    verdict: LabelVerdict
    families: tuple[str, ...] = (*CUTS, *DISTURBANCES)
    label: str = ""  # of the truth: cut, power, own_block; "" for all

    def measure(self, results: ContenderResults) -> Measure:
        labels = [
            result
            for _, score in results.in_families(*self.families)
            for result in score.labels
            if self.label in ("", result.label)
        ]
        return _share(sum(result.verdict == self.verdict for result in labels), len(labels))


@dataclass(frozen=True, slots=True)
class Precision:
    """The share of incidents that were true, among cuts or among services."""

    unit: ClassVar = "share"
    of_services: bool

    def measure(self, results: ContenderResults) -> Measure:
        families = SERVICE_FAMILIES if self.of_services else CUT_FAMILIES
        right = sum(score.right for _, score in results.in_families(*families))
        scores = [score for _, score in results.in_families(*RISKY_FAMILIES)]
        wrong = sum(bool(a.service) == self.of_services for s in scores for a in s.wrong)
        return _share(right, right + wrong)


@dataclass(frozen=True, slots=True)
class AlertsPerEvent:
    """Alerts per detected event, with the interval of a Poisson mean."""

    unit: ClassVar = "each"

    def measure(self, results: ContenderResults) -> Measure:
        scores = [score for _, score in results.in_families(*CUTS, *SERVICES, FILE)]
        detected = sum(truth.is_detected for score in scores for truth in score.truths)
        return _rate(sum(score.calls for score in scores), detected)


@dataclass(frozen=True, slots=True)
class BracketCoverage:
    """The share of brackets that hold the truth."""

    unit: ClassVar = "share"

    def measure(self, results: ContenderResults) -> Measure:
        hits = [hit for truth in results.select_truths(TruthFilter()) for hit in truth.brackets]
        return _share(sum(hits), len(hits))


@dataclass(frozen=True, slots=True)
class CollusionResistance:
    """The largest share of established liars up to which no national alarm was raised."""

    unit: ClassVar = "share"

    def measure(self, results: ContenderResults) -> Measure:
        liars = results.in_families("established")
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


@dataclass(frozen=True, slots=True)
class FooledShare:
    """The share of replays of a family with any false alarm."""

    unit: ClassVar = "share"
    family: str

    def measure(self, results: ContenderResults) -> Measure:
        scores = [score for _, score in results.in_families(self.family)]
        return _share(sum(bool(score.wrong) for score in scores), len(scores))


def count_false_alarms(
    results_by_name: Mapping[str, ContenderResults],
) -> dict[str, dict[str, tuple[int, int]]]:
    """Count (replays with a false alarm, replays) by family and contender."""
    table: dict[str, dict[str, tuple[int, int]]] = {}
    for name, results in results_by_name.items():
        for outcome, score in results.in_families(*RISKY_FAMILIES, *QUIET, *LIARS, DATED):
            row = table.setdefault(outcome.draw.family, {})
            raised, n = row.get(name, (0, 0))
            row[name] = (raised + bool(score.wrong), n + 1)
    return table
