"""The scorecard as text and as JSON."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from heliograph_collector.detect import DETECT_VERSION
from heliograph_lab.evaluate.detectors import OWN_DETECTOR
from heliograph_lab.evaluate.measures import ContenderResults, Measure, count_false_alarms
from heliograph_lab.evaluate.scorecard import ScorecardRow, fill_scorecard
from heliograph_lab.evaluate.world.families import LIARS

FORMAT = 2
LOOKS = Path(__file__).with_name("looks.csv")  # a line for each look at the reporting half
MAX_LISTED = 200  # false alarms, and missed truths, in the document; assumed


@dataclass(frozen=True, slots=True)
class ScorecardRun:
    """The replays that a scorecard is of."""

    seeds: int
    half: str
    replays: int
    looks: int = 0  # at the reporting half, so far


def count_looks(path: Path = LOOKS) -> int:
    """Count the looks at the reporting half of the honest world that are on record."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


def format_scorecard(results_by_name: Mapping[str, ContenderResults], about: ScorecardRun) -> str:
    """Format one row per line, with the own measure, its interval and its target."""
    rows = fill_scorecard(results_by_name)
    others = [name for name in results_by_name if name != OWN_DETECTOR]
    lines = [
        ["quantity", "field today", "must", "ours (95 %)", "n", "", *others],
        *(_row_cells(row, measures, others) for row, measures in rows),
    ]
    counts = f"seeds {about.seeds}, half {about.half}, replays {about.replays}"
    header = f"{counts}, looks at the reporting half so far {about.looks}"
    output = [f"detector {DETECT_VERSION}, {header}", "", *_align_columns(lines)]
    counts_by_kind = count_false_alarms(results_by_name)
    if counts_by_kind:
        output += ["", "replays with a false alarm, by family"]
        lines = [["", *results_by_name]]
        lines += [
            [kind, *("{}/{}".format(*counts[name]) for name in results_by_name)]
            for kind, counts in counts_by_kind.items()
        ]
        output += _align_columns(lines)
    return "\n".join(output)


class MeasureDocument(TypedDict):
    """A measure; None is infinite (never), or unmeasured if n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: float | None


class RowDocument(TypedDict):
    key: str
    title: str
    unit: str
    field: str
    most: float | None
    least: float | None
    reached: bool | None
    measures: dict[str, MeasureDocument]  # by contender


class FamilyDocument(TypedDict):
    raised: int
    replays: int


class FalseAlarmDocument(TypedDict):
    family: str
    kind: str
    seed: int
    scope: list[str | int]
    service: str
    during: str
    at_us: int


class MissedDocument(TypedDict):
    family: str
    kind: str
    seed: int
    label: str
    size: int
    spread_s: float


class ScorecardDocument(TypedDict):
    format: int
    detector: int
    seeds: int
    half: str
    replays: int
    looks: int
    rows: list[RowDocument]
    families: dict[str, dict[str, FamilyDocument]]  # false alarms, by contender
    wrong: list[FalseAlarmDocument]
    missed: list[MissedDocument]


def scorecard_document(
    results_by_name: Mapping[str, ContenderResults], about: ScorecardRun
) -> ScorecardDocument:
    """Return the scorecard as JSON values, with the seeds of own false alarms."""
    return {
        "format": FORMAT,
        "detector": DETECT_VERSION,
        "seeds": about.seeds,
        "half": about.half,
        "replays": about.replays,
        "looks": about.looks,
        "rows": [_row_document(row, measures) for row, measures in fill_scorecard(results_by_name)],
        "families": {
            kind: {name: {"raised": raised, "replays": n} for name, (raised, n) in counts.items()}
            for kind, counts in count_false_alarms(results_by_name).items()
        },
        "wrong": _false_alarms(results_by_name[OWN_DETECTOR]),
        "missed": _missed_truths(results_by_name[OWN_DETECTOR]),
    }


def _row_cells(
    row: ScorecardRow, measures: Mapping[str, Measure], others: Sequence[str]
) -> list[str]:
    unit = row.quantity.unit
    figures = ["-", "", ""]
    own_measure = measures.get(OWN_DETECTOR)
    if own_measure is not None:
        figures = [
            f"{_figure_text(own_measure.value, unit)} {_interval_text(own_measure, unit)}",
            f"{own_measure.n:.4g}",
            {None: "", True: "✓", False: "✗"}[row.is_reached(own_measure)],
        ]
    other_figures = [
        _figure_text(measures[n].value, unit) if n in measures else "-" for n in others
    ]
    return [row.title, row.field, _target_text(row), *figures, *other_figures]


def _target_text(row: ScorecardRow) -> str:
    if row.most is not None:
        return f"≤ {_figure_text(row.most, row.quantity.unit)}"
    return "" if row.least is None else f"≥ {_figure_text(row.least, row.quantity.unit)}"


def _interval_text(measure: Measure, unit: str) -> str:
    if math.isnan(measure.low):
        return ""
    return f"[{_figure_text(measure.low, unit)}, {_figure_text(measure.high, unit)}]"


def _figure_text(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never" if unit == "s" else "any"
    if unit == "s":
        return f"{value:.0f} s"
    if unit == "share":
        return f"{value:.3f}"
    return f"{value:.3g}"


def _align_columns(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _row_document(row: ScorecardRow, measures: Mapping[str, Measure]) -> RowDocument:
    own_measure = measures.get(OWN_DETECTOR)
    return {
        "key": row.key,
        "title": row.title,
        "unit": row.quantity.unit,
        "field": row.field,
        "most": row.most,
        "least": row.least,
        "reached": None if own_measure is None else row.is_reached(own_measure),
        "measures": {name: _measure_document(measure) for name, measure in measures.items()},
    }


def _measure_document(measure: Measure) -> MeasureDocument:
    return {
        "value": _finite(measure.value),
        "low": _finite(measure.low),
        "high": _finite(measure.high),
        "n": _finite(measure.n),
    }


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None


def _false_alarms(results: ContenderResults) -> list[FalseAlarmDocument]:
    false_alarms: list[FalseAlarmDocument] = [
        {
            "family": outcome.draw.family,
            "kind": outcome.draw.kind,
            "seed": wrong.seed,
            "scope": list(wrong.scope),
            "service": wrong.service,
            "during": wrong.during,
            "at_us": wrong.at_us,
        }
        for outcome, verdict in results.replays
        if outcome.draw.family not in LIARS
        for wrong in verdict.wrong
    ]
    return false_alarms[:MAX_LISTED]


def _missed_truths(results: ContenderResults) -> list[MissedDocument]:
    missed: list[MissedDocument] = [
        {
            "family": outcome.draw.family,
            "kind": outcome.draw.kind,
            "seed": outcome.draw.seed,
            "label": truth.label,
            "size": truth.size,
            "spread_s": truth.spread_s,
        }
        for outcome, verdict in results.replays
        for truth in verdict.truths
        if not truth.is_detected
    ]
    return missed[:MAX_LISTED]
