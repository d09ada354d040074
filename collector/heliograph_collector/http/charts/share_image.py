"""The picture that goes with a link, 1200 by 630: one sentence, and what happened. SVG and PNG."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files

from markupsafe import Markup

WIDTH, HEIGHT = 1200, 630
_LEFT, _INNER, _SCALE = 60, 1080, 1.15
_TEXT_TOP, _CHART_TOP = 118, 320
_SIZES = (46, 40, 35, 29, 25)  # the first with which the sentence has room
_LEADING = 1.28
_FACTS_TOP, _FACT, _NAMES = 428, 22, 230  # names and values: first line, size, width of the names
_ISOLATES = re.compile("[\u2066-\u2069]")
# How wide letters of the bold font are, in its size; a little more than they are.
_WIDE = frozenset("mwMW@жмшщюфЖМШЩЮФ")
_NARROW = frozenset("fijlrtI.,:;()-' ")
_FAMILY = "DejaVu Sans Condensed"
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
_DEFS = Markup(
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

_FACT_LEADING, _LIGHT = 28, 0.92  # and how wide light letters are beside bold ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    sentence: str
    state: str  # the word of the log, for its colour
    badge: str  # that word and the kind, as people say it
    foot: str
    chart: Markup
    legend: Sequence[tuple[str, str]] = ()  # (class, word)
    facts: Sequence[tuple[str, str]] = ()  # (name, value), where the picture leaves room for them
    rtl: bool = False


def svg(card: Card) -> str:
    """A file of its own: no script, nothing from elsewhere."""
    lines, size = _lines(card.sentence)
    height = round(size * _LEADING)
    top = _TEXT_TOP + round(size * 0.9)
    body = [
        _MARK.format(WIDTH - _LEFT - 40 if card.rtl else _LEFT),
        _text(card, "Heliograph", 54, 70, 30, "#1b222c", bold=True),
        _badge(card),
        *(
            _text(card, line, 0, top + height * index, size, "#1b222c", bold=True)
            for index, line in enumerate(lines)
        ),
        _chart(card.chart),
        _text(card, card.foot, 0, HEIGHT - 14, 18, "#57616e"),
        *_facts(card),
        *_legend(card),
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
        _DEFS,
        _BADGES.get(card.state, "#57616e"),
        Markup("").join(body),
    )


def _lines(sentence: str) -> tuple[Sequence[str], int]:
    """Whole words, in the largest letters with which they fit."""
    lines: Sequence[str] = ()
    for size in _SIZES:
        lines = _wrapped(_ISOLATES.sub("", sentence), _INNER / size)
        if len(lines) * size * _LEADING <= _CHART_TOP - _TEXT_TOP:
            break
    room = int((_CHART_TOP - _TEXT_TOP) / size / _LEADING)
    if len(lines) > room:
        lines = [*lines[: room - 1], lines[room - 1] + "\N{HORIZONTAL ELLIPSIS}"]
    return lines, size


def _wrapped(text: str, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and sum(map(_em, longer)) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _em(letter: str) -> float:
    if letter in _WIDE:
        return 0.95
    if letter in _NARROW:
        return 0.37
    return 0.72 if letter.isupper() else 0.63


def _text(
    card: Card, text: str, indent: int, y: int, size: int, colour: str, *, bold: bool = False
) -> Markup:
    """One line from the side on which reading begins; the isolate orders it in every viewer."""
    x, anchor = (WIDTH - _LEFT - indent, "end") if card.rtl else (_LEFT + indent, "start")
    held = f"\u2067{text}\u2069" if card.rtl else text
    weight = Markup(' font-weight="700"') if bold else ""
    return Markup(
        '<text x="{}" y="{}" text-anchor="{}" font-size="{}"{} style="fill:{}">{}</text>'
    ).format(x, y, anchor, size, weight, colour, held)


def _badge(card: Card) -> Markup:
    x, anchor = (_LEFT, "start") if card.rtl else (WIDTH - _LEFT, "end")
    held = f"\u2067{card.badge}\u2069" if card.rtl else card.badge
    return Markup(
        '<text x="{}" y="70" text-anchor="{}" font-size="26" font-weight="700" style="fill:{}">'
        "{}</text>"
    ).format(x, anchor, _BADGES.get(card.state, "#57616e"), held)


def _chart(chart: Markup) -> Markup:
    return Markup('<svg x="{}" y="{}" width="{}" height="{}" viewBox="0 0 {} {}">{}</svg>').format(
        _LEFT, _CHART_TOP, _INNER, 238 * _SCALE, round(_INNER / _SCALE), 238, chart
    )


def _facts(card: Card) -> Iterator[Markup]:
    """Under a picture of how it went, which is low."""
    y = _FACTS_TOP
    for name, value in card.facts:
        whole = _wrapped(_ISOLATES.sub("", value), (_INNER - _NAMES) / _FACT / _LIGHT)
        lines = whole if len(whole) < 3 else [whole[0], f"{whole[1]}\N{HORIZONTAL ELLIPSIS}"]
        if y + len(lines) * _FACT_LEADING > HEIGHT - 30:
            return
        yield _text(card, name, 0, y, _FACT, "#57616e")
        for line in lines:
            yield _text(card, line, _NAMES, y, _FACT, "#1b222c")
            y += _FACT_LEADING
        y += 8


def _legend(card: Card) -> Iterator[Markup]:
    """What the colours are, at the far end of the last line."""
    x = _LEFT if card.rtl else WIDTH - _LEFT
    for kind, word in card.legend if card.rtl else reversed(card.legend):
        width = round(sum(map(_em, word)) * 17) + 26
        left = x if card.rtl else x - width
        fill = Markup(' fill="url(#hatch)"') if kind == "unknown" else ""
        yield Markup(
            '<rect class="{}"{} x="{}" y="{}" width="16" height="12"/>'
            '<text x="{}" y="{}" font-size="18" style="fill:#57616e">{}</text>'
        ).format(kind, fill, left, HEIGHT - 26, left + 22, HEIGHT - 14, word)
        x += (width + 14) * (1 if card.rtl else -1)


def png(drawn: str) -> bytes:
    """The same in dots, by resvg, with our own fonts: no other file is read."""
    import resvg_py

    with as_file(files(__package__).joinpath("fonts")) as folder:
        return bytes(
            resvg_py.svg_to_bytes(
                svg_string=drawn,
                skip_system_fonts=True,
                font_files=[str(path) for path in sorted(folder.glob("*.ttf"))],
                font_family=_FAMILY,
                sans_serif_family=_FAMILY,
            )
        )
