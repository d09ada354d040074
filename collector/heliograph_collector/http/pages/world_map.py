"""The world as a map and as a list of countries that says the same: one state each, worst first.

A country of which nothing may be told looks as one where nobody is, so that nobody is pointed at.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from heliograph.observation import Link
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.api.status import total_band
from heliograph_collector.http.charts.sparkline import slug
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.incident_document import Json
from heliograph_collector.http.pages import headlines
from heliograph_collector.http.pages.headlines import DASH, ENGLISH
from heliograph_collector.http.snapshot import Column, Snapshot
from heliograph_collector.model.records import State

SYMBOLS = {  # the worst first
    "silent": "○",
    "blocked": "✕",
    "suspected": "!",
    "down": "▼",
    "reachable": "✓",
    "unknown": "?",
    "nothing": DASH,
}
CUT = ("silent", "blocked")
_MAX_LINES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One network in a sentence."""

    id: str
    mood: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Land:
    """A country of which something is known."""

    code: str
    name: str
    state: str
    symbol: str
    word: str
    told: str  # its services and links in short; "" when nothing is wrong
    incidents: int
    networks: int
    people: str
    lines: Sequence[Line]
    more: int  # networks without a line


@dataclass(frozen=True, slots=True)
class Shape:
    """An outline on the map: `id` is also its part of world.svg; "none" has no country."""

    id: str
    state: str
    title: str


def lands(world: Snapshot, under_way: Sequence[Json], t: Tongue = ENGLISH) -> list[Land]:
    """`under_way`: incidents that are open."""
    by_code: dict[str, tuple[list[Column], list[Json]]] = {}
    for column in world.columns:
        by_code.setdefault(column.group.country, ([], []))[0].append(column)
    for incident in under_way:
        by_code.setdefault(incident["scope"]["country"], ([], []))[1].append(incident)
    made = [_land(code, *mine, world, t) for code, mine in by_code.items()]
    order = list(SYMBOLS)
    return sorted(made, key=lambda land: (order.index(land.state), land.name))


def _land(
    code: str, columns: Sequence[Column], open_: Sequence[Json], world: Snapshot, t: Tongue
) -> Land:
    state = state_of(columns, open_)
    vantages = sum(column.vantages for column in columns)
    return Land(
        code=code,
        name=labels.country(code, t.lang),
        state=state,
        symbol=SYMBOLS[state],
        word=t(f"map.{state}"),
        told=t("now.semicolon").join(headlines.troubles(columns, world.services, t)),
        incidents=len(open_),
        networks=len(columns),
        people=people(vantages, world.k, t) if columns else "",
        lines=[
            Line(
                id=slug("line", column.group),
                mood=_mood(column, world.k),
                text=_capital(
                    headlines.of_group(column, world, t, headlines.inside(column.group, t))
                ),
            )
            for column in columns[:_MAX_LINES]
        ],
        more=len(columns[_MAX_LINES:]),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def state_of(columns: Sequence[Column], open_: Sequence[Json]) -> str:
    """What is confirmed counts first, then what is measured now, and good news last."""
    confirmed = {i["kind"] for i in open_ if i["state"] == "confirmed"}
    moods = {mood(column) for column in columns}
    if "network_silence" in confirmed or moods == {"offline"}:
        return "silent"
    if confirmed or "blocked" in moods:
        return "blocked"
    if open_:
        return "suspected"
    known = ("down", "reachable", "unknown")
    return next((state for state in known if state in moods), "nothing")


def mood(column: Column) -> str:
    """The worst of a network's services; "offline" judges none."""
    states = {reading.state for reading in column.readings.values()}
    if column.link is Link.OFFLINE:
        return "offline"
    for state in (State.BLOCKED, State.DOWN, State.REACHABLE, State.UNKNOWN):
        if state in states:
            return state.value
    return "nothing"


def _mood(column: Column, k: int) -> str:
    """Of its line: where nobody is left to tell anything, that they fell silent does."""
    found = mood(column)
    return "silent" if found == "nothing" and column.silent >= max(k, 1) else found


def people(count: int, k: int, t: Tongue = ENGLISH) -> str:
    """In bands; exact where nobody asked for anonymity."""
    if k <= 1:
        return t("now.vantages", n=count)
    return t("now.vantages_band", count=i18n.band(t.lang, total_band(count, k)))


def shapes(known: Sequence[Land], t: Tongue = ENGLISH) -> list[Shape]:
    """All outlines there are."""
    found: Mapping[str, Land] = {land.code: land for land in known}
    told = []
    for code in outlines():
        land = found.get(code)
        word = land.word if land else t("map.nothing")
        told.append(
            Shape(
                code, land.state if land else "nothing", f"{labels.country(code, t.lang)}: {word}"
            )
        )
    return told


@cache
def outlines() -> tuple[str, ...]:
    """Codes of the countries that world.svg draws."""
    return tuple(re.findall(r'<path id="([A-Z]{2})"', _drawing()))


@cache
def view_box() -> str:
    found = re.search(r'viewBox="([0-9 ]+)"', _drawing())
    return found.group(1) if found else ""


def _drawing() -> str:
    return files(__package__).joinpath("static", "world.svg").read_text("utf-8")
