"""The scorecard as text and as JSON."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from heliograph_collector.detect import DETECT_VERSION
from heliograph_lab.evaluate.detectors import OWN_DETECTOR
from heliograph_lab.evaluate.measures import ContenderResults, Measure, confounder_counts
from heliograph_lab.evaluate.scorecard import ScorecardRow, fill_scorecard

FORMAT = 1
MAX_LISTED = 200  # false alarms, and missed truths, in the document


def format_scorecard(
    results_by_name: Mapping[str, ContenderResults], about: Mapping[str, Any]
) -> str:
    """Format one row per line, with the own measure, its interval and its target."""
    rows = fill_scorecard(results_by_name)
    others = [name for name in results_by_name if name != OWN_DETECTOR]
    lines = [
        ["quantity", "field today", "must", "ours (95 %)", "n", "", *others],
        *(_row_cells(row, measures, others) for row, measures in rows),
    ]
    output = [f"{_header_line(about)}", "", *_align_columns(lines)]
    kinds = confounder_counts(results_by_name)
    if kinds:
        output += ["", "false alarms by what was no shutdown, of so many replays"]
        output += [
            *_align_columns(
                [
                    ["", *results_by_name],
                    *(
                        _confounder_cells(kind, counts, results_by_name)
                        for kind, counts in kinds.items()
                    ),
                ]
            )
        ]
    return "\n".join(output)


def scorecard_document(
    results_by_name: Mapping[str, ContenderResults], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the scorecard as JSON values, with the seeds of own false alarms."""
    return {
        "format": FORMAT,
        "detector": DETECT_VERSION,
        **about,
        "rows": [_row_document(row, measures) for row, measures in fill_scorecard(results_by_name)],
        "confounders": {
            kind: {name: {"raised": raised, "replays": n} for name, (raised, n) in counts.items()}
            for kind, counts in confounder_counts(results_by_name).items()
        },
        "wrong": _false_alarms(results_by_name[OWN_DETECTOR]),
        "missed": _missed_truths(results_by_name[OWN_DETECTOR]),
    }


def _header_line(about: Mapping[str, Any]) -> str:
    parts = [f"detector {DETECT_VERSION}", *(f"{key} {value}" for key, value in about.items())]
    return ", ".join(parts)


def _row_cells(
    row: ScorecardRow, measures: Mapping[str, Measure], others: Sequence[str]
) -> list[str]:
    own_measure = measures.get(OWN_DETECTOR)
    figure = (
        "-"
        if own_measure is None
        else f"{_figure_text(own_measure.value, row.unit)} {_interval_text(own_measure, row.unit)}"
    )
    return [
        row.title,
        row.field,
        _target_text(row),
        figure,
        "" if own_measure is None else f"{own_measure.n:.4g}",
        "" if own_measure is None else _reached_mark(row.is_reached(own_measure)),
        *(_figure_text(measures[n].value, row.unit) if n in measures else "-" for n in others),
    ]


def _reached_mark(is_reached: bool | None) -> str:
    return "" if is_reached is None else "✓" if is_reached else "✗"


def _target_text(row: ScorecardRow) -> str:
    if row.most is not None:
        return f"≤ {_figure_text(row.most, row.unit)}"
    return "" if row.least is None else f"≥ {_figure_text(row.least, row.unit)}"


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


def _confounder_cells(
    kind: str, counts: Mapping[str, tuple[int, int]], names: Iterable[str]
) -> list[str]:
    return [kind, *("{}/{}".format(*counts[name]) for name in names)]


def _align_columns(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _row_document(row: ScorecardRow, measures: Mapping[str, Measure]) -> dict[str, Any]:
    own_measure = measures.get(OWN_DETECTOR)
    return {
        "key": row.key,
        "title": row.title,
        "unit": row.unit,
        "field": row.field,
        "most": row.most,
        "least": row.least,
        "reached": None if own_measure is None else row.is_reached(own_measure),
        "measures": {name: _measure_document(measure) for name, measure in measures.items()},
    }


def _measure_document(measure: Measure) -> dict[str, float | None]:
    """Return a measure; None is infinite (never), or unmeasured if n is 0."""
    figures = {"value": measure.value, "low": measure.low, "high": measure.high, "n": measure.n}
    return {name: figure if math.isfinite(figure) else None for name, figure in figures.items()}


def _false_alarms(results: ContenderResults) -> list[dict[str, Any]]:
    false_alarms = [
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
        if outcome.draw.family != "liars"
        for wrong in verdict.wrong
    ]
    return false_alarms[:MAX_LISTED]


def _missed_truths(results: ContenderResults) -> list[dict[str, Any]]:
    missed = [
        {
            "family": outcome.draw.family,
            "kind": outcome.draw.kind,
            "seed": outcome.draw.seed,
            "label": truth.label,
            "size": truth.size,
            "sudden": truth.sudden,
        }
        for outcome, verdict in results.replays
        for truth in verdict.truths
        if not truth.is_detected
    ]
    return missed[:MAX_LISTED]
