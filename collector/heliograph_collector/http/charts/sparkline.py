"""The last hours of one cell as a small picture: shape tells the state as well as colour does."""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256

from markupsafe import Markup

from heliograph_collector.http import i18n
from heliograph_collector.http import labels as words
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.snapshot import Group
from heliograph_collector.model.records import State

HEIGHT = 20
ENGLISH = Tongue()
_HOUR_US = 3_600_000_000
_TOP = {State.REACHABLE: 9, State.UNKNOWN: 5, State.BLOCKED: 0, State.DOWN: 0}

Run = tuple[int, int, State | None]  # first bin, bin after the last, state


def runs(strip: Sequence[State | None]) -> Iterator[Run]:
    first = 0
    for index in range(1, len(strip) + 1):
        if index == len(strip) or strip[index] is not strip[first]:
            yield first, index, strip[first]
            first = index


def draw(strip: Sequence[State | None], starts: range, t: Tongue = ENGLISH) -> Markup:
    """Inline SVG as wide as its cell, from left to right in any language.

    The page defines the hatching once, under the id `hatch`.
    """
    bars = Markup("").join(_bar(run, len(strip)) for run in runs(strip) if run[2] is not None)
    return Markup(
        '<svg class="strip" role="img" aria-label="{}" width="100%" height="{}">{}{}{}</svg>'
    ).format(told(strip, starts, t), HEIGHT + 3, _ground(), bars, _ticks(starts))


def _ground() -> Markup:
    return Markup('<line class="ground" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(HEIGHT - 0.5)


def _bar(run: Run, bins: int) -> Markup:
    first, after, state = run
    assert state is not None  # noqa: S101 -- the caller draws only what somebody measured
    fill = Markup(' fill="url(#hatch)"') if state is State.UNKNOWN else ""
    return Markup('<rect class="bar {}"{} x="{}" y="{}" width="{}" height="{}"/>').format(
        state.value,
        fill,
        _x(first, bins),
        _TOP[state],
        _x(after - first, bins),
        HEIGHT - _TOP[state],
    )


def _x(index: int, bins: int) -> str:
    return f"{100 * index / bins:.4g}%"


def _hours(starts: range) -> Iterator[tuple[str, int]]:
    """Where in the strip an hour begins, of long ones every sixth, and its moment."""
    step_us = _HOUR_US if not _long(starts) else 6 * _HOUR_US
    for index, start in enumerate(starts):
        if start % step_us == 0:
            yield _x(index, len(starts)), start


def _ticks(starts: range) -> Markup:
    return Markup("").join(
        Markup('<line class="tick" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
            x, HEIGHT, HEIGHT + 3
        )
        for x, _ in _hours(starts)
    )


def axis(starts: range, t: Tongue = ENGLISH) -> Markup:
    """Hours under a column's head, to read the strips by."""
    labels = Markup("").join(
        Markup('<text x="{}" y="10">{}</text>').format(x, _label(start, starts, t))
        for x, start in _hours(starts)
    )
    return Markup('<svg class="axis" aria-hidden="true" width="100%" height="12">{}</svg>').format(
        labels
    )


def clock(us: int) -> str:
    """13:05"""
    return write_time(us)[11:16]


def _label(us: int, starts: range, t: Tongue) -> str:
    """The hour; at midnight of a long strip the day."""
    hour = clock(us)[:2]
    if hour == "00" and _long(starts):
        return i18n.short_day(t.lang, i18n.when(us))
    return i18n.digits(t.lang, hour)


def _long(starts: range) -> bool:
    return len(starts) * starts.step > 24 * _HOUR_US


def _when(us: int, starts: range, t: Tongue) -> str:
    """13:05, with its day where the strip is longer than one."""
    hour = i18n.digits(t.lang, clock(us))
    return f"{i18n.short_day(t.lang, i18n.when(us))} {hour}" if _long(starts) else hour


def told(strip: Sequence[State | None], starts: range, t: Tongue = ENGLISH) -> str:
    """The picture in words, for those who hear it."""
    if not strip:
        return t("now.strip_none")
    end = starts[-1] + starts.step
    parts = [
        t(
            "now.strip_part",
            state=words.word("state", state.value if state else "nothing", t.lang),
            low=_when(starts[first], starts, t),
            high=_when(starts[after] if after < len(strip) else end, starts, t),
        )
        for first, after, state in runs(strip)
    ]
    return t("now.strip", parts=t("now.semicolon").join(parts[-8:]))


def slug(*parts: object) -> str:
    """An id that lasts from one rendering to the next."""
    flat = "-".join(
        f"{p.country}-{p.asn}-{p.access}" if isinstance(p, Group) else str(p) for p in parts
    )
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", flat)
    return plain if plain == flat else f"{plain[:64]}-{sha256(flat.encode()).hexdigest()[:8]}"
