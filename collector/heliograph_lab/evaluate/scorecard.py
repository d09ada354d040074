"""Scorecard rows: the measured quantity, the contenders and the target."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heliograph_lab.evaluate.detectors import CONTENDERS, CUTS, SERVICES
from heliograph_lab.evaluate.measures import (
    MOBILE,
    REGIONAL,
    ContenderResults,
    Measure,
    alerts,
    brackets,
    collusion,
    dated_recall,
    delay,
    false_alarms,
    is_cut,
    is_in_band,
    is_large,
    is_national_cut,
    is_service,
    precision,
    quantile,
    recall,
)
from heliograph_lab.evaluate.priors import BANDS


@dataclass(frozen=True, slots=True)
class ScorecardRow:
    """One measured quantity of the scorecard, with its target."""

    key: str
    title: str
    unit: str  # s, share, a year, each
    field: str  # the published results of others
    channel: str  # the channel of its contenders; "" is all
    measure: Callable[[ContenderResults], Measure]
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
                name: row.measure(results)
                for name, results in results_by_name.items()
                if not row.channel or row.channel in CONTENDERS[name].channels
            },
        )
        for row in ROWS
    ]


ROWS: tuple[ScorecardRow, ...] = (
    ScorecardRow(
        "national_suspected",
        "national cut, 20 vantages or more, onset to suspected row, p95",
        "s",
        "IODA 10-30 min, OONI ~90 min by design",
        CUTS,
        delay(is_national_cut, "suspected_s"),
        most=60,
    ),
    ScorecardRow(
        "national_suspected_p50",
        "the same, p50",
        "s",
        "",
        CUTS,
        delay(is_national_cut, "suspected_s", 0.5),
    ),
    ScorecardRow(
        "national_confirmed",
        "the same, onset to confirmed row, p95",
        "s",
        "",
        CUTS,
        delay(is_national_cut, "confirmed_s"),
        most=60,
    ),
    ScorecardRow(
        "national_confirmed_p50",
        "the same, p50",
        "s",
        "",
        CUTS,
        delay(is_national_cut, "confirmed_s", 0.5),
    ),
    ScorecardRow(
        "regional",
        "one city or one operator, 10 or more, p95",
        "s",
        "IODA region 10 min +",
        CUTS,
        delay(lambda f: is_cut(f) and f.label in REGIONAL and is_large(f), "confirmed_s"),
        most=120,
    ),
    ScorecardRow(
        "mobile_only",
        "mobile-only, 10 or more, labelled so, p95",
        "s",
        "nobody",
        CUTS,
        delay(lambda f: is_cut(f) and f.label in MOBILE and is_large(f), "named_s"),
        most=180,
    ),
    ScorecardRow(
        "block",
        "messenger block, 5 or more, layer named, p95",
        "s",
        "hours",
        SERVICES,
        delay(lambda f: f.kind == "block", "layered_s"),
        most=300,
    ),
    ScorecardRow(
        "throttle",
        "messenger made slow, 5 or more, p95",
        "s",
        "",
        SERVICES,
        delay(lambda f: f.kind == "throttle", "confirmed_s"),
    ),
    ScorecardRow(
        "restoration",
        "restoration of a cut, 10 or more, p95",
        "s",
        "minutes to 10 min +",
        CUTS,
        delay(lambda f: is_cut(f) and is_large(f), "restored_s"),
        most=180,
    ),
    ScorecardRow(
        "lifting",
        "restoration of a messenger, 5 or more, p95",
        "s",
        "",
        SERVICES,
        delay(is_service, "restored_s"),
        most=180,
    ),
    ScorecardRow(
        "false_national",
        "false national alarms",
        "a year",
        "unpublished",
        CUTS,
        false_alarms("quiet", True),
        most=1,
    ),
    ScorecardRow(
        "false_cell",
        "false cell alarms",
        "a year",
        "unpublished",
        CUTS,
        false_alarms("quiet", False),
        most=1,
    ),
    ScorecardRow(
        "false_national_service",
        "false national alarms of a messenger",
        "a year",
        "unpublished",
        SERVICES,
        false_alarms("tested", True),
        most=1,
    ),
    ScorecardRow(
        "false_cell_service",
        "false cell alarms of a messenger",
        "a year",
        "unpublished",
        SERVICES,
        false_alarms("tested", False),
        most=1,
    ),
    ScorecardRow(
        "precision_cuts",
        "precision, cuts",
        "share",
        "Disco 0.95",
        CUTS,
        precision(False),
        least=0.99,
    ),
    ScorecardRow(
        "recall_cuts",
        "recall, cuts, 10 or more",
        "share",
        "-",
        CUTS,
        recall(lambda f: is_cut(f) and is_large(f)),
        least=0.98,
    ),
    ScorecardRow(
        "precision_services",
        "precision, messengers",
        "share",
        "-",
        SERVICES,
        precision(True),
        least=0.99,
    ),
    ScorecardRow(
        "recall_services",
        "recall, messengers, 10 or more",
        "share",
        "-",
        SERVICES,
        recall(lambda f: is_service(f) and is_large(f)),
        least=0.98,
    ),
    ScorecardRow(
        "collusion",
        "colluding share withstood",
        "share",
        "one row or half",
        "",
        collusion,
        least=0.33,
    ),
    ScorecardRow("alerts", "alerts per true event", "each", "up to ~1,800", "", alerts, most=2),
    ScorecardRow("brackets", "brackets that hold the truth", "share", "-", "", brackets),
    ScorecardRow(
        "width",
        "bracket of the onset, median width",
        "s",
        "-",
        "",
        lambda pile: quantile([f.width_s for f in pile.select_truths(lambda f: f.sudden)], 0.5),
    ),
    ScorecardRow(
        "dated_cuts", "recall, dated cuts, any size", "share", "-", CUTS, dated_recall(is_cut)
    ),
    ScorecardRow(
        "dated_services",
        "recall, dated blocks, any size",
        "share",
        "-",
        SERVICES,
        dated_recall(is_service),
    ),
    *(
        ScorecardRow(
            f"recall_{band}",
            f"recall, cuts, {band} vantages",
            "share",
            "-",
            CUTS,
            recall(is_in_band(band)),
        )
        for band in BANDS
    ),
)
