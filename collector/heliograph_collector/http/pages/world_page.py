"""The page as a pure function of a snapshot. What the script refreshes is made here too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from markupsafe import Markup

from heliograph.observation import Link
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.anonymity import band
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.api.status import total_band
from heliograph_collector.http.charts import sparkline as strip
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.incident_document import Json
from heliograph_collector.http.pages import headlines, world_map
from heliograph_collector.http.pages.headlines import ENGLISH, clock
from heliograph_collector.http.pages.incident_page import Recent
from heliograph_collector.http.pages.world_map import Land, people
from heliograph_collector.http.snapshot import Column, Reading, Snapshot
from heliograph_collector.http.templates import environment
from heliograph_collector.model.records import State

MAX_COLUMNS = 24  # of one country's table
_MANY_OPEN = 3  # from so many on, what ended stands under the map and not under them
_WORLD_COLUMNS = 6  # a table of the world with more would say less than the list of countries


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    id: str
    country: str
    network: str
    access: str
    link: str
    link_class: str
    vantages: str
    silent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One cell of the table, in words."""

    id: str
    where: str
    state: str  # class name; "nothing" without data
    symbol: str
    word: str
    how: str
    facts: Sequence[str]
    strip: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    name: str
    title: Markup
    boxes: Sequence[Box]


