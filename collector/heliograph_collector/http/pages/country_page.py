"""A country's page: its incidents, services, networks and regions on one axis of time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256

from markupsafe import Markup

from heliograph_collector.http import labels, regions
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.charts import sparkline as strip
from heliograph_collector.http.charts import timeline_rows
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.incident_document import Json
from heliograph_collector.http.pages import headlines, incident_text
from heliograph_collector.http.pages.country_timeline import WINDOWS, Mark, Panorama, Track
from heliograph_collector.http.pages.incident_page import Recent
from heliograph_collector.http.pages.world_page import breakable
from heliograph_collector.http.snapshot import BIN_S, FRESH_BINS, Group, Snapshot
from heliograph_collector.http.templates import environment
from heliograph_collector.model.records import Cell, State

DEFAULT_WINDOW = "day"
_YOUNG_US = FRESH_BINS * BIN_S * 1_000_000  # so long the status takes older votes too
_SYMBOLS = {**{s.value: labels.SYMBOLS[s] for s in State}, "silent": "∅", "few": "…"}
_DASH = "\N{EN DASH}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One service, network or region."""

    id: str
    title: str | Markup
    under: str
    state: str  # class name; "nothing" without data
    symbol: str
    word: str
    how: str
    strip: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some that belong together, under a title."""

    title: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is looked at: a country, for how long, and its incidents."""

    country: str
    window: str
    incidents: Sequence[Json]
    recent: Recent
    too_much: bool = False


def render(
    world: Snapshot, seen: Panorama, look: Look, t: Tongue, assets: Mapping[str, str]
) -> str:
    country, place = look.country, labels.country(look.country, t.lang)
    seen = replace(seen, young=world.at_us - seen.starts[-1] < _YOUNG_US)
    mine = replace(world, columns=tuple(c for c in world.columns if c.group.country == country))
    groups = [group for group in _groups(seen, dict(world.services), t) if group.rows]
    told = partial(incident_text.sentence, t=t)
    lanes = timeline_rows.lanes(look.incidents, seen.starts, told, t.link)
    return (
        environment()
        .get_template("country.html")
        .render(
            t=t,
            chosen=place,
            code=country,
            query=f"?country={country}",
            recent=look.recent,
            looked=bool(mine.columns),
            headline=_headline(mine, look, place, t),
            windows=[(name, _path(country, name), name == look.window) for name in WINDOWS],
            step=t(f"chart.step_{WINDOWS[look.window].bin_s}"),
            too_much=look.too_much,
            lanes=lanes.drawn,
            lanes_told=t("country.incidents_count", n=lanes.count)
            if lanes.count
            else t("country.incidents_none"),
            groups=groups,
            shape=_shape(groups, look.window),
            networks=len(mine.columns),
            axis=timeline_rows.axis(seen.starts, t),
            k=world.k,
            at=write_time(world.at_us // 1_000_000 * 1_000_000),
            assets=assets,
        )
    )


def _path(country: str, window: str) -> str:
    path = f"/countries/{country}"
    return path if window == DEFAULT_WINDOW else f"{path}?window={window}"


def _shape(groups: Sequence[Rows], window: str) -> str:
    """Changes when rows do: then the script takes the whole table."""
    text = repr((window, [[row.id for row in group.rows] for group in groups]))
    return sha256(text.encode()).hexdigest()[:12]


def _headline(mine: Snapshot, look: Look, place: str, t: Tongue) -> str:
    """What is measured now, unless that sounds well while something is open: votes of before a
    silence are still fresh for a while."""
    under_way = look.recent.under_way
    if under_way and not headlines.troubles(mine.columns, mine.services, t):
        open_ = {
            state: [look.country for line in under_way if line.state == state]
            for state in ("confirmed", "suspected")
        }
        said = headlines.Open(**open_, first=under_way[0].sentence)
        return headlines.world(mine, said, look.recent.watched, t)[0]
    if not mine.columns:
        return t("country.nobody", country=place)
    told = headlines.headline(mine, t)
    return told if told.startswith(place) else t("country.title", country=place, told=told)


def _groups(seen: Panorama, titles: Mapping[str, str], t: Tongue) -> list[Rows]:
    networks = sorted(seen.networks.items(), key=lambda item: (item[0].asn == 0, item[0].asn))

    def of(accesses: Sequence[str]) -> list[Row]:
        return [_network(g, track, seen, t) for g, track in networks if g.access in accesses]

    rest = sorted({group.access for group in seen.networks} - {"mobile", "fixed"})
    return [
        Rows(title=t("country.services"), rows=_services(seen, titles, t)),
        Rows(title=t("country.networks_mobile"), rows=of(["mobile"])),
        Rows(title=t("country.networks_fixed"), rows=of(["fixed"])),
        Rows(title=t("country.networks_other"), rows=of(rest)),
        Rows(title=t("country.regions"), rows=_regions(seen, t)),
    ]


def _services(seen: Panorama, titles: Mapping[str, str], t: Tongue) -> list[Row]:
    """What works for those who are heard says nothing of the networks that are not."""
    gone = sum(_now(n, young=seen.young) is Mark.SILENT for n in seen.networks.values())
    unheard = t("country.unheard", n=gone) if gone else ""
    rows = [
        _row(
            strip.slug("service", name),
            breakable(labels.service(name, titles)),
            "",
            track,
            seen,
            t,
        )
        for name, track in seen.services.items()
    ]
    return [replace(row, how=unheard) if row.state == "reachable" else row for row in rows]


def _network(group: Group, track: Track, seen: Panorama, t: Tongue) -> Row:
    together = not group.asn and not group.access
    under = t("country.others") if together else labels.access(group.access, t.lang)
    title = labels.network(group.asn, group.access, t.lang)
    return _row(strip.slug("network", group), title, under, track, seen, t)


def _regions(seen: Panorama, t: Tongue) -> list[Row]:
    named = [(regions.name(code, t.lang), code, track) for code, track in seen.regions.items()]
    return [
        _row(strip.slug("region", code), name, code if code != name else "", track, seen, t)
        for name, code, track in sorted(named, key=lambda one: one[0])
    ]


def _row(id_: str, title: str | Markup, under: str, track: Track, seen: Panorama, t: Tongue) -> Row:
    mark = _now(track, young=seen.young)
    state = mark.value if mark else "nothing"
    return Row(
        id=id_,
        title=title,
        under=under,
        state=state,
        symbol=_SYMBOLS.get(state, _DASH),
        word=t("country.silent_now") if state == "silent" else labels.word("state", state, t.lang),
        how=_how(mark, track, t),
        strip=timeline_rows.draw(track, seen.starts, t),
    )


def _now(track: Track, *, young: bool) -> Mark | None:
    """That of the bin in progress, unless it has only begun and too few were there so far: then
    that of the one before."""
    *_, before, now = track.marks
    return before if young and now in (None, Mark.FEW) and before else now


def _how(mark: Mark | None, track: Track, t: Tongue) -> str:
    if mark is not Mark.BLOCKED:
        return ""
    if track.judged > 1:
        return t("country.blocked_of", n=track.blocked, total=track.judged)
    causes: Iterable[Cell] = [track.newest] if track.newest else []
    return next((labels.how(c.layer, c.method, t.lang) for c in causes), "")
