"""How an incident went, as a picture: what is sure is solid, the brackets are hatched.

What is only suspected, or was withdrawn, is an outline: nothing of it is sure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from heliograph_collector.http import i18n
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.incident_document import us
from heliograph_collector.http.pages import incident_text

HEIGHT = 34
_LEAST = 0.8  # per cent: a bracket of seconds in a cut of days is still seen
_ROOM = 0.06  # of the whole, before and after


@dataclass(frozen=True, slots=True)
class _Scale:
    since_us: int
    until_us: int

    def x(self, at_us: int) -> float:
        return 100 * (at_us - self.since_us) / (self.until_us - self.since_us)


def draw(incident: Mapping[str, Any], now_us: int, alt: str, t: Tongue) -> Markup:
    """Inline SVG; the page defines the hatching, under the id `hatch`."""
    started, ended = incident["started"], incident["ended"]
    first, last = us(started["earliest"]), _last(incident, now_us)
    room = max(int((last - first) * _ROOM), 30_000_000)
    scale = _Scale(first - room, last + (room if ended else 0))
    sure_until = us(ended["earliest"]) if ended else last
    parts = [_bar("cut", scale, us(started["latest"]), sure_until, 4)]
    parts += [_opening(scale, since, until) for since, until in openings(incident, sure_until)]
    parts.append(_bar("bracket", scale, first, us(started["latest"]), 4))
    if ended:
        parts.append(_bar("bracket", scale, us(ended["earliest"]), us(ended["latest"]), 4))
    return Markup(
        '<svg class="course {} {}" role="img" aria-label="{}" width="100%" height="{}">'
        '<line class="ground" x1="0" x2="100%" y1="{}" y2="{}"/>{}{}</svg>'
    ).format(
        incident["kind"],
        incident["state"],
        alt,
        HEIGHT + 18,
        HEIGHT - 0.5,
        HEIGHT - 0.5,
        Markup("").join(parts),
        _marks(incident, scale, now_us, t),
    )


def _last(incident: Mapping[str, Any], now_us: int) -> int:
    first = us(incident["started"]["latest"])
    if incident["ended"]:
        return max(us(incident["ended"]["latest"]), first)
    return max(us(incident["closed"]) if incident["closed"] else now_us, first + 1_000_000)


def _bar(kind: str, scale: _Scale, since_us: int, until_us: int, top: int) -> Markup:
    low, high = scale.x(since_us), scale.x(until_us)
    if kind == "bracket" and high - low < _LEAST:
        low, high = (low + high - _LEAST) / 2, (low + high + _LEAST) / 2
    fill = Markup(' fill="url(#hatch)"') if kind == "bracket" else ""
    return Markup('<rect class="{}"{} x="{}" y="{}" width="{}" height="{}"/>').format(
        kind, fill, f"{low:.4g}%", top, f"{max(high - low, 0):.4g}%", HEIGHT - top
    )


def _opening(scale: _Scale, since_us: int, until_us: int) -> Markup:
    return _bar("opening", scale, since_us, until_us, HEIGHT // 2)


def openings(incident: Mapping[str, Any], until_us: int) -> list[tuple[int, int]]:
    """From each return of a part to the next cut, or to the end."""
    found: list[tuple[int, int]] = []
    since: int | None = None
    for turn in sorted(incident["turns"], key=lambda turn: str(turn["when"]["earliest"])):
        if turn["way"] == "opening" and since is None:
            since = us(turn["when"]["latest"])
        elif turn["way"] == "cut" and since is not None:
            found.append((since, us(turn["when"]["earliest"])))
            since = None
    return found if since is None else [*found, (since, until_us)]


def _marks(incident: Mapping[str, Any], scale: _Scale, now_us: int, t: Tongue) -> Markup:
    """The times under its two ends."""
    marks = [(us(incident["started"]["earliest"]), "start", _short(incident["started"], t))]
    if incident["ended"]:
        marks.append((us(incident["ended"]["latest"]), "end", _short(incident["ended"], t)))
    elif incident["closed"] is None:
        marks.append((now_us, "end", t("country.now")))
    return Markup("").join(
        Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
            f"{min(max(scale.x(at_us), 0), 100):.4g}%", HEIGHT + 14, anchor, text
        )
        for at_us, anchor, text in marks
    )


def _short(bracket: Mapping[str, str], t: Tongue) -> str:
    """The day, and the two times with a dash between."""
    low = incident_text.moment(bracket["earliest"])
    high = incident_text.up_to_minute(incident_text.moment(bracket["latest"]))
    times = f"{low:%H:%M}\N{EN DASH}{high:%H:%M}"
    text = f"{i18n.short_day(t.lang, low)} {i18n.digits(t.lang, times)}"
    return i18n.held(t.lang, text)
