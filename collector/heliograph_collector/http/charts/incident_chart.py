"""An incident's picture: how many vantages found what, before, in and after it. Pure.

It stands on the rows of the public timeline and on nothing else: of each count the least number of
its band, so that a bar says "at least so many". What is not known is hatched, silence is dotted
outline, and a bin of too few is no bar.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from heliograph_collector.http import i18n
from heliograph_collector.http.charts import episode_chart
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.incident_document import us

Json = Mapping[str, Any]
HEIGHT, FOOT, HEAD = 200, 20, 18
_MINUTE_US = 60_000_000
_HOUR_US = 60 * _MINUTE_US
_BINS_S = (300, 3_600, 86_400)
_MAX_BINS = 300
_FOUND = ("reachable", "unknown", "down", "blocked", "silent")  # from the ground up
_HEARD = ("heard", "silent")  # of a silence: whatever they found, they were there
_FILLS = {"unknown": "url(#hatch)", "few": "url(#dots)", "bracket": "url(#hatch)"}
_STEPS_US = tuple(m * _MINUTE_US for m in (15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400))
_MAX_TICKS = 6


@dataclass(frozen=True, slots=True)
class View:
    """What the picture shows: bins of `bin_s` from `since_us` to `until_us`."""

    since_us: int
    until_us: int
    bin_s: int

    def x(self, at_us: int) -> float:
        """Per cent of the width."""
        share = (at_us - self.since_us) / (self.until_us - self.since_us)
        return min(max(100 * share, 0.0), 100.0)


def view(incident: Json, now_us: int) -> View:
    """The incident, and half as long before and after it: from half an hour to half a day."""
    first = us(incident["started"]["earliest"])
    end = incident["ended"]["latest"] if incident["ended"] else incident["closed"]
    last = max(us(end) if end else now_us, us(incident["started"]["latest"]))
    room = min(max((last - first) // 2, 30 * _MINUTE_US), 12 * _HOUR_US)
    since, until = first - room, max(min(last + room, now_us), last)
    bin_s = next((s for s in _BINS_S if until - since <= s * _MAX_BINS * 1_000_000), _BINS_S[-1])
    width = bin_s * 1_000_000
    return View(since // width * width, -(-until // width) * width, bin_s)


def scope(incident: Json) -> dict[str, Any]:
    """What the timeline is asked for: the incident's one part, or the cell that holds them all."""
    parts = incident["parts"]
    place = parts[0] if len(parts) == 1 else incident["scope"]
    asked = {**{n: place[n] for n in ("country", "region", "asn", "access")}}
    asked["service"] = incident["scope"]["service"]
    return {name: value for name, value in asked.items() if value}


def parts(incident: Json) -> tuple[str, ...]:
    """What the bars are made of, from the ground up."""
    return _HEARD if incident["kind"] == "network_silence" else _FOUND


def columns(incident: Json) -> tuple[str, ...]:
    """What `phases` counts."""
    if incident["kind"] == "network_silence":
        return _HEARD
    return ("vantages", "reachable", "blocked", "down", "unknown", "silent")


def seen(rows: Sequence[Json]) -> bool:
    """Whether there is anything to draw."""
    return any(row["vantages"] or row["silent"] for row in rows)


def draw(incident: Json, rows: Sequence[Json], frame: View, t: Tongue, alt: str) -> Markup:
    """Inline SVG; the page defines `hatch` and `dots`. `rows` are the timeline's, in order."""
    names = parts(incident)
    top = max((_total(row, names) for row in rows), default=0) or 1
    drawn = [
        *_grid(),
        *(
            bar
            for run in _runs(rows, names)
            for bar in _stack(run, rows[run[0]], frame, (names, top))
        ),
        *_openings(incident, frame),
        *_brackets(incident, frame),
        _scale(top, t),
        *_phases(incident, frame, t),
        *_ticks(frame, t),
    ]
    return Markup(
        '<svg class="chart" role="img" aria-label="{}" width="100%" height="{}">{}</svg>'
    ).format(alt, HEAD + HEIGHT + FOOT, Markup("").join(drawn))


def count(row: Json, name: str) -> int:
    """Of a row of the timeline; whoever found anything was heard from."""
    return int(row["vantages" if name == "heard" else name] or 0)


def _total(row: Json, names: Sequence[str]) -> int:
    counts = (count(row, name) for name in names)
    return max(sum(counts), (row["vantages"] or 0) + (row["silent"] or 0))


