"""Scorecard rows: the measured quantity, the contenders and the target."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from heliograph_lab.evaluate.detectors import CONTENDERS, CUTS, SERVICES
from heliograph_lab.evaluate.measures import (
    AlertsPerEvent,
    BracketCoverage,
    CollusionResistance,
    ContenderResults,
    DelayQuantile,
    FalseAlarmRate,
    Measure,
    Precision,
    Recall,
    TruthFilter,
)
from heliograph_lab.evaluate.priors import BANDS
from heliograph_lab.evaluate.run import DATED


class Quantity(Protocol):
    """A quantity that the scorecard measures of each contender."""

    @property
    def unit(self) -> str:
        """Return s, share, a year or each."""
        ...

    def measure(self, results: ContenderResults) -> Measure:
        """Measure the quantity, nan without data."""
        ...


@dataclass(frozen=True, slots=True)
class ScorecardRow:
    """One measured quantity of the scorecard, with its target."""

    key: str
    title: str
    channel: str  # the channel of its contenders; "" is all
    quantity: Quantity
    field: str = ""  # the published results of others
    most: float | None = None  # target: at most this
    least: float | None = None  # target: at least this

    def is_reached(self, measure: Measure) -> bool | None:
        """Return whether the target is reached; None without a target or a measure."""
        if math.isnan(measure.value) or (self.most is None and self.least is None):
            return None
        if self.most is not None:
            return measure.value <= self.most
        return measure.value >= (self.least or 0.0)


def fill_scorecard(
    results_by_name: Mapping[str, ContenderResults],
) -> list[tuple[ScorecardRow, dict[str, Measure]]]:
    """Fill every row with the measures of the contenders of its channel."""
    return [
        (
            row,
            {
                name: row.quantity.measure(results)
                for name, results in results_by_name.items()
                if not row.channel or row.channel in CONTENDERS[name].channels
            },
        )
        for row in ROWS
    ]


# Sizes in vantages; all targets are assumed, from what readers of the feed need.
_CUT = ("cut",)
_BLOCK_OR_THROTTLE = ("block", "throttle")
_NATIONAL = TruthFilter(kinds=_CUT, labels=("national",), min_size=20)
_REGIONAL = TruthFilter(kinds=_CUT, labels=("one-city", "one-operator"), min_size=10)
_MOBILE = TruthFilter(kinds=_CUT, labels=("mobile-only", "one-city mobile-only"), min_size=10)
_CUTS = TruthFilter(kinds=_CUT)
_LARGE_CUTS = TruthFilter(kinds=_CUT, min_size=10)
_SERVICES = TruthFilter(kinds=_BLOCK_OR_THROTTLE)
_LARGE_SERVICES = TruthFilter(kinds=_BLOCK_OR_THROTTLE, min_size=10)
_BLOCKS = TruthFilter(kinds=("block",))
_THROTTLES = TruthFilter(kinds=("throttle",))
_ALL = TruthFilter()

ROWS: tuple[ScorecardRow, ...] = (
    ScorecardRow(
        "national_suspected",
        "national cut, 20 vantages or more, onset to suspected row, p95",
        CUTS,
        DelayQuantile(_NATIONAL, "suspected_s"),
        "IODA 10-30 min, OONI ~90 min by design",
        most=60,
    ),
    ScorecardRow(
        "national_suspected_p50",
        "the same, p50",
        CUTS,
        DelayQuantile(_NATIONAL, "suspected_s", 0.5),
    ),
    ScorecardRow(
        "national_confirmed",
        "the same, onset to confirmed row, p95",
        CUTS,
        DelayQuantile(_NATIONAL, "confirmed_s"),
        most=60,
    ),
    ScorecardRow(
        "national_confirmed_p50",
        "the same, p50",
        CUTS,
        DelayQuantile(_NATIONAL, "confirmed_s", 0.5),
    ),
    ScorecardRow(
        "regional",
        "one city or one operator, 10 or more, p95",
        CUTS,
        DelayQuantile(_REGIONAL, "confirmed_s"),
        "IODA region 10 min +",
        most=120,
    ),
    ScorecardRow(
        "mobile_only",
        "mobile-only, 10 or more, labelled so, p95",
        CUTS,
        DelayQuantile(_MOBILE, "named_s"),
        "nobody",
        most=180,
    ),
    ScorecardRow(
        "block",
        "messenger block, 5 or more, layer named, p95",
        SERVICES,
        DelayQuantile(_BLOCKS, "layered_s"),
        "hours",
        most=300,
    ),
    ScorecardRow(
        "throttle",
        "messenger made slow, 5 or more, p95",
        SERVICES,
        DelayQuantile(_THROTTLES, "confirmed_s"),
    ),
    ScorecardRow(
        "restoration",
        "restoration of a cut, 10 or more, p95",
        CUTS,
        DelayQuantile(_LARGE_CUTS, "restored_s"),
        "minutes to 10 min +",
        most=180,
    ),
    ScorecardRow(
        "lifting",
        "restoration of a messenger, 5 or more, p95",
        SERVICES,
        DelayQuantile(_SERVICES, "restored_s"),
        most=180,
    ),
    *(
        ScorecardRow(
            f"false_{cells}{'_service' if service else ''}",
            f"false {cells} alarms{service}",
            channel,
            FalseAlarmRate(family, cells == "national"),
            "unpublished",
            most=1,
        )
        for channel, family, service in (
            (CUTS, "quiet", ""),
            (SERVICES, "tested", " of a messenger"),
        )
        for cells in ("national", "cell")
    ),
    ScorecardRow(
        "precision_cuts", "precision, cuts", CUTS, Precision(False), "Disco 0.95", least=0.99
    ),
    ScorecardRow(
        "recall_cuts", "recall, cuts, 10 or more", CUTS, Recall(_LARGE_CUTS), "-", least=0.98
    ),
    ScorecardRow(
        "precision_services", "precision, messengers", SERVICES, Precision(True), "-", least=0.99
    ),
    ScorecardRow(
        "recall_services",
        "recall, messengers, 10 or more",
        SERVICES,
        Recall(_LARGE_SERVICES),
        "-",
        least=0.98,
    ),
    ScorecardRow(
        "collusion",
        "colluding share withstood",
        "",
        CollusionResistance(),
        "one row or half",
        least=0.33,
    ),
    ScorecardRow("alerts", "alerts per true event", "", AlertsPerEvent(), "up to ~1,800", most=2),
    ScorecardRow("brackets", "brackets that hold the truth", "", BracketCoverage(), "-"),
    ScorecardRow(
        "width", "bracket of the onset, median width", "", DelayQuantile(_ALL, "width_s", 0.5), "-"
    ),
    ScorecardRow("dated_cuts", "recall, dated cuts, any size", CUTS, Recall(_CUTS, (DATED,)), "-"),
    ScorecardRow(
        "dated_services",
        "recall, dated blocks, any size",
        SERVICES,
        Recall(_SERVICES, (DATED,)),
        "-",
    ),
    *(
        ScorecardRow(
            f"recall_{band}",
            f"recall, cuts, {band} vantages",
            CUTS,
            Recall(TruthFilter(kinds=_CUT, min_size=band, below_size=next_band)),
            "-",
        )
        for band, next_band in pairwise((*BANDS, math.inf))
    ),
)
