"""Chart of an incident: verdicts of vantages before, during and after it. Pure.

It uses only the rows of the public timeline: each count is the lower bound of its band, so a bar
means "at least". Unknown is hatched, silence is a dotted outline, and a bin with too few vantages
has no bar.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.http import i18n
from heliograph_collector.http.charts import episode_chart
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_document import end_time, parse_us
from heliograph_collector.incidents.incident import IncidentKind, tested_service
from heliograph_collector.incidents.published.incident import CellScope, IncidentSummary
from heliograph_collector.model.published.status import CellDocument
from heliograph_collector.model.scope import ScopeFilter

HEIGHT = 200
FOOT_HEIGHT = 20
HEAD_HEIGHT = 18
_BINS_S = (300, 3_600, 86_400)
_MAX_BINS = 300
_LEAST_MARGIN_US = 30 * MINUTE_US
_LEAST_WIDTH = 0.4  # percent of a mark: 1.5 px on a phone, so that nothing short vanishes
MINUTE_S = 60
_SHORT_US = 30 * MINUTE_US  # six bins of five minutes; assumed
_VERDICT_BARS = ("reachable", "unknown", "down", "blocked", "silent")  # from bottom to top
_SILENCE_BARS = ("heard", "silent")  # for a silence: every verdict counts as a sign of life
_FILLS = {"unknown": "url(#hatch)", "bracket": "url(#hatch)"}
_STEPS_MIN = (10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400)
_STEPS_US = tuple(m * MINUTE_US for m in _STEPS_MIN)
_MAX_TICKS = 6


@dataclass(frozen=True, slots=True)
class ChartView:
    """The window of a chart: bins of `bin_s` from `since_us` to `until_us`."""

    since_us: int
    until_us: int
    bin_s: int

    def position_of(self, at_us: int) -> float:
        """Return the position in percent of the width."""
        share = (at_us - self.since_us) / (self.until_us - self.since_us)
        return min(max(100 * share, 0.0), 100.0)


def choose_view(incident: IncidentSummary, now_us: int) -> ChartView:
    """Choose a window: the incident, and half its length on both sides.

    The margin is between half an hour and half a day.
    """
    first, last = _list_ends(incident, now_us)
    margin_us = min(max((last - first) // 2, _LEAST_MARGIN_US), 12 * HOUR_US)
    since = first - margin_us
    until = max(min(last + margin_us, now_us), last)
    bin_s = next((s for s in _BINS_S if until - since <= s * _MAX_BINS * 1_000_000), _BINS_S[-1])
    return _align_view(since, until, bin_s)


def is_short(incident: IncidentSummary, now_us: int) -> bool:
    """Return whether an incident is too short for a chart of five-minute bins."""
    first, last = _list_ends(incident, now_us)
    return last - first < _SHORT_US


def choose_minutes(incident: IncidentSummary, now_us: int, until_us: int | None) -> ChartView:
    """Choose bins of a minute: a long incident's start, or the time before `until_us`."""
    first, last = _list_ends(incident, now_us)
    since = first - _LEAST_MARGIN_US
    until = max(min(last + _LEAST_MARGIN_US, now_us), last)
    longest_us = _MAX_BINS * MINUTE_US
    if until_us is None:
        return _align_view(since, min(until, since + longest_us), MINUTE_S)
    until = min(max(until_us, since + HOUR_US), until)
    return _align_view(max(since, until - longest_us), until, MINUTE_S)


def _list_ends(incident: IncidentSummary, now_us: int) -> tuple[int, int]:
    """List the earliest start and the latest end of an incident, which may last."""
    end = end_time(incident)
    last = max(parse_us(end) if end else now_us, parse_us(incident.started.latest))
    return parse_us(incident.started.earliest), last


