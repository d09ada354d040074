"""The scorecard for people, and as JSON."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from heliograph_collector.detect import DETECT_VERSION
from heliograph_lab.evaluate.detectors import OURS
from heliograph_lab.evaluate.measures import Measure, Pile, confounded
from heliograph_lab.evaluate.scorecard import Row, card

FORMAT = 1
MOST_WRONG = 200  # false alarms that are listed one by one


def text(of: Mapping[str, Pile], about: Mapping[str, Any]) -> str:
    """One row a line; ours with its interval, what it was measured on, and whether it will do."""
    rows = card(of)
    others = [name for name in of if name != OURS]
    lines = [
        ["quantity", "field today", "must", "ours (95 %)", "n", "", *others],
        *(_line(row, measures, others) for row, measures in rows),
    ]
    told = [f"{_about(about)}", "", *_columns(lines)]
    kinds = confounded(of)
    if kinds:
        told += ["", "false alarms by what was no shutdown, of so many replays"]
        told += [*_columns([["", *of], *(_kind(kind, found, of) for kind, found in kinds.items())])]
    return "\n".join(told)


def document(of: Mapping[str, Pile], about: Mapping[str, Any]) -> dict[str, Any]:
    """The same for machines, and every false alarm of ours with the seed that shows it."""
    return {
        "format": FORMAT,
        "detector": DETECT_VERSION,
        **about,
        "rows": [_row(row, measures) for row, measures in card(of)],
        "confounders": {
            kind: {name: {"raised": raised, "replays": n} for name, (raised, n) in found.items()}
            for kind, found in confounded(of).items()
        },
        "wrong": _wrong(of[OURS]),
        "missed": _missed(of[OURS]),
    }


def _about(about: Mapping[str, Any]) -> str:
    words = [f"detector {DETECT_VERSION}", *(f"{key} {value}" for key, value in about.items())]
    return ", ".join(words)


def _line(row: Row, measures: Mapping[str, Measure], others: Sequence[str]) -> list[str]:
    ours = measures.get(OURS)
    told = "-" if ours is None else f"{_figure(ours.value, row.unit)} {_interval(ours, row.unit)}"
    return [
        row.title,
        row.field,
        _must(row),
        told,
        "" if ours is None else f"{ours.n:.4g}",
        "" if ours is None else _mark(row.reached(ours)),
        *(_figure(measures[n].value, row.unit) if n in measures else "-" for n in others),
    ]


def _mark(reached: bool | None) -> str:
    return "" if reached is None else "✓" if reached else "✗"


def _must(row: Row) -> str:
    if row.most is not None:
        return f"≤ {_figure(row.most, row.unit)}"
    return "" if row.least is None else f"≥ {_figure(row.least, row.unit)}"


def _interval(measure: Measure, unit: str) -> str:
    if math.isnan(measure.low):
        return ""
    return f"[{_figure(measure.low, unit)}, {_figure(measure.high, unit)}]"


def _figure(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never" if unit == "s" else "any"
    if unit == "s":
        return f"{value:.0f} s"
    if unit == "share":
        return f"{value:.3f}"
    return f"{value:.3g}"


def _kind(kind: str, found: Mapping[str, tuple[int, int]], names: Iterable[str]) -> list[str]:
    return [kind, *("{}/{}".format(*found[name]) for name in names)]


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _row(row: Row, measures: Mapping[str, Measure]) -> dict[str, Any]:
    ours = measures.get(OURS)
    return {
        "key": row.key,
        "title": row.title,
        "unit": row.unit,
        "field": row.field,
        "most": row.most,
        "least": row.least,
        "reached": None if ours is None else row.reached(ours),
        "measures": {name: _measure(measure) for name, measure in measures.items()},
    }


def _measure(measure: Measure) -> dict[str, float | None]:
    """null: infinite (never), or nothing was measured, which n tells."""
    figures = {"value": measure.value, "low": measure.low, "high": measure.high, "n": measure.n}
    return {name: figure if math.isfinite(figure) else None for name, figure in figures.items()}


def _wrong(pile: Pile) -> list[dict[str, Any]]:
    found = [
        {
            "family": outcome.draw.family,
            "kind": outcome.draw.kind,
            "seed": wrong.seed,
            "scope": list(wrong.scope),
            "service": wrong.service,
            "during": wrong.during,
            "at_us": wrong.at_us,
        }
        for outcome, verdict in pile.replays
        if outcome.draw.family != "liars"
        for wrong in verdict.wrong
    ]
    return found[:MOST_WRONG]


def _missed(pile: Pile) -> list[dict[str, Any]]:
    found = [
        {
            "family": outcome.draw.family,
            "kind": outcome.draw.kind,
            "seed": outcome.draw.seed,
            "label": truth.label,
            "size": truth.size,
            "sudden": truth.sudden,
        }
        for outcome, verdict in pile.replays
        for truth in verdict.found
        if not truth.found
    ]
    return found[:MOST_WRONG]