def _runs(rows: Sequence[Json], names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Neighbours that say the same are one bar."""
    first = 0
    for index in range(1, len(rows) + 1):
        if index == len(rows) or _face(rows[index], names) != _face(rows[first], names):
            yield first, index
            first = index


def _face(row: Json, names: Sequence[str]) -> tuple[object, ...]:
    return (row["vantages"], *(count(row, name) for name in names))


def _stack(
    run: tuple[int, int], row: Json, frame: View, scale: tuple[Sequence[str], int]
) -> Iterator[Markup]:
    first, after = run
    names, top = scale
    width = frame.bin_s * 1_000_000
    since, until = frame.since_us + first * width, frame.since_us + after * width
    if row["vantages"] is None:
        yield _rect("few", frame, since, until, (0, 6))
        return
    low = 0.0
    for name in names:
        high = low + HEIGHT * count(row, name) / top
        if high > low:
            yield _rect(name, frame, since, until, (low, high))
        low = high
    rest = HEIGHT * (row["vantages"] + row["silent"]) / top
    if rest > low:  # the bands' bottoms leave a gap: somebody measured, and it is not told what
        yield _rect("unknown", frame, since, until, (low, rest))


def _rect(
    kind: str, frame: View, since_us: int, until_us: int, heights: tuple[float, float]
) -> Markup:
    low, high = heights
    left, right = frame.x(since_us), frame.x(until_us)
    fill = Markup(' fill="{}"').format(_FILLS[kind]) if kind in _FILLS else ""
    return Markup('<rect class="{}"{} x="{}%" y="{}" width="{}%" height="{}"/>').format(
        kind,
        fill,
        f"{left:.4g}",
        f"{HEAD + HEIGHT - high:.4g}",
        f"{max(right - left, 0):.4g}",
        f"{high - low:.4g}",
    )


def _grid() -> Iterator[Markup]:
    for y in (HEAD + 0.5, HEAD + HEIGHT + 0.5):
        yield Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(y)


def _scale(top: int, t: Tongue) -> Markup:
    """How many the full height is."""
    return Markup('<text class="scale" x="8" y="{}">{}</text>').format(
        HEAD + 18, t("chart.scale", count=top)
    )


def _openings(incident: Json, frame: View) -> Iterator[Markup]:
    """Along the upper edge: while some had come back. Who, is told beside the picture."""
    over = us(incident["ended"]["earliest"]) if incident["ended"] else frame.until_us
    for since_us, until_us in episode_chart.openings(incident, over):
        yield _rect("back", frame, since_us, until_us, (HEIGHT - 8, HEIGHT))


def _brackets(incident: Json, frame: View) -> Iterator[Markup]:
    """From the last moment it was not so to the first it was."""
    for bracket in (incident["started"], incident["ended"]):
        if bracket:
            left, right = frame.x(us(bracket["earliest"])), frame.x(us(bracket["latest"]))
            middle, half = (left + right) / 2, max((right - left) / 2, 0.25)
            yield Markup(
                '<rect class="bracket" fill="url(#hatch)" x="{}%" y="{}" width="{}%" height="{}"/>'
            ).format(f"{middle - half:.4g}", HEAD - 4, f"{2 * half:.4g}", HEIGHT + 8)


def _phases(incident: Json, frame: View, t: Tongue) -> Iterator[Markup]:
    """Before, during and after, over their times where there is room for the word."""
    began = frame.x(us(incident["started"]["earliest"]))
    ended = frame.x(us(incident["ended"]["latest"])) if incident["ended"] else 100.0
    spans = [("before", 0.0, began), ("during", began, ended), ("after", ended, 100.0)]
    for name, left, right in spans:
        if right - left > 12:
            yield Markup(
                '<text class="phase" x="{}%" y="11" text-anchor="middle">{}</text>'
            ).format(f"{(left + right) / 2:.4g}", t(f"chart.{name}"))


def _ticks(frame: View, t: Tongue) -> Iterator[Markup]:
    """Times, and the day with the first of it."""
    length = frame.until_us - frame.since_us
    step = next((s for s in _STEPS_US if length <= s * _MAX_TICKS), _STEPS_US[-1])
    told = None
    for at_us in range(-(-frame.since_us // step) * step, frame.until_us + 1, step):
        x, when = frame.x(at_us), i18n.when(at_us)
        if not 4 < x < 96:
            continue
        names = [i18n.short_day(t.lang, when)] if when.date() != told else []
        names += [i18n.clock(t.lang, when)] if step < 24 * _HOUR_US else []
        label, told = i18n.held(t.lang, " ".join(names)), when.date()
        yield Markup(
            '<line class="tick" x1="{0}%" x2="{0}%" y1="{1}" y2="{2}"/>'
            '<text x="{0}%" y="{3}" text-anchor="middle">{4}</text>'
        ).format(f"{x:.4g}", HEAD + HEIGHT, HEAD + HEIGHT + 4, HEAD + HEIGHT + FOOT - 3, label)


@dataclass(frozen=True, slots=True)
class Phase:
    """What most bins of a time said, in the middle of its counts; None: nothing was told."""

    name: str
    counts: Mapping[str, int] | None


def phases(incident: Json, rows: Sequence[Json], frame: View) -> list[Phase]:
    """Before, during and after, from whole bins outside of the brackets."""
    began, ended = incident["started"], incident["ended"]
    last = us(ended["earliest"]) if ended else frame.until_us
    spans = [
        ("before", frame.since_us, us(began["earliest"])),
        ("during", us(began["latest"]), last),
    ]
    spans += [("after", us(ended["latest"]), frame.until_us)] if ended else []
    names = columns(incident)
    return [
        Phase(name, _middle(rows, frame, (since, until), names)) for name, since, until in spans
    ]


def _middle(
    rows: Sequence[Json], frame: View, span: tuple[int, int], names: Sequence[str]
) -> Mapping[str, int] | None:
    since_us, until_us = span
    width = frame.bin_s * 1_000_000
    whole = [
        row
        for index, row in enumerate(rows)
        if frame.since_us + index * width >= since_us
        and frame.since_us + (index + 1) * width <= until_us
        and row["vantages"] is not None
    ]
    if not whole:
        return None
    return {n: sorted(count(row, n) for row in whole)[len(whole) // 2] for n in names}
