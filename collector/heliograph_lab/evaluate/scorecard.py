"""The rows of the scorecard: what is asked, of whom, and what must be reached."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heliograph_lab.evaluate.detectors import CONTENDERS, CUTS, SERVICES
from heliograph_lab.evaluate.measures import (
    MOBILE,
    REGIONAL,
    Measure,
    Pile,
    alerts,
    big,
    brackets,
    collusion,
    dated,
    delay,
    false_alarms,
    national_cut,
    of_band,
    of_cut,
    of_service,
    precision,
    quantile,
    recall,
)
from heliograph_lab.evaluate.priors import BANDS


@dataclass(frozen=True, slots=True)
class Row:
    key: str
    title: str
    unit: str  # s, share, a year, each
    field: str  # what others reach today
    channel: str  # which contenders it is asked of; "" all
    measure: Callable[[Pile], Measure]
    most: float | None = None  # must reach: no more
    least: float | None = None  # or no less

    def reached(self, measure: Measure) -> bool | None:
        """None: nothing was asked, or nothing measured."""
        if math.isnan(measure.value) or (self.most is None and self.least is None):
            return None
        if self.most is not None:
            return measure.value <= self.most
        return measure.value >= (self.least or 0.0)


def card(of: Mapping[str, Pile]) -> list[tuple[Row, dict[str, Measure]]]:
    """Every row with every contender's figure; who does not look for it has none."""
    return [
        (
            row,
            {
                name: row.measure(pile)
                for name, pile in of.items()
                if not row.channel or row.channel in CONTENDERS[name].channels
            },
        )
        for row in ROWS
    ]


ROWS: tuple[Row, ...] = (
    Row(
        "national_suspected",
        "national cut, 20 vantages or more, onset to suspected row, p95",
        "s",
        "IODA 10-30 min, OONI ~90 min by design",
        CUTS,
        delay(national_cut, "suspected_s"),
        most=60,
    ),
    Row(
        "national_suspected_p50",
        "the same, p50",
        "s",
        "",
        CUTS,
        delay(national_cut, "suspected_s", 0.5),
    ),
    Row(
        "national_confirmed",
        "the same, onset to confirmed row, p95",
        "s",
        "",
        CUTS,
        delay(national_cut, "confirmed_s"),
        most=60,
    ),
    Row(
        "national_confirmed_p50",
        "the same, p50",
        "s",
        "",
        CUTS,
        delay(national_cut, "confirmed_s", 0.5),
    ),
    Row(
        "regional",
        "one city or one operator, 10 or more, p95",
        "s",
        "IODA region 10 min +",
        CUTS,
        delay(lambda f: of_cut(f) and f.label in REGIONAL and big(f), "confirmed_s"),
        most=120,
    ),
    Row(
        "mobile_only",
        "mobile-only, 10 or more, labelled so, p95",
        "s",
        "nobody",
        CUTS,
        delay(lambda f: of_cut(f) and f.label in MOBILE and big(f), "named_s"),
        most=180,
    ),
    Row(
        "block",
        "messenger block, 5 or more, layer named, p95",
        "s",
        "hours",
        SERVICES,
        delay(lambda f: f.kind == "block", "layered_s"),
        most=300,
    ),
    Row(
        "throttle",
        "messenger made slow, 5 or more, p95",
        "s",
        "",
        SERVICES,
        delay(lambda f: f.kind == "throttle", "confirmed_s"),
    ),
    Row(
        "restoration",
        "restoration of a cut, 10 or more, p95",
        "s",
        "minutes to 10 min +",
        CUTS,
        delay(lambda f: of_cut(f) and big(f), "restored_s"),
        most=180,
    ),
    Row(
        "lifting",
        "restoration of a messenger, 5 or more, p95",
        "s",
        "",
        SERVICES,
        delay(of_service, "restored_s"),
        most=180,
    ),
    Row(
        "false_national",
        "false national alarms",
        "a year",
        "unpublished",
        CUTS,
        false_alarms("quiet", True),
        most=1,
    ),
    Row(
        "false_cell",
        "false cell alarms",
        "a year",
        "unpublished",
        CUTS,
        false_alarms("quiet", False),
        most=1,
    ),
    Row(
        "false_national_service",
        "false national alarms of a messenger",
        "a year",
        "unpublished",
        SERVICES,
        false_alarms("tested", True),
        most=1,
    ),
    Row(
        "false_cell_service",
        "false cell alarms of a messenger",
        "a year",
        "unpublished",
        SERVICES,
        false_alarms("tested", False),
        most=1,
    ),
    Row(
        "precision_cuts",
        "precision, cuts",
        "share",
        "Disco 0.95",
        CUTS,
        precision(False),
        least=0.99,
    ),
    Row(
        "recall_cuts",
        "recall, cuts, 10 or more",
        "share",
        "-",
        CUTS,
        recall(lambda f: of_cut(f) and big(f)),
        least=0.98,
    ),
    Row(
        "precision_services",
        "precision, messengers",
        "share",
        "-",
        SERVICES,
        precision(True),
        least=0.99,
    ),
    Row(
        "recall_services",
        "recall, messengers, 10 or more",
        "share",
        "-",
        SERVICES,
        recall(lambda f: of_service(f) and big(f)),
        least=0.98,
    ),
    Row(
        "collusion",
        "colluding share withstood",
        "share",
        "one row or half",
        "",
        collusion,
        least=0.33,
    ),
    Row("alerts", "alerts per true event", "each", "up to ~1,800", "", alerts, most=2),
    Row("brackets", "brackets that hold the truth", "share", "-", "", brackets),
    Row(
        "width",
        "bracket of the onset, median width",
        "s",
        "-",
        "",
        lambda pile: quantile([f.width_s for f in pile.found(lambda f: f.sudden)], 0.5),
    ),
    Row("dated_cuts", "recall, dated cuts, any size", "share", "-", CUTS, dated(of_cut)),
    Row(
        "dated_services",
        "recall, dated blocks, any size",
        "share",
        "-",
        SERVICES,
        dated(of_service),
    ),
    *(
        Row(
            f"recall_{band}",
            f"recall, cuts, {band} vantages",
            "share",
            "-",
            CUTS,
            recall(of_band(band)),
        )
        for band in BANDS
    ),
)