def _align_view(since_us: int, until_us: int, bin_s: int) -> ChartView:
    width = bin_s * 1_000_000
    return ChartView(since_us // width * width, -(-until_us // width) * width, bin_s)


def trim_empty_start(
    incident: IncidentSummary, rows: Sequence[CellDocument], frame: ChartView
) -> tuple[ChartView, Sequence[CellDocument]]:
    """Leave out empty bins before the incident, so that young data fill the chart."""
    width = frame.bin_s * 1_000_000
    last = (parse_us(incident.started.earliest) - frame.since_us) // width - 1
    firsts = (i for i, row in enumerate(rows) if row.vantages or row.silent)
    first = max(min(next(firsts, 0), last), 0)
    return ChartView(frame.since_us + first * width, frame.until_us, frame.bin_s), rows[first:]


def timeline_filter(incident: IncidentSummary) -> ScopeFilter:
    """Return the timeline query: the only part, or the cell that contains all parts."""
    cell: CellScope = incident.parts[0] if len(incident.parts) == 1 else incident.scope
    return ScopeFilter(
        country=cell.country or None,
        region=cell.region or None,
        asn=cell.asn or None,
        access=cell.access or None,
        service=tested_service(incident.scope.service) or None,
    )


def bar_kinds(incident: IncidentSummary) -> tuple[str, ...]:
    """Return the kinds of bars, from bottom to top."""
    return _SILENCE_BARS if IncidentKind(incident.kind).is_silence else _VERDICT_BARS


def count_columns(incident: IncidentSummary) -> tuple[str, ...]:
    """Name the columns that are counted in each phase of an incident."""
    if IncidentKind(incident.kind).is_silence:
        return _SILENCE_BARS
    return ("vantages", "reachable", "blocked", "down", "unknown", "silent")


def has_votes(rows: Sequence[CellDocument]) -> bool:
    """Return whether there is anything to draw."""
    return any(row.vantages or row.silent for row in rows)


def is_dense(rows: Sequence[CellDocument]) -> bool:
    """Return whether at least half of the bins have something to draw."""
    return 2 * sum(bool(row.vantages or row.silent) for row in rows) >= len(rows)


def draw_chart(
    incident: IncidentSummary, rows: Sequence[CellDocument], frame: ChartView, t: Locale, alt: str
) -> Markup:
    """Draw inline SVG from the timeline's `rows`, in order.

    The page defines `hatch` and `dots`.
    """
    names = bar_kinds(incident)
    top = max((_count_total(row, names) for row in rows), default=0) or 1
    drawn = [
        *_draw_grid(),
        *(
            bar
            for run in _iter_runs(rows, names)
            for bar in _draw_stack(run, rows[run[0]], frame, (names, top))
        ),
        *_draw_openings(incident, frame),
        *_draw_brackets(incident, frame),
        _draw_scale(top, t),
        *_draw_phases(incident, frame, t),
        *_draw_ticks(frame, t),
    ]
    return Markup(
        '<svg class="chart" role="img" aria-label="{}" width="100%" height="{}">{}</svg>'
    ).format(alt, HEAD_HEIGHT + HEIGHT + FOOT_HEIGHT, Markup("").join(drawn))


def row_count(row: CellDocument, name: str) -> int:
    """Return a count of a row; "heard" is the number of vantages with any verdict."""
    count: int = getattr(row, "vantages" if name == "heard" else name)
    return count


def _count_total(row: CellDocument, names: Sequence[str]) -> int:
    counts = (row_count(row, name) for name in names)
    return max(sum(counts), row.vantages + row.silent)


def _iter_runs(rows: Sequence[CellDocument], names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield runs of equal rows, which become one bar."""
    first = 0
    for index in range(1, len(rows) + 1):
        if index == len(rows) or _row_key(rows[index], names) != _row_key(rows[first], names):
            yield first, index
            first = index


def _row_key(row: CellDocument, names: Sequence[str]) -> tuple[object, ...]:
    return (row.vantages, *(row_count(row, name) for name in names))


def _draw_stack(
    run: tuple[int, int], row: CellDocument, frame: ChartView, scale: tuple[Sequence[str], int]
) -> Iterator[Markup]:
    first, after = run
    names, top = scale
    width = frame.bin_s * 1_000_000
    since = frame.since_us + first * width
    until = frame.since_us + after * width
    low = 0.0
    for name in names:
        high = low + HEIGHT * row_count(row, name) / top
        if high > low:
            yield _draw_rect(name, frame, since, until, (low, high))
        low = high
    rest = HEIGHT * (row.vantages + row.silent) / top
    if rest > low:  # the lower bounds leave a gap: measured, but with an undisclosed verdict
        yield _draw_rect("unknown", frame, since, until, (low, rest))


def _draw_rect(
    kind: str, frame: ChartView, since_us: int, until_us: int, heights: tuple[float, float]
) -> Markup:
    low, high = heights
    left = frame.position_of(since_us)
    right = frame.position_of(until_us)
    fill = Markup(' fill="{}"').format(_FILLS[kind]) if kind in _FILLS else ""
    return Markup('<rect class="{}"{} x="{}%" y="{}" width="{}%" height="{}"/>').format(
        kind,
        fill,
        f"{left:.4g}",
        f"{HEAD_HEIGHT + HEIGHT - high:.4g}",
        f"{max(right - left, _LEAST_WIDTH if kind == 'back' else 0):.4g}",
        f"{high - low:.4g}",
    )


def _draw_grid() -> Iterator[Markup]:
    for y in (HEAD_HEIGHT + 0.5, HEAD_HEIGHT + HEIGHT + 0.5):
        yield Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(y)


def _draw_scale(top: int, t: Locale) -> Markup:
    return Markup('<text class="scale" x="8" y="{}">{}</text>').format(
        HEAD_HEIGHT + 18, t("chart.scale", count=top)
    )


def _draw_openings(incident: IncidentSummary, frame: ChartView) -> Iterator[Markup]:
    """Mark times of partial recovery along the upper edge.

    The text beside the chart names the parts.
    """
    end_us = parse_us(incident.ended.earliest) if incident.ended else frame.until_us
    for since_us, until_us in episode_chart.list_openings(incident, end_us):
        yield _draw_rect("back", frame, since_us, until_us, (HEIGHT - 8, HEIGHT))


def _draw_brackets(incident: IncidentSummary, frame: ChartView) -> Iterator[Markup]:
    """Draw each bracket from its earliest to its latest time."""
    for bracket in (incident.started, incident.ended):
        if bracket:
            left = frame.position_of(parse_us(bracket.earliest))
            right = frame.position_of(parse_us(bracket.latest))
            middle = (left + right) / 2
            half = max((right - left) / 2, 0.25)
            yield Markup(
                '<rect class="bracket" fill="url(#hatch)" x="{}%" y="{}" width="{}%" height="{}"/>'
            ).format(f"{middle - half:.4g}", HEAD_HEIGHT - 4, f"{2 * half:.4g}", HEIGHT + 8)


def _draw_phases(incident: IncidentSummary, frame: ChartView, t: Locale) -> Iterator[Markup]:
    began = frame.position_of(parse_us(incident.started.earliest))
    ended = frame.position_of(parse_us(incident.ended.latest)) if incident.ended else 100.0
    spans = [("before", 0.0, began), ("during", began, ended), ("after", ended, 100.0)]
    for name, left, right in spans:
        if right - left > 12:
            yield Markup(
                '<text class="phase" x="{}%" y="11" text-anchor="middle">{}</text>'
            ).format(f"{(left + right) / 2:.4g}", t(f"chart.{name}"))


def _draw_ticks(frame: ChartView, t: Locale) -> Iterator[Markup]:
    length = frame.until_us - frame.since_us
    step = next((s for s in _STEPS_US if length <= s * _MAX_TICKS), _STEPS_US[-1])
    last_day = None
    for at_us in range(-(-frame.since_us // step) * step, frame.until_us + 1, step):
        x = frame.position_of(at_us)
        when = i18n.to_datetime(at_us)
        if not 4 < x < 96:
            continue
        names = [i18n.format_short_day(t.lang, when)] if when.date() != last_day else []
        names += [i18n.format_clock(t.lang, when)] if step < 24 * HOUR_US else []
        label = i18n.set_direction(t.lang, " ".join(names))
        last_day = when.date()
        yield Markup(
            '<line class="tick" x1="{0}%" x2="{0}%" y1="{1}" y2="{2}"/>'
            '<text x="{0}%" y="{3}" text-anchor="middle">{4}</text>'
        ).format(
            f"{x:.4g}",
            HEAD_HEIGHT + HEIGHT,
            HEAD_HEIGHT + HEIGHT + 4,
            HEAD_HEIGHT + HEIGHT + FOOT_HEIGHT - 3,
            label,
        )


@dataclass(frozen=True, slots=True)
class PhaseCounts:
    """Medians of the counts of a phase; None: no data."""

    name: str
    counts: Mapping[str, int] | None


def count_phases(
    incident: IncidentSummary, rows: Sequence[CellDocument], frame: ChartView
) -> list[PhaseCounts]:
    """Count before, during and after, in whole bins outside the brackets."""
    began = incident.started
    ended = incident.ended
    last = parse_us(ended.earliest) if ended else frame.until_us
    spans = [
        ("before", frame.since_us, parse_us(began.earliest)),
        ("during", parse_us(began.latest), last),
    ]
    spans += [("after", parse_us(ended.latest), frame.until_us)] if ended else []
    names = count_columns(incident)
    return [
        PhaseCounts(name, _median_counts(rows, frame, (since, until), names))
        for name, since, until in spans
    ]


def _median_counts(
    rows: Sequence[CellDocument], frame: ChartView, span: tuple[int, int], names: Sequence[str]
) -> Mapping[str, int] | None:
    since_us, until_us = span
    width = frame.bin_s * 1_000_000
    inner_rows = [
        row
        for index, row in enumerate(rows)
        if frame.since_us + index * width >= since_us
        and frame.since_us + (index + 1) * width <= until_us
    ]
    if not inner_rows:
        return None
    return {n: sorted(row_count(row, n) for row in inner_rows)[len(inner_rows) // 2] for n in names}
