"""The chart of chosen days as an image: SVG, and PNG from it."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from heliograph_collector.http import labels
from heliograph_collector.http.charts import timeline_rows
from heliograph_collector.http.charts.share_image import DEFS, FAMILY
from heliograph_collector.http.i18n import Locale

WIDTH = 1200
MAX_ROWS = 24  # of an image; the page has all; assumed
_MARGIN = 40
_NAMES = 400  # width of the column of names
_ROW = 58
_LETTERS = 66  # of a line below a name
_TOP = 132
_STYLE = Markup("""
text{fill:#1b222c}.soft{fill:#57616e}
.reachable{fill:#3aa98a}.partial{fill:#e8a33d}.blocked{fill:#d9480f}.down{fill:#4a525e}
.silent{fill:#8e1b3f}.unknown{stroke:#9a8a4a;stroke-width:.75}.grid{stroke:#dedbd2}
.span.blocked{fill:#a33708}.span.silent{fill:#8e1b3f}.axis text,text.axis{fill:#57616e}
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartRow:
    title: str
    subtitle: str
    chart: Markup  # by `timeline_rows.draw_row`


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryChart:
    title: str
    sentence: str
    rows: Sequence[ChartRow]
    omitted: str  # how many rows are not drawn; "" for none
    footer: str
    legend: Sequence[tuple[str, str]]  # (class, label)
    starts: range


def list_legend(t: Locale) -> list[tuple[str, str]]:
    """List the class and the label of each state that a bar may have."""
    states = ("reachable", "partial", "blocked", "down", "unknown")
    return [
        *((name, labels.label_code("state", name, t.lang)) for name in states),
        ("silent", t("country.silent_now")),
    ]


def render_chart(chart: HistoryChart, t: Locale) -> str:
    """Render a self-contained file, without scripts and external resources."""
    rows = chart.rows[:MAX_ROWS]
    height = _TOP + 40 + _ROW * max(len(rows), 1) + 70
    plot = WIDTH - 2 * _MARGIN - _NAMES
    is_rtl = t.direction == "rtl"
    names_x = WIDTH - _MARGIN if is_rtl else _MARGIN
    plot_x = _MARGIN if is_rtl else _MARGIN + _NAMES
    body = [
        _draw_text(chart.title, names_x, 58, 30, t, is_bold=True),
        _draw_text(_shorten(chart.sentence, 110), names_x, 92, 19, t),
        Markup(
            '<svg class="axis" x="{}" y="{}" width="{}" height="20" font-size="14">{}</svg>'
        ).format(plot_x, _TOP - 6, plot, timeline_rows.draw_axis(chart.starts, t)),
    ]
    for index, row in enumerate(rows):
        y = _TOP + 22 + index * _ROW
        body += [
            _draw_text(_shorten(row.title, 38), names_x, y + 15, 17, t, is_bold=True),
            *(
                _draw_text(line, names_x, y + 32 + 14 * number, 12, t, is_soft=True)
                for number, line in enumerate(_wrap(row.subtitle))
            ),
            Markup('<svg x="{}" y="{}" width="{}" height="24">{}</svg>').format(
                plot_x, y + 4, plot, row.chart
            ),
        ]
    body += _draw_legend(chart, height)
    footer = " · ".join(filter(None, (chart.omitted, chart.footer)))
    body.append(_draw_text(footer, names_x, height - 18, 14, t, is_soft=True))
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" '
        'font-family="{2}"><title>{3}</title><style>{4}</style>{5}'
        '<rect width="{0}" height="{1}" fill="#ffffff"/>{6}</svg>'
    ).format(
        WIDTH,
        height,
        f"{FAMILY}, Noto Sans, sans-serif",
        f"{chart.title}. {chart.sentence}",
        _STYLE,
        DEFS,
        Markup("").join(body),
    )


def _wrap(text: str) -> list[str]:
    """Break a text into the two lines that a row has."""
    return textwrap.wrap(text, _LETTERS, max_lines=2, placeholder="\N{HORIZONTAL ELLIPSIS}")


def _shorten(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}\N{HORIZONTAL ELLIPSIS}"


def _draw_text(
    content: str, x: int, y: int, size: int, t: Locale, *, is_bold: bool = False,
    is_soft: bool = False,
) -> Markup:  # fmt: skip
    is_rtl = t.direction == "rtl"
    return Markup('<text x="{}" y="{}" text-anchor="{}" font-size="{}"{}{}>{}</text>').format(
        x,
        y,
        "end" if is_rtl else "start",
        size,
        Markup(' font-weight="700"') if is_bold else "",
        Markup(' class="soft"') if is_soft else "",
        f"\u2067{content}\u2069" if is_rtl else content,
    )


def _draw_legend(chart: HistoryChart, height: int) -> list[Markup]:
    width = (WIDTH - 2 * _MARGIN) // max(len(chart.legend), 1)
    parts = []
    for index, (kind, label) in enumerate(chart.legend):
        x = _MARGIN + index * width
        fill = Markup(' fill="url(#hatch)"') if kind == "unknown" else ""
        parts.append(
            Markup(
                '<rect class="{}"{} x="{}" y="{}" width="16" height="12"/>'
                '<text x="{}" y="{}" font-size="14" class="soft">{}</text>'
            ).format(kind, fill, x, height - 54, x + 22, height - 43, _shorten(label, 24))
        )
    return parts
