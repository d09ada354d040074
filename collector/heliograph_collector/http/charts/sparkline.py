"""Chart of the last hours of one cell; shape repeats the color's meaning."""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256

from markupsafe import Markup

from heliograph.timestamps import format_time
from heliograph.units import HOUR_US
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.snapshot import NetworkGroup
from heliograph_collector.model.records import VerdictState

HEIGHT = 20
_TOP = {
    VerdictState.REACHABLE: 9,
    VerdictState.PARTIAL: 5,
    VerdictState.UNKNOWN: 5,
    VerdictState.BLOCKED: 0,
    VerdictState.DOWN: 0,
}

_GROUND = Markup('<line class="ground" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(HEIGHT - 0.5)
Run = tuple[int, int, VerdictState | None]  # first bin, bin after the last, state


def iter_runs(strip: Sequence[VerdictState | None]) -> Iterator[Run]:
    first = 0
    for index in range(1, len(strip) + 1):
        if index == len(strip) or strip[index] is not strip[first]:
            yield first, index, strip[first]
            first = index


def draw_sparkline(strip: Sequence[VerdictState | None], starts: range, t: Locale) -> Markup:
    """Draw inline SVG as wide as its table cell, left to right in all languages.

    The page defines the hatching once, under the id `hatch`.
    """
    bars = Markup("").join(
        _draw_bar(run, len(strip)) for run in iter_runs(strip) if run[2] is not None
    )
    return Markup(
        '<svg class="strip" role="img" aria-label="{}" width="100%" height="{}">{}{}{}</svg>'
    ).format(describe_strip(strip, starts, t), HEIGHT + 3, _GROUND, bars, _draw_ticks(starts))


def _draw_bar(run: Run, bins: int) -> Markup:
    first, after, state = run
    assert state is not None  # noqa: S101 -- the caller draws only bins with a state
    fill = Markup(' fill="url(#hatch)"') if state is VerdictState.UNKNOWN else ""
    return Markup('<rect class="bar {}"{} x="{}" y="{}" width="{}" height="{}"/>').format(
        state.value,
        fill,
        _format_x(first, bins),
        _TOP[state],
        _format_x(after - first, bins),
        HEIGHT - _TOP[state],
    )


def _format_x(index: int, bins: int) -> str:
    return f"{100 * index / bins:.4g}%"


def _iter_hours(starts: range) -> Iterator[tuple[str, int]]:
    """Yield (position, time) of each hour, of each sixth in a long strip."""
    step_us = HOUR_US if not _is_long(starts) else 6 * HOUR_US
    for index, start in enumerate(starts):
        if start % step_us == 0:
            yield _format_x(index, len(starts)), start


def _draw_ticks(starts: range) -> Markup:
    return Markup("").join(
        Markup('<line class="tick" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
            x, HEIGHT, HEIGHT + 3
        )
        for x, _ in _iter_hours(starts)
    )


def draw_axis(starts: range, t: Locale) -> Markup:
    """Draw the hours below a column's head."""
    label_markup = Markup("").join(
        Markup('<text x="{}" y="10">{}</text>').format(x, _format_label(start, starts, t))
        for x, start in _iter_hours(starts)
    )
    return Markup('<svg class="axis" aria-hidden="true" width="100%" height="12">{}</svg>').format(
        label_markup
    )


def format_clock(us: int) -> str:
    """Format a time such as "13:05"."""
    return format_time(us)[11:16]


def _format_label(us: int, starts: range, t: Locale) -> str:
    """Format the hour; at midnight of a long strip the day."""
    hour = format_clock(us)[:2]
    if hour == "00" and _is_long(starts):
        return i18n.format_short_day(t.lang, i18n.to_datetime(us))
    return i18n.localize_digits(t.lang, hour)


def _is_long(starts: range) -> bool:
    return len(starts) * starts.step > 24 * HOUR_US


def _format_time(us: int, starts: range, t: Locale) -> str:
    """Format a time such as "13:05", with its day in a long strip."""
    hour = i18n.localize_digits(t.lang, format_clock(us))
    return (
        f"{i18n.format_short_day(t.lang, i18n.to_datetime(us))} {hour}"
        if _is_long(starts)
        else hour
    )


def describe_strip(strip: Sequence[VerdictState | None], starts: range, t: Locale) -> str:
    """Describe the strip in words, for screen readers."""
    if not strip:
        return t("now.strip_none")
    end = starts[-1] + starts.step
    parts = [
        t(
            "now.strip_part",
            state=labels.label_code("state", state.value if state else "nothing", t.lang),
            low=_format_time(starts[first], starts, t),
            high=_format_time(starts[after] if after < len(strip) else end, starts, t),
        )
        for first, after, state in iter_runs(strip)
    ]
    return t("now.strip", parts=t("now.semicolon").join(parts[-8:]))


def build_slug(*parts: object) -> str:
    """Build an id that is stable between renderings."""
    flat = "-".join(
        f"{p.country}-{p.asn}-{p.access}" if isinstance(p, NetworkGroup) else str(p) for p in parts
    )
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", flat)
    return plain if plain == flat else f"{plain[:64]}-{sha256(flat.encode()).hexdigest()[:8]}"
