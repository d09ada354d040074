"""Chart of an incident's phases: certain times are solid, brackets are hatched.

A suspected or withdrawn incident is only outlined, because nothing in it is certain.
"""

from dataclasses import dataclass
from operator import attrgetter

from markupsafe import Markup

from heliograph_collector.http import i18n
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_document import parse_us
from heliograph_collector.http.pages import incident_text
from heliograph_collector.incidents.published.incident import (
    BracketDocument,
    IncidentSummary,
)

HEIGHT = 34
_MIN_BRACKET = 0.8  # percent: keeps a bracket of seconds visible in an incident of days
_MARGIN = 0.06  # share of the whole, before and after


@dataclass(frozen=True, slots=True)
class _Scale:
    since_us: int
    until_us: int

    def position_of(self, at_us: int) -> float:
        return 100 * (at_us - self.since_us) / (self.until_us - self.since_us)


def draw_episode(incident: IncidentSummary, now_us: int, alt: str, t: Locale) -> Markup:
    """Draw inline SVG; the page defines the hatching, under the id `hatch`."""
    started = incident.started
    ended = incident.ended
    first = parse_us(started.earliest)
    last = _last_us(incident, now_us)
    margin_us = max(int((last - first) * _MARGIN), 30_000_000)
    scale = _Scale(first - margin_us, last + (margin_us if ended else 0))
    certain_until_us = parse_us(ended.earliest) if ended else last
    parts = [_draw_bar("cut", scale, parse_us(started.latest), certain_until_us, 4)]
    parts += [
        _draw_bar("opening", scale, since, until, HEIGHT // 2)
        for since, until in list_openings(incident, certain_until_us)
    ]
    parts.append(_draw_bar("bracket", scale, first, parse_us(started.latest), 4))
    if ended:
        parts.append(
            _draw_bar("bracket", scale, parse_us(ended.earliest), parse_us(ended.latest), 4)
        )
    return Markup(
        '<svg class="course {} {}" role="img" aria-label="{}" width="100%" height="{}">'
        '<line class="ground" x1="0" x2="100%" y1="{}" y2="{}"/>{}{}</svg>'
    ).format(
        incident.kind,
        incident.state,
        alt,
        HEIGHT + 18,
        HEIGHT - 0.5,
        HEIGHT - 0.5,
        Markup("").join(parts),
        _draw_marks(incident, scale, now_us, t),
    )


def _last_us(incident: IncidentSummary, now_us: int) -> int:
    first = parse_us(incident.started.latest)
    if incident.ended:
        return max(parse_us(incident.ended.latest), first)
    return max(parse_us(incident.closed) if incident.closed else now_us, first + 1_000_000)


def _draw_bar(kind: str, scale: _Scale, since_us: int, until_us: int, top: int) -> Markup:
    low = scale.position_of(since_us)
    high = scale.position_of(until_us)
    if kind == "bracket" and high - low < _MIN_BRACKET:
        middle = (low + high) / 2
        low = middle - _MIN_BRACKET / 2
        high = middle + _MIN_BRACKET / 2
    fill = Markup(' fill="url(#hatch)"') if kind == "bracket" else ""
    return Markup('<rect class="{}"{} x="{}" y="{}" width="{}" height="{}"/>').format(
        kind, fill, f"{low:.4g}%", top, f"{max(high - low, 0):.4g}%", HEIGHT - top
    )


def list_openings(incident: IncidentSummary, until_us: int) -> list[tuple[int, int]]:
    """List the times from each return of a part to the next cut, or to the end."""
    spans: list[tuple[int, int]] = []
    since: int | None = None
    for turn in sorted(incident.turns, key=attrgetter("when.earliest")):
        if turn.way == "opening" and since is None:
            since = parse_us(turn.when.latest)
        elif turn.way == "cut" and since is not None:
            spans.append((since, parse_us(turn.when.earliest)))
            since = None
    return spans if since is None else [*spans, (since, until_us)]


def _draw_marks(incident: IncidentSummary, scale: _Scale, now_us: int, t: Locale) -> Markup:
    marks = [
        (
            parse_us(incident.started.earliest),
            "start",
            _format_bracket(incident.started, t),
        )
    ]
    if incident.ended:
        marks.append((parse_us(incident.ended.latest), "end", _format_bracket(incident.ended, t)))
    elif incident.closed is None:
        marks.append((now_us, "end", t("country.now")))
    return Markup("").join(
        Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
            f"{min(max(scale.position_of(at_us), 0), 100):.4g}%", HEIGHT + 14, anchor, label
        )
        for at_us, anchor, label in marks
    )


def _format_bracket(bracket: BracketDocument, t: Locale) -> str:
    low = incident_text.parse_time(bracket.earliest)
    high = incident_text.ceil_minute(incident_text.parse_time(bracket.latest))
    times = f"{low:%H:%M}\N{EN DASH}{high:%H:%M}"
    label = f"{i18n.format_short_day(t.lang, low)} {i18n.localize_digits(t.lang, times)}"
    return i18n.set_direction(t.lang, label)
