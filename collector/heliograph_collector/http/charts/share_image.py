"""The image for link previews, 1200 by 630: a sentence and a chart, as SVG or PNG."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files

from markupsafe import Markup

WIDTH = 1200
HEIGHT = 630
_MARGIN = 60
_INNER_WIDTH = 1080
_SCALE = 1.15
_TEXT_TOP = 118
_CHART_TOP = 320
_SIZES = (46, 40, 35, 29, 25)  # font sizes: the first in which the sentence fits
_LEADING = 1.28
# facts: top of the first line, font size, width of the names
_FACTS_TOP = 428
_FACT_SIZE = 22
_NAME_WIDTH = 230
_ISOLATES = re.compile("[\u2066-\u2069]")
# Widths of bold letters as shares of the font size, rounded up.
_WIDE_LETTERS = frozenset("mwMW@жмшщюфЖМШЩЮФ")
_NARROW_LETTERS = frozenset("fijlrtI.,:;()-' ")
FAMILY = "DejaVu Sans Condensed"
_BADGES = {"confirmed": "#b3320b", "suspected": "#6c5a12"}
_STYLE = Markup("""
text{font-family:'DejaVu Sans Condensed','Noto Sans',sans-serif;fill:#1b222c}
.chart text,.course text{font-size:15px;fill:#57616e}.chart .phase{font-weight:700}
.chart .scale{fill:#1b222c;stroke:#fff;stroke-width:4px;paint-order:stroke}
.reachable{fill:#3aa98a}.heard{fill:#7f9cc0}.blocked,.cut{fill:#d9480f}.down{fill:#4a525e}
.silent{fill:#fcf7f9;stroke:#4a525e;stroke-dasharray:3 3}.opening{fill:#fff;opacity:.75}
.network_silence .cut{fill:#8e1b3f}.back{fill:#3aa98a;stroke:#fff}
.suspected .cut{fill:#faf6e6;stroke:#9a8a4a;stroke-dasharray:5 3}
.withdrawn .cut{fill:#fff;stroke:#57616e;stroke-dasharray:5 3}
.bracket,.unknown{stroke:#9a8a4a;stroke-width:.75}.grid,.tick,.ground{stroke:#dedbd2}
""")
DEFS = Markup(
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="6" height="6" fill="#fbf8ea"/>'
    '<path d="M0 0V6" stroke="#9a8a4a" stroke-width="2.5"/></pattern>'
    '<pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<circle cx="2" cy="2" r="1.1" fill="#57616e"/></pattern></defs>'
)
_MARK = Markup(
    '<g transform="translate({} 40)"><circle cx="20" cy="20" r="20" fill="#1f3a5f"/>'
    '<g transform="scale(1.25)"><circle cx="13" cy="18.5" r="6.5" fill="#f2b632"/>'
    '<path d="M17.8 12.2 25 5M20.4 15.6 28 13.4M15.2 10.4 17 3.4" stroke="#f2b632" '
    'stroke-width="2" stroke-linecap="round"/></g></g>'
)

# leading of the facts, and the width of light letters relative to bold ones
_FACT_LEADING = 28
_LIGHT = 0.92


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareCard:
    sentence: str
    state: str  # state in the log, for its color
    badge: str  # state and kind, for people
    footer: str
    chart: Markup
    legend: Sequence[tuple[str, str]] = ()  # (class, label)
    facts: Sequence[tuple[str, str]] = ()  # (name, value), if the chart leaves space for them
    is_rtl: bool = False


def render_svg(card: ShareCard) -> str:
    """Render a self-contained file, without scripts and external resources."""
    lines, size = _fit_lines(card.sentence)
    height = round(size * _LEADING)
    top = _TEXT_TOP + round(size * 0.9)
    body = [
        _MARK.format(WIDTH - _MARGIN - 40 if card.is_rtl else _MARGIN),
        _draw_text(card, "Heliograph", 54, 70, 30, "#1b222c", is_bold=True),
        _draw_badge(card),
        *(
            _draw_text(card, line, 0, top + height * index, size, "#1b222c", is_bold=True)
            for index, line in enumerate(lines)
        ),
        _draw_chart(card.chart),
        _draw_text(card, card.footer, 0, HEIGHT - 14, 18, "#57616e"),
        *_draw_facts(card),
        *_draw_legend(card),
    ]
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}">'
        "<title>{2}</title><style>{3}</style>{4}"
        '<rect width="{0}" height="{1}" fill="#ffffff"/>'
        '<rect width="{0}" height="10" fill="{5}"/>{6}</svg>'
    ).format(
        WIDTH,
        HEIGHT,
        card.sentence,
        _STYLE,
        DEFS,
        _BADGES.get(card.state, "#57616e"),
        Markup("").join(body),
    )


def _fit_lines(sentence: str) -> tuple[Sequence[str], int]:
    """Wrap a sentence at words, in the largest font size that fits."""
    lines: Sequence[str] = ()
    for size in _SIZES:
        lines = _wrap_words(_ISOLATES.sub("", sentence), _INNER_WIDTH / size)
        if len(lines) * size * _LEADING <= _CHART_TOP - _TEXT_TOP:
            break
    max_lines = int((_CHART_TOP - _TEXT_TOP) / size / _LEADING)
    if len(lines) > max_lines:
        lines = [*lines[: max_lines - 1], lines[max_lines - 1] + "\N{HORIZONTAL ELLIPSIS}"]
    return lines, size


def _wrap_words(sentence: str, width: float) -> list[str]:
    lines: list[str] = []
    for token in sentence.split():
        longer = f"{lines[-1]} {token}" if lines else token
        if lines and sum(map(_letter_width, longer)) <= width:
            lines[-1] = longer
        else:
            lines.append(token)
    return lines


def _letter_width(letter: str) -> float:
    if letter in _WIDE_LETTERS:
        return 0.95
    if letter in _NARROW_LETTERS:
        return 0.37
    return 0.72 if letter.isupper() else 0.63


def _draw_text(
    card: ShareCard,
    content: str,
    indent: int,
    y: int,
    size: int,
    colour: str,
    *,
    is_bold: bool = False,
) -> Markup:
    """Draw one line from the side on which reading begins.

    The isolate makes every viewer order it correctly.
    """
    x, anchor = (WIDTH - _MARGIN - indent, "end") if card.is_rtl else (_MARGIN + indent, "start")
    ordered = f"\u2067{content}\u2069" if card.is_rtl else content
    weight = Markup(' font-weight="700"') if is_bold else ""
    return Markup(
        '<text x="{}" y="{}" text-anchor="{}" font-size="{}"{} style="fill:{}">{}</text>'
    ).format(x, y, anchor, size, weight, colour, ordered)


def _draw_badge(card: ShareCard) -> Markup:
    x, anchor = (_MARGIN, "start") if card.is_rtl else (WIDTH - _MARGIN, "end")
    ordered = f"\u2067{card.badge}\u2069" if card.is_rtl else card.badge
    return Markup(
        '<text x="{}" y="70" text-anchor="{}" font-size="26" font-weight="700" style="fill:{}">'
        "{}</text>"
    ).format(x, anchor, _BADGES.get(card.state, "#57616e"), ordered)


def _draw_chart(chart: Markup) -> Markup:
    return Markup('<svg x="{}" y="{}" width="{}" height="{}" viewBox="0 0 {} {}">{}</svg>').format(
        _MARGIN, _CHART_TOP, _INNER_WIDTH, 238 * _SCALE, round(_INNER_WIDTH / _SCALE), 238, chart
    )


def _draw_facts(card: ShareCard) -> Iterator[Markup]:
    """Draw the facts below a chart of phases, which is low."""
    y = _FACTS_TOP
    for name, value in card.facts:
        wrapped = _wrap_words(
            _ISOLATES.sub("", value), (_INNER_WIDTH - _NAME_WIDTH) / _FACT_SIZE / _LIGHT
        )
        lines = (
            wrapped if len(wrapped) < 3 else [wrapped[0], f"{wrapped[1]}\N{HORIZONTAL ELLIPSIS}"]
        )
        if y + len(lines) * _FACT_LEADING > HEIGHT - 30:
            return
        yield _draw_text(card, name, 0, y, _FACT_SIZE, "#57616e")
        for line in lines:
            yield _draw_text(card, line, _NAME_WIDTH, y, _FACT_SIZE, "#1b222c")
            y += _FACT_LEADING
        y += 8


def _draw_legend(card: ShareCard) -> Iterator[Markup]:
    """Draw the legend of the colors at the end of the last line."""
    x = _MARGIN if card.is_rtl else WIDTH - _MARGIN
    for kind, label in card.legend if card.is_rtl else reversed(card.legend):
        width = round(sum(map(_letter_width, label)) * 17) + 26
        left = x if card.is_rtl else x - width
        fill = Markup(' fill="url(#hatch)"') if kind == "unknown" else ""
        yield Markup(
            '<rect class="{}"{} x="{}" y="{}" width="16" height="12"/>'
            '<text x="{}" y="{}" font-size="18" style="fill:#57616e">{}</text>'
        ).format(kind, fill, left, HEIGHT - 26, left + 22, HEIGHT - 14, label)
        x += (width + 14) * (1 if card.is_rtl else -1)


def render_png(svg_text: str) -> bytes:
    """Render as PNG by resvg, with only our own fonts."""
    import resvg_py

    with as_file(files("heliograph_collector.http").joinpath("fonts")) as folder:
        return bytes(
            resvg_py.svg_to_bytes(
                svg_string=svg_text,
                skip_system_fonts=True,
                font_files=[str(path) for path in sorted(folder.glob("*.ttf"))],
                font_family=FAMILY,
                sans_serif_family=FAMILY,
            )
        )
