"""Rows of a country's chart as SVG on one axis; shape repeats color's meaning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter

from markupsafe import Markup, escape

from heliograph.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.http import i18n
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_document import end_time, parse_us
from heliograph_collector.http.pages import incident_text
from heliograph_collector.http.pages.country_timeline import BinMark, IncidentSpan, TimelineRow
from heliograph_collector.incidents.published.incident import IncidentSummary

HEIGHT = 24
_LANE = 14
_SPAN_HEIGHT = 8  # above the bars of what was well, which begin at 12
_MAX_LANES = 6
_MAX_SPOKEN = 8  # runs that a screen reader gets
_TOP = {BinMark.REACHABLE: 12, BinMark.PARTIAL: 6, BinMark.UNKNOWN: 6, BinMark.SILENT: 20}
_FILLS = {BinMark.UNKNOWN: "url(#hatch)"}

# Longest window for each distance of labels: 8 at most, which a phone has room for.
_LABEL_STEPS_US = (
    (HOUR_US, 10 * MINUTE_US),
    (3 * HOUR_US, 30 * MINUTE_US),
    (8 * HOUR_US, HOUR_US),
    (DAY_US, 3 * HOUR_US),
    (8 * DAY_US, DAY_US),
)

Run = tuple[int, int, BinMark | None, float]  # first bin, bin after the last, mark, share


def iter_runs(track: TimelineRow) -> Iterator[Run]:
    first = 0
    for (mark, share), group in groupby(zip(track.marks, track.shares, strict=True)):
        after = first + len(list(group))
        yield first, after, mark, share
        first = after


def draw_row(track: TimelineRow, starts: range, t: Locale) -> Markup:
    """Draw one row, as wide as its table cell."""
    runs = list(iter_runs(track))
    spans = _clip_spans(track, starts)
    description = escape(_describe_row(runs, spans, starts, t))
    bars = "".join(_draw_bar(run, len(starts)) for run in runs if run[2])
    # A page has thousands of bars, and escaping their numbers took most of its time.
    return Markup(  # noqa: S704 -- numbers, and words of this module; the label is escaped
        f'<svg class="ribbon" role="img" aria-label="{description}" width="100%" height="{HEIGHT}">'
        f"{_draw_lines(starts, HEIGHT)}{bars}{_draw_spans(spans, starts)}</svg>"
    )


@lru_cache(maxsize=4096)  # rows of a page have bars of the same places in time
def _draw_bar(run: Run, bins: int) -> str:
    first, after, mark, share = run
    assert mark is not None  # noqa: S101 -- the caller draws only bins with a mark
    # A small share of bad services makes a lower bar, always higher than a green one.
    top = _TOP.get(mark, round(HEIGHT * 0.4 * (1 - share)))
    fill = f' fill="{_FILLS[mark]}"' if mark in _FILLS else ""
    return (
        f'<rect class="bar {mark.value}"{fill} x="{_format_x(first, bins)}" y="{top}" '
        f'width="{_format_x(after - first, bins)}" height="{HEIGHT - top}"/>'
    )


def _clip_spans(track: TimelineRow, starts: range) -> tuple[IncidentSpan, ...]:
    """List the incidents inside the window: none shorter than a bin vanishes in it."""
    return tuple(
        IncidentSpan(span.mark, max(span.since_us, starts.start), min(span.until_us, starts.stop))
        for span in track.spans
        if span.since_us < starts.stop and span.until_us >= starts.start
    )


@lru_cache(maxsize=256)  # a cut of the country is in all rows of a page
def _draw_spans(spans: tuple[IncidentSpan, ...], starts: range) -> str:
    """Draw incidents above the bars; those that would lie on one another are one mark."""
    parts = []
    top = _TOP[BinMark.SILENT]
    for mark in dict.fromkeys(span.mark for span in spans):
        for first, last in _merge_spans([span for span in spans if span.mark is mark], starts):
            place = f'x="{_format_x(first, len(starts))}"'
            size = f'width="{_format_x(last - first, len(starts))}"'
            parts.append(
                f'<rect class="span {mark.value}" {place} y="0" {size} height="{_SPAN_HEIGHT}"/>'
            )
            if mark is BinMark.SILENT:
                # A bin's reading is of its minutes before or after the silence: no bar in between.
                parts.append(f'<rect class="gap" {place} y="0" {size} height="{HEIGHT}"/>')
                parts.append(
                    f'<rect class="bar silent" {place} y="{top}" {size} height="{HEIGHT - top}"/>'
                )
    return "".join(parts)


def _merge_spans(spans: Sequence[IncidentSpan], starts: range) -> list[tuple[float, float]]:
    """List the marks of spans from left to right, in bins: none too narrow to be seen."""
    least = len(starts) / 300  # a third of a percent: 2 px on a phone
    marks: list[tuple[float, float]] = []
    for span in sorted(spans, key=attrgetter("since_us")):
        first = (span.since_us - starts.start) / starts.step
        width = max((span.until_us - span.since_us) / starts.step, least)
        first = min(first, len(starts) - width)
        if marks and first <= marks[-1][1]:
            marks[-1] = (marks[-1][0], max(marks[-1][1], first + width))
        else:
            marks.append((first, first + width))
    return marks


def _format_x(index: float, bins: int) -> str:
    return f"{100 * index / bins:.4g}%"


def _describe_row(
    runs: Sequence[Run], spans: Sequence[IncidentSpan], starts: range, t: Locale
) -> str:
    """Describe the last runs of the row in words, for screen readers."""
    spoken = [
        _describe_run(mark, starts[first], starts[after - 1] + starts.step, t.lang)
        for first, after, mark, _ in runs[-_MAX_SPOKEN:]
    ]
    spoken += [
        _describe_run(span.mark, span.since_us, span.until_us, t.lang)
        for span in spans[-_MAX_SPOKEN:]
    ]
    return "; ".join(spoken)


@lru_cache(maxsize=4096)  # most rows of a page change at the same times
def _describe_run(mark: BinMark | None, since_us: int, until_us: int, lang: str) -> str:
    t = Locale(lang)
    since = format_time(since_us, t)
    until = format_time(until_us, t)
    return t("country.run", what=t(_mark_key(mark)), since=since, until=until)


def _mark_key(mark: BinMark | None) -> str:
    if mark is BinMark.SILENT:
        return "country.silent_now"
    return f"state.{mark.value if mark else 'nothing'}"


def format_time(at_us: int, t: Locale) -> str:
    """Format a time such as "5 Jan 13:45"."""
    return _format_time(at_us, t.lang)


@lru_cache(maxsize=4096)  # rows of a page begin and end at the same few times
def _format_time(at_us: int, lang: str) -> str:
    when = i18n.to_datetime(at_us)
    return f"{i18n.format_short_day(lang, when)} {i18n.format_clock(lang, when)}"


def _step_us(starts: range) -> int:
    length = len(starts) * starts.step
    return next((step for longest, step in _LABEL_STEPS_US if length <= longest), 5 * DAY_US)


def _iter_marks(starts: range) -> Iterator[tuple[str, int]]:
    step = _step_us(starts)
    first = -(-starts.start // step) * step
    for at_us in range(first, starts.stop, step):
        yield _format_x((at_us - starts.start) / starts.step, len(starts)), at_us


@lru_cache(maxsize=64)  # all rows of a page have the same
def _draw_lines(starts: range, height: int) -> Markup:
    return Markup("").join(
        Markup('<line class="grid" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(x, height)
        for x, _ in _iter_marks(starts)
    )


def draw_axis(starts: range, t: Locale) -> Markup:
    """Draw days, and hours in a short window, which `static/chart.js` reads from it."""
    label_markup = Markup("").join(
        Markup('<text x="{}" y="10">{}</text>').format(x, _format_label(at_us, starts, t))
        for x, at_us in _iter_marks(starts)
    )
    return Markup(
        '<svg class="axis" aria-hidden="true" width="100%" height="13"'
        ' data-since="{}" data-step="{}" data-bins="{}">{}</svg>'
    ).format(starts.start // SECOND_US, starts.step // SECOND_US, len(starts), label_markup)


def _format_label(at_us: int, starts: range, t: Locale) -> str:
    whole_day = _step_us(starts) >= DAY_US or at_us % DAY_US == 0
    label = (i18n.format_short_day if whole_day else i18n.format_clock)(
        t.lang, i18n.to_datetime(at_us)
    )
    return i18n.set_direction(t.lang, label)


@dataclass(frozen=True, slots=True)
class _LaneSpan:
    """An incident on the axis, in bins.

    The brackets lie between the outer and the inner pair.
    """

    incident: IncidentSummary
    first: float
    certain_from: float
    certain_until: float
    last: float


@dataclass(frozen=True, slots=True)
class IncidentLanes:
    svg: Markup
    count: int  # incidents in the window


def draw_lanes(incidents: Sequence[IncidentSummary], starts: range, t: Locale) -> IncidentLanes:
    """Draw the incidents of the window as links, in lanes where they overlap."""
    spans = [span for incident in incidents if (span := _build_span(incident, starts))]
    lane_ends: list[float] = []  # the end of each lane so far
    bars: list[Markup] = []
    for span in sorted(spans, key=attrgetter("first")):
        lane = next((i for i, until in enumerate(lane_ends) if until <= span.first), len(lane_ends))
        if lane == _MAX_LANES:
            continue
        lane_ends[lane : lane + 1] = [span.last]
        bars.append(_draw_link(span, lane * _LANE, len(starts), t))
    height = max(len(lane_ends), 1) * _LANE + 2
    drawn = Markup('<svg class="lanes" width="100%" height="{}">{}{}</svg>').format(
        height, _draw_lines(starts, height), Markup("").join(bars)
    )
    return IncidentLanes(drawn, len(spans))


def _build_span(incident: IncidentSummary, starts: range) -> _LaneSpan | None:
    started = incident.started
    ended = incident.ended
    bins = len(starts)
    end = end_time(incident)
    times = (
        started.earliest,
        started.latest,
        ended.earliest if ended else end,
        end,
    )
    positions = [bins if t is None else (parse_us(t) - starts.start) / starts.step for t in times]
    if positions[3] < 0 or positions[0] > bins:
        return None
    first, sure, unsure, last = (min(max(position, 0), bins) for position in positions)
    return _LaneSpan(incident, first, sure, max(unsure, sure), max(last, sure, first))


def _draw_link(span: _LaneSpan, top: int, bins: int, t: Locale) -> Markup:
    sentence = incident_text.describe_incident(span.incident, t)
    min_width = bins / 160  # keeps a short incident visible and large enough for a finger
    last = max(span.last, span.first + min_width)
    certain_until = max(span.certain_until, span.certain_from)
    drawn = _draw_piece("bracket", span.first, last, top, bins)
    drawn += _draw_piece("sure", span.certain_from, certain_until, top, bins)
    return Markup('<a href="{}" class="stay {} {}" aria-label="{}"><title>{}</title>{}</a>').format(
        t.link(f"/incidents/{span.incident.id}"),
        span.incident.kind,
        span.incident.state,
        sentence,
        sentence,
        Markup(drawn),  # noqa: S704 -- numbers, and words of this module
    )


def _draw_piece(kind: str, first: float, last: float, top: int, bins: int) -> str:
    fill = ' fill="url(#hatch)"' if kind == "bracket" else ""
    return (
        f'<rect class="{kind}"{fill} x="{_format_x(first, bins)}" y="{top + 2}" '
        f'width="{_format_x(last - first, bins)}" height="{_LANE - 3}" rx="2"/>'
    )