def render(
    whole: Snapshot,
    assets: Mapping[str, str],
    recent: Recent,
    under_way: Sequence[Json] = (),
    country: str = "",
    t: Tongue = ENGLISH,
) -> str:
    """HTML, of one country if told. `assets` maps a static file's name to its address.

    `under_way` are the documents of what is open in `recent`.
    """
    chosen = tuple(c for c in whole.columns if country in ("", c.group.country))
    snapshot = replace(whole, columns=chosen)
    lands = world_map.lands(snapshot, under_way, t)
    columns = _shown(chosen, country)
    headline, below = headlines.world(snapshot, _said(under_way, recent), recent.watched, t)
    return (
        environment()
        .get_template("page.html")
        .render(
            t=t,
            snapshot=snapshot,
            headline=headline,
            below=below,
            recent=recent,
            layout=_layout(recent, looked=bool(chosen)),
            looked=bool(chosen),
            lands=lands,
            cut=sum(land.state in world_map.CUT for land in lands),
            shapes=[] if country else world_map.shapes(lands, t),
            view_box=world_map.view_box(),
            symbols=world_map.SYMBOLS,
            heads=[head(column, whole.k, t) for column in columns],
            rows=[_row(service, title, columns, whole, t) for service, title in whole.services],
            hidden=len(chosen) - len(columns) if columns else 0,
            query=f"?country={country}" if country else "",
            chosen=labels.country(country, t.lang) if country else "",
            code=country,
            connected=whole.coverage.agents.volunteers,
            at=write_time(whole.at_us // 1_000_000 * 1_000_000),
            axis=strip.axis(whole.bins, t),
            first=clock(whole.since_us, t),
            shape=_shape(columns, lands, snapshot, recent, t),
            assets=assets,
            **_coverage(snapshot, t),
        )
    )


def _said(under_way: Sequence[Json], recent: Recent) -> headlines.Open:
    return headlines.Open(
        confirmed=[i["scope"]["country"] for i in under_way if i["state"] == "confirmed"],
        suspected=[i["scope"]["country"] for i in under_way if i["state"] == "suspected"],
        first=recent.under_way[0].sentence if recent.under_way else "",
    )


def _shown(chosen: Sequence[Column], country: str) -> Sequence[Column]:
    """The columns of the table."""
    if country:
        return chosen[:MAX_COLUMNS]
    return chosen if len(chosen) <= _WORLD_COLUMNS else ()


def _coverage(snapshot: Snapshot, t: Tongue) -> dict[str, Any]:
    seen = snapshot.coverage
    return {
        "vantages": people(sum(c.vantages for c in snapshot.columns), snapshot.k, t),
        "blind": [(clock(low, t), clock(high, t)) for low, high in seen.blind],
        "voted": None if seen.first_us is None else clock(seen.first_us, t),
    }


def render_away(reason: str, assets: Mapping[str, str], t: Tongue = ENGLISH) -> str:
    """Instead of the page while the store does not answer; it asks for itself again."""
    return environment().get_template("away.html").render(reason=reason, assets=assets, t=t)


def _layout(recent: Recent, *, looked: bool) -> str:
    """ "quiet": nothing to list, and the map has the whole width; "apart": what ended is under the
    map; else it is under what is open."""
    if looked and not recent.under_way and not recent.over:
        return "quiet"
    return "apart" if len(recent.under_way) >= _MANY_OPEN else "under"


def _shape(
    columns: Sequence[Column], lands: Sequence[Land], snapshot: Snapshot, recent: Recent, t: Tongue
) -> str:
    """Changes when rows or columns do, or places: then the script takes the whole page."""
    listed = [(land.code, len(land.lines)) for land in lands]
    places = [c.group for c in columns], listed, _layout(recent, looked=bool(snapshot.columns))
    text = repr((places, snapshot.services, t.lang))
    return sha256(text.encode()).hexdigest()[:12]


def head(column: Column, k: int, t: Tongue = ENGLISH) -> Head:
    group = column.group
    return Head(
        id=strip.slug("head", group),
        country=labels.country(group.country, t.lang),
        network=labels.network(group.asn, group.access, t.lang),
        access=labels.access(group.access, t.lang) if group.access else "",
        link=labels.word("link", column.link.value, t.lang),
        link_class=column.link.value,
        vantages=people(column.vantages, k, t),
        silent=headlines.silent(column, k, t),
    )


def _row(service: str, title: str, columns: Sequence[Column], snapshot: Snapshot, t: Tongue) -> Row:
    return Row(
        name=service,
        title=breakable(title),
        boxes=[
            box(column, column.readings[service], snapshot, headlines.place(column.group, t), t)
            for column in columns
        ],
    )


def breakable(title: str) -> Markup:
    """Long names break before a dot."""
    return Markup("<wbr>.").join(title.split("."))


def box(
    column: Column, reading: Reading, snapshot: Snapshot, where: str, t: Tongue = ENGLISH
) -> Box:
    state = reading.state
    troubled = state in (State.BLOCKED, State.DOWN)
    return Box(
        id=strip.slug("cell", column.group, reading.service),
        where=where,
        state=state.value if state else "nothing",
        symbol=labels.SYMBOLS[state] if state else headlines.DASH,
        word=labels.word("state", state.value if state else "nothing", t.lang),
        how=_how(column, reading, troubled, t),
        facts=_facts(reading, snapshot.k, t),
        strip=strip.draw(reading.strip, snapshot.bins, t),
    )


def _how(column: Column, reading: Reading, troubled: bool, t: Tongue) -> str:
    if column.link is Link.OFFLINE:
        return t("now.how_offline")
    if reading.cell is None:
        return t("now.how_stale")
    how = labels.how(reading.cell.layer, reading.cell.method, t.lang) if troubled else ""
    if reading.state is State.DOWN:
        return t("now.how_both", how=how) if how else t("now.how_control")
    return how or _doubt(column, t) if reading.state is not State.REACHABLE else ""


def _doubt(column: Column, t: Tongue) -> str:
    whole = column.link in (Link.ONLINE, Link.UNKNOWN)
    return t("now.how_few") if whole else t("now.how_link")


def _facts(reading: Reading, k: int, t: Tongue) -> list[str]:
    cell = reading.cell
    if cell is None:
        return []
    sure = "" if cell.state is State.UNKNOWN else labels.sure(cell.confidence, t.lang)
    counts = _counts(reading, k, t)
    votes = f"{counts} · {sure}" if sure else counts
    return [fact for fact in (votes, headlines.since(reading.since, t)) if fact]


def _counts(reading: Reading, k: int, t: Tongue) -> str:
    """As "10-19 of 20-49 vantages", with proper dashes. That all of a band say so is not told: who
    is the only one to say something else would be."""
    cell = reading.cell
    if cell is None:
        return ""
    count, whole = getattr(cell, cell.state.value), people(cell.vantages, k, t)
    if k > 1:
        told, all_ = band(count, k), total_band(cell.vantages, k)
        return whole if told == all_ else _some_of(i18n.band(t.lang, told), whole, t)
    if count == cell.vantages:
        return whole if count == 1 else t("now.all_of", people=whole)
    return _some_of(i18n.number(t.lang, count), whole, t)


def _some_of(count: str, people: str, t: Tongue) -> str:
    return t("now.some_of", count=count, people=people)
