"""Scorecard rows: the measured quantity, the contenders and the target."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from heliograph_lab.evaluate.detectors import CONTENDERS, CUTS, SERVICES
from heliograph_lab.evaluate.measures import (
    CUT_FAMILIES,
    RISKY_FAMILIES,
    AlertsPerEvent,
    BracketCoverage,
    CollusionResistance,
    ContenderResults,
    DelayQuantile,
    DrainShare,
    FalseAlarmRate,
    FooledShare,
    LabelShare,
    Measure,
    OneIncidentShare,
    Precision,
    Recall,
    TruthFilter,
)
from heliograph_lab.evaluate.run import DATED
from heliograph_lab.evaluate.world.services import INTERVALS_S


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


# Sizes in vantages; targets are those that the readers of the feed need, assumed.
_STEP = TruthFilter(families=("step", "file"), kinds=("cut",), min_size=20)
_FADE_1H = TruthFilter(families=("fade",), draws=("1h",), min_size=20)
_FADE_3H = TruthFilter(families=("fade",), draws=("3h",), min_size=20)
_FADES = TruthFilter(families=("fade", "providers"), min_size=20)
_PART = TruthFilter(families=("part",), draws=("region", "operator"), min_size=10)
_MOBILE = TruthFilter(families=("part", "nat"), draws=("mobile", ""), min_size=10)
_NAT = TruthFilter(families=("nat",))
_BLOCKS = TruthFilter(families=("block", "file"), kinds=("block",), min_size=5)
_LASTING_CUTS = TruthFilter(families=CUT_FAMILIES, kinds=("cut",), min_size=10)
_LARGE_BLOCKS = TruthFilter(families=("block", "backlog"), kinds=("block",), min_size=10)

_CUT_ROWS = (
    ScorecardRow(
        "national_suspected",
        "national step, 20 vantages or more, half gone to suspected row, p95",
        CUTS,
        DelayQuantile(_STEP, "suspected_s", from_half=True),
        "IODA 10-30 min, OONI ~90 min by design",
        most=60,
    ),
    ScorecardRow(
        "national_confirmed",
        "the same, half gone to confirmed row, p95",
        CUTS,
        DelayQuantile(_STEP, "confirmed_s", from_half=True),
        most=60,
    ),
    ScorecardRow(
        "national_first",
        "the same, first vantage lost to confirmed row, p95",
        CUTS,
        DelayQuantile(_STEP, "confirmed_s"),
    ),
    ScorecardRow(
        "fade_1h",
        "national fade over 1 h, first lost to confirmed row, median",
        CUTS,
        DelayQuantile(_FADE_1H, "confirmed_s", 0.5),
        "IODA rule 27 min",
        most=900,
    ),
    ScorecardRow(
        "fade_3h",
        "national fade over 3 h, first lost to confirmed row, median",
        CUTS,
        DelayQuantile(_FADE_3H, "confirmed_s", 0.5),
        "IODA rule 50 min",
        most=2_400,
    ),
    ScorecardRow(
        "recall_fade",
        "recall, fades and roll-outs of 10 min to 4 h, 20 or more",
        CUTS,
        Recall(_FADES),
        "IODA rule 1.00",
        least=0.98,
    ),
    ScorecardRow(
        "regional",
        "one region or operator, 10 or more, half gone to confirmed row, p95",
        CUTS,
        DelayQuantile(_PART, "confirmed_s", from_half=True),
        "IODA region 10 min +",
        most=120,
    ),
    ScorecardRow(
        "mobile_only",
        "mobile-only, 10 or more, carrier NATs, labeled so, p95",
        CUTS,
        DelayQuantile(_MOBILE, "named_s", from_half=True),
        "nobody",
        most=180,
    ),
    ScorecardRow(
        "nat_suspected",
        "28 phones behind one carrier NAT, suspected, p95",
        CUTS,
        DelayQuantile(_NAT, "suspected_s", from_half=True),
        most=180,
    ),
    ScorecardRow(
        "restoration",
        "restoration of a cut, 10 or more, half back to row, p95",
        CUTS,
        DelayQuantile(_LASTING_CUTS, "restored_s"),
        "minutes to 10 min +",
        most=180,
    ),
    ScorecardRow(
        "cable",
        "three of five countries by one cable, confirmed within 10 min",
        CUTS,
        Recall(TruthFilter(families=("cable",)), 600),
        least=0.98,
    ),
    ScorecardRow(
        "several",
        "cuts of several countries within an hour, confirmed within 10 min",
        CUTS,
        Recall(TruthFilter(families=("several",)), 600),
        least=0.98,
    ),
    ScorecardRow(
        "drain",
        "a country drains over 12 h, told while 5 are left",
        CUTS,
        DrainShare(5),
        least=0.98,
    ),
)
_SERVICE_ROWS = (
    ScorecardRow(
        "block",
        "messenger block, 5 or more, default plan, layer named, p95",
        SERVICES,
        DelayQuantile(_BLOCKS, "layered_s"),
        "hours",
        most=300,
    ),
    *(
        ScorecardRow(
            f"block_{service}",
            f"the same, wholly tested every {every_s:.0f} s, p50",
            SERVICES,
            DelayQuantile(
                TruthFilter(families=("block",), draws=(service,), min_size=5), "layered_s", 0.5
            ),
        )
        for service, every_s in INTERVALS_S
    ),
    ScorecardRow(
        "lifting",
        "restoration of a messenger, 5 or more, p95",
        SERVICES,
        DelayQuantile(_BLOCKS, "restored_s"),
    ),
    ScorecardRow(
        "partial",
        "a messenger fails 40 % for a day: told as one incident",
        SERVICES,
        OneIncidentShare(TruthFilter(families=("partial",))),
        least=0.9,
    ),
    ScorecardRow(
        "backlog",
        "block while the judge is 4 to 60 min behind, found",
        SERVICES,
        Recall(TruthFilter(families=("backlog",))),
        least=0.98,
    ),
)
_LABEL_ROWS = (
    ScorecardRow(
        "label_wrong",
        "cut, power or our own block: wrong label after 10 min",
        CUTS,
        LabelShare("wrong"),
        "nobody",
        most=0.02,
    ),
    ScorecardRow("label_open", "the same, left undetermined", CUTS, LabelShare("undetermined")),
    ScorecardRow(
        "power_wrong", "power called a cut", CUTS, LabelShare("wrong", label="power"), most=0.02
    ),
    ScorecardRow(
        "own_block_wrong",
        "our own block called a cut",
        CUTS,
        LabelShare("wrong", label="own_block"),
        most=0.02,
    ),
)
_FALSE_ALARM_ROWS = (
    *(
        ScorecardRow(
            f"false_{cells}{'_service' if of_services else ''}",
            f"false {cells} alarms{' of a messenger' if of_services else ''}",
            SERVICES if of_services else CUTS,
            FalseAlarmRate(RISKY_FAMILIES, cells == "national", of_services),
            "unpublished",
            most=1 / 3 if cells == "national" else 1,
        )
        for of_services in (False, True)
        for cells in ("national", "cell")
    ),
    *(
        ScorecardRow(
            f"quiet_{cells}",
            f"the same, {cells}, in quiet weeks",
            CUTS,
            FalseAlarmRate(("quiet",), cells == "national"),
        )
        for cells in ("national", "cell")
    ),
    *(
        ScorecardRow(
            f"tested_{cells}",
            f"of a messenger, {cells}, in days with noise alone",
            SERVICES,
            FalseAlarmRate(("tested",), cells == "national", of_services=True),
        )
        for cells in ("national", "cell")
    ),
    ScorecardRow(
        "precision_cuts", "precision, cuts", CUTS, Precision(False), "Disco 0.95", least=0.99
    ),
    ScorecardRow(
        "recall_cuts", "recall, cuts, 10 or more", CUTS, Recall(_LASTING_CUTS), least=0.98
    ),
    ScorecardRow(
        "precision_services", "precision, messengers", SERVICES, Precision(True), least=0.99
    ),
    ScorecardRow(
        "recall_services",
        "recall, messengers, 10 or more",
        SERVICES,
        Recall(_LARGE_BLOCKS),
        least=0.98,
    ),
    ScorecardRow(
        "collusion",
        "colluding share of the established withstood",
        "",
        CollusionResistance(),
        "one row or half",
        least=0.33,
    ),
    ScorecardRow("young", "newcomers raise any alarm", "", FooledShare("young"), most=0),
    ScorecardRow("alerts", "alerts per true event", "", AlertsPerEvent(), "up to ~1,800", most=2),
    ScorecardRow("brackets", "brackets that hold the truth", "", BracketCoverage()),
    ScorecardRow(
        "dated_cuts",
        "recall, dated cuts with their shapes, any size",
        CUTS,
        Recall(TruthFilter(families=(DATED,), kinds=("cut",))),
    ),
    ScorecardRow(
        "dated_services",
        "recall, dated blocks, default plan, any size",
        SERVICES,
        Recall(TruthFilter(families=(DATED,), kinds=("block", "throttle"))),
    ),
)
ROWS: tuple[ScorecardRow, ...] = (*_CUT_ROWS, *_SERVICE_ROWS, *_LABEL_ROWS, *_FALSE_ALARM_ROWS)
