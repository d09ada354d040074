"""Rows of a country's picture as SVG: shape says what colour says, and all share one axis."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from heliograph_collector.http import i18n
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.incident_document import Json, us
from heliograph_collector.http.pages.country_timeline import Mark, Track

HEIGHT = 24
_LANE = 14
_MAX_LANES = 6
_TOLD = 8  # so many runs are read out
_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_TOP = {Mark.REACHABLE: 12, Mark.UNKNOWN: 6, Mark.FEW: 16, Mark.SILENT: 20}
_FILLS = {Mark.UNKNOWN: "url(#hatch)", Mark.FEW: "url(#dots)"}

Run = tuple[int, int, Mark | None, float]  # first bin, bin after the last, mark, share


def runs(track: Track) -> Iterator[Run]:
    first = 0
    for (mark, share), group in groupby(zip(track.marks, track.shares, strict=True)):
        after = first + len(list(group))
        yield first, after, mark, share
        first = after


def draw(track: Track, starts: range, t: Tongue) -> Markup:
    """One row, as wide as its cell."""
    bars = [_bar(run, len(starts)) for run in runs(track) if run[2]]
    return Markup(
        '<svg class="ribbon" role="img" aria-label="{}" width="100%" height="{}">{}{}</svg>'
    ).format(told(track, starts, t), HEIGHT, _lines(starts, HEIGHT), Markup("").join(bars))


def _bar(run: Run, bins: int) -> Markup:
    first, after, mark, share = run
    assert mark is not None  # noqa: S101 -- the caller draws only what somebody saw
    # Of a network's services few may be bad: then the bar is lower, and never as low as green.
    top = _TOP.get(mark, round(HEIGHT * 0.4 * (1 - share)))
    fill = Markup(' fill="{}"').format(_FILLS[mark]) if mark in _FILLS else ""
    return Markup('<rect class="bar {}"{} x="{}" y="{}" width="{}" height="{}"/>').format(
        mark.value, fill, _x(first, bins), top, _x(after - first, bins), HEIGHT - top
    )


def _x(index: float, bins: int) -> str:
    return f"{100 * index / bins:.4g}%"


def told(track: Track, starts: range, t: Tongue) -> str:
    """The row in words, for those who hear it: its last runs."""
    spoken = [
        t(
            "country.run",
            what=t(_word(mark)),
            since=moment(starts[first], t),
            until=moment(starts[after - 1] + starts.step, t),
        )
        for first, after, mark, _ in runs(track)
    ]
    return "; ".join(spoken[-_TOLD:])


def _word(mark: Mark | None) -> str:
    if mark is Mark.SILENT:
        return "country.silent_now"
    return f"state.{mark.value if mark else 'nothing'}"


def moment(at_us: int, t: Tongue) -> str:
    """5 Jan 13:45"""
    when = i18n.when(at_us)
    return f"{i18n.short_day(t.lang, when)} {i18n.clock(t.lang, when)}"


def _step_us(starts: range) -> int:
    """Between two lines of the axis."""
    length = len(starts) * starts.step
    if length <= _DAY_US:
        return 3 * _HOUR_US
    return _DAY_US if length <= 8 * _DAY_US else 5 * _DAY_US


def _marks(starts: range) -> Iterator[tuple[str, int]]:
    step = _step_us(starts)
    first = -(-starts.start // step) * step
    for at_us in range(first, starts.stop, step):
        yield _x((at_us - starts.start) / starts.step, len(starts)), at_us


def _lines(starts: range, height: int) -> Markup:
    return Markup("").join(
        Markup('<line class="grid" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(x, height)
        for x, _ in _marks(starts)
    )


def axis(starts: range, t: Tongue) -> Markup:
    """Days, and hours where there is room for them."""
    labels = Markup("").join(
        Markup('<text x="{}" y="10">{}</text>').format(x, _label(at_us, starts, t))
        for x, at_us in _marks(starts)
    )
    return Markup('<svg class="axis" aria-hidden="true" width="100%" height="13">{}</svg>').format(
        labels
    )


def _label(at_us: int, starts: range, t: Tongue) -> str:
    whole_day = _step_us(starts) >= _DAY_US or at_us % _DAY_US == 0
    text = (i18n.short_day if whole_day else i18n.clock)(t.lang, i18n.when(at_us))
    return i18n.held(t.lang, text)


@dataclass(frozen=True, slots=True)
class _Stay:
    """An incident on the axis, in bins; the brackets lie between the outer and the inner pair."""

    incident: Json
    first: float
    sure: float
    unsure: float
    last: float


@dataclass(frozen=True, slots=True)
class Lanes:
    drawn: Markup
    count: int  # of incidents in the window


def lanes(
    incidents: Sequence[Json],
    starts: range,
    sentence: Callable[[Json], str],
    link: Callable[[str], str] = str,
) -> Lanes:
    """The incidents of the window, each a link, one under the other where they overlap."""
    stays = [stay for one in incidents if (stay := _stay(one, starts))]
    rows: list[float] = []  # where each lane is taken until
    bars: list[Markup] = []
    for stay in sorted(stays, key=lambda s: s.first):
        lane = next((i for i, until in enumerate(rows) if until <= stay.first), len(rows))
        if lane == _MAX_LANES:
            continue
        rows[lane : lane + 1] = [stay.last]
        path = link(f"/incidents/{stay.incident['id']}")
        bars.append(_link(stay, path, lane * _LANE, len(starts), sentence(stay.incident)))
    height = max(len(rows), 1) * _LANE + 2
    drawn = Markup('<svg class="lanes" width="100%" height="{}">{}{}</svg>').format(
        height, _lines(starts, height), Markup("").join(bars)
    )
    return Lanes(drawn, len(stays))


def _stay(incident: Json, starts: range) -> _Stay | None:
    started, ended, bins = incident["started"], incident["ended"], len(starts)
    over = ended["latest"] if ended else incident["closed"]
    times = (
        started["earliest"],
        started["latest"],
        ended["earliest"] if ended else over,
        over,
    )
    places = [bins if t is None else (us(t) - starts.start) / starts.step for t in times]
    if places[3] < 0 or places[0] > bins:
        return None
    first, sure, unsure, last = (min(max(place, 0), bins) for place in places)
    return _Stay(incident, first, sure, max(unsure, sure), max(last, sure, first))


def _link(stay: _Stay, path: str, top: int, bins: int, sentence: str) -> Markup:
    least = bins / 160  # what is short is still seen, and can be hit by a finger
    last = max(stay.last, stay.first + least)
    parts = [
        _piece("bracket", stay.first, last, top, bins),
        _piece("sure", stay.sure, max(stay.unsure, stay.sure), top, bins),
    ]
    return Markup('<a href="{}" class="stay {} {}" aria-label="{}"><title>{}</title>{}</a>').format(
        path,
        stay.incident["kind"],
        stay.incident["state"],
        sentence,
        sentence,
        Markup("").join(parts),
    )


def _piece(kind: str, first: float, last: float, top: int, bins: int) -> Markup:
    fill = Markup(' fill="url(#hatch)"') if kind == "bracket" else ""
    return Markup('<rect class="{}"{} x="{}" y="{}" width="{}" height="{}" rx="2"/>').format(
        kind, fill, _x(first, bins), top + 2, _x(last - first, bins), _LANE - 3
    )
