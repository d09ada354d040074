"""Read the outputs of a collector as statements: reachable, blocked, offline.

Only what a reader sees is read: fields that the API documents, words and marks of pages.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from html.parser import HTMLParser
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from support.worst_day.truth import Place

NETWORK = "network"  # the subject of a statement on the network itself, else a service
SERVICES = "services"  # or on all services of a network: their worst
INCIDENT = "incident "  # or on the text of an incident, with its id
STATES = ("suspected", "confirmed", "closed", "withdrawn")
WORST_FIRST = ("blocked", "down", "partial", "unknown", "reachable")
ISOLATES = re.compile("[\u2066-\u2069]")
CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
ATOM = "{http://www.w3.org/2005/Atom}"
SVG = "{http://www.w3.org/2000/svg}"
# What an incident says of the network, by its kind; the others are of a service.
CLAIMS = {"network_silence": "offline", "collector_blocked": "disturbed", "power": "offline"}
WORDS = {  # a mark's word on a page, and what it claims
    "reachable": "reachable",
    "blocked": "blocked",
    "down": "down",
    "silent": "offline",
    "offline": "offline",
    "unknown": "unknown",
    "nothing": "nothing",
    "partial": "partial",
}
# Said of the network itself, anywhere in a sentence.
OFFLINE = re.compile(r"\b(offline|silent|cut off|no return|reports from .* stopped)\b", re.I)
SILENT_OF = re.compile(r"\b(\d+)(?:\W\d+)? vantages? · (?:\d+\W)?(\d+) fell silent")
CALM = re.compile(r"\b(no blocking|nothing is blocked|all .* reachable|no incident)\b", re.I)


class Moment(NamedTuple):
    """The moment of an output: of its snapshot, and its log entry."""

    at: str
    entry: int

    def is_also(self, other: "Moment") -> bool:
        return self.entry >= 0 and self == other


UNKNOWN_MOMENT = Moment("", -1)


@dataclass(frozen=True, slots=True)
class Statement:
    """One claim of one output at one moment."""

    output: str
    place: Place
    subject: str
    claim: str  # reachable, partial, blocked, down, offline, disturbed, unknown, nothing
    words: str = ""
    until: str = ""  # the time that it is about, where the output gives one
    moment: Moment | None = None  # None: none is known, as of a stream


def read_moment(document: Mapping[str, Any]) -> Moment:
    """Return the moment of a status, or of `top`."""
    return Moment(document["at"], document["entry"])


def set_moment(statements: Iterable[Statement], moment: Moment) -> Iterator[Statement]:
    return (replace(statement, moment=moment) for statement in statements)


def read_status(document: Mapping[str, Any]) -> Iterator[Statement]:
    for group in document["groups"]:
        place = Place(group["country"], asn=group["asn"], access=group["access"])
        if not (place.asn or place.access):
            continue  # "other networks": no place of the script
        link = str(group["link"])
        claim = {"online": "reachable", "offline": "offline"}.get(link, "unknown")
        yield Statement("status", place, NETWORK, claim, link)
        for row in group["services"]:
            start = str(row["start"] or "")
            yield Statement("status", place, row["service"], row["state"], "", start)


def read_timeline(document: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield the last whole bin of a country's timeline."""
    scope = document["scope"]
    place = Place(scope["country"], asn=scope["asn"] or 0, access=scope["access"] or "")
    whole = [cell for cell in document["cells"] if _is_over(cell["start"], document)]
    if whole:
        cell = whole[-1]
        state = "offline" if cell["silent"] and not cell["vantages"] else cell["state"]
        is_all_told = place.asn or place.access or state != "reachable"
        if cell["silent"] > cell["vantages"] > 0 or not is_all_told:
            state = "unknown"  # what those reach who report: it says nothing of the others
        yield Statement("timeline", place, scope["service"] or NETWORK, state, "", cell["start"])


def _is_over(start: str, document: Mapping[str, Any]) -> bool:
    return bool(start < str(document["until"]))


def read_incidents(output: str, document: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield open incidents, their parts, and also closed blocks of our address."""
    for incident in document["incidents"]:
        is_told = incident["kind"] == "collector_blocked" and incident["state"] == "closed"
        if incident["state"] in ("suspected", "confirmed") or is_told:
            yield from _read_parts(output, incident)


def _read_parts(output: str, incident: Mapping[str, Any]) -> Iterator[Statement]:
    claim = CLAIMS.get(incident["kind"], "blocked")
    subject = incident["scope"]["service"] if claim == "blocked" else NETWORK
    for part in incident["parts"] or [incident["scope"]]:
        place = Place(part["country"], part["region"], part["asn"] or 0, part["access"])
        yield Statement(output, place, subject, claim, incident["sentence"])


def read_tellings(output: str, documents: Iterable[Mapping[str, Any]]) -> Iterator[Statement]:
    """Yield the state and the sentence of each incident in an output."""
    for incident in documents:
        yield _tell(output, incident["id"], incident["state"], incident["sentence"])


def _tell(output: str, id_: str, state: str, sentence: str) -> Statement:
    return Statement(output, Place(""), f"{INCIDENT}{id_}", state, _plain(sentence))


def _plain(words: str) -> str:
    return " ".join(ISOLATES.sub("", words).split())


def read_atom(text: str) -> Iterator[Statement]:
    """Yield the entries of an Atom feed; a category is the state."""
    for entry in ET.fromstring(text).iter(f"{ATOM}entry"):
        pages = [
            e.get("href", "") for e in entry.iter(f"{ATOM}link") if e.get("rel") == "alternate"
        ]
        terms = [e.get("term", "") for e in entry.iter(f"{ATOM}category")]
        state = next((term for term in terms if term in STATES), "")
        title = entry.findtext(f"{ATOM}title") or ""
        yield _tell("atom", pages[0].rpartition("/")[2], state, title)


def read_json_feed(document: Mapping[str, Any]) -> Iterator[Statement]:
    for item in document["items"]:
        state = item["_heliograph"]["state"]
        yield _tell("json feed", item["url"].rpartition("/")[2], state, item["title"])


def read_top(document: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield the countries of `top --json`: each service by its worst network."""
    yield from read_tellings("top", document["incidents"])
    for row in document["countries"]:
        for service, counts in row["services"].items():
            worst = next((state for state in WORST_FIRST if counts.get(state)), "unknown")
            yield Statement("top", Place(row["country"]), service, worst)


def read_share_image(id_: str, svg: str) -> Iterator[Statement]:
    """Yield the title of a picture, and its words, which may be truncated."""
    root = ET.fromstring(svg)
    drawn = _plain(" ".join(text.text or "" for text in root.iter(f"{SVG}text")))
    title = _plain(root.findtext(f"{SVG}title") or "")
    yield _tell("share picture", id_, "", title)
    is_drawn = title in drawn or "\N{HORIZONTAL ELLIPSIS}" in drawn
    yield _tell("share picture, drawn", id_, "", title if is_drawn else drawn)


def read_heading(output: str, id_: str, html: str) -> Iterator[Statement]:
    """Yield the first heading of a page or embed of one incident."""
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", html, re.DOTALL)
    yield _tell(output, id_, "", unescape(re.sub(r"<[^>]+>", "", heading[1] if heading else "")))


@dataclass
class LiveStream:
    """The state of a reader of the stream: a first status and the events after it."""

    services: dict[tuple[Place, str], str] = field(default_factory=dict)
    incidents: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def start_from(self, status: Mapping[str, Any]) -> None:
        self.services = {
            (
                Place(group["country"], asn=group["asn"], access=group["access"]),
                row["service"],
            ): row["state"]
            for group in status["groups"]
            for row in group["services"]
        }
        self.incidents = {}

    def apply_event(self, name: str, data: Mapping[str, Any]) -> None:
        if name == "cell":
            place = Place(data["country"], asn=data["asn"], access=data["access"])
            self.services[place, data["service"]] = data["state"]
        elif name == "incident":
            self.incidents[data["id"]] = data

    def list_statements(self) -> Iterator[Statement]:
        yield from read_tellings("stream", self.incidents.values())
        for (place, service), state in self.services.items():
            if place.asn or place.access:
                yield Statement("stream", place, service, state)


class Page(HTMLParser):
    """Marked cells of a page by id: their class and their words, without scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: dict[str, str] = {}
        self.mark: dict[str, str] = {}
        self.moment = UNKNOWN_MOMENT
        self._open: list[tuple[str, str]] = []
        self._depth_out = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("meta", "link", "img", "br", "input", "use", "path", "rect", "circle", "line"):
            return
        named = dict(attrs)
        id_ = named.get("id") or ""
        self._open.append((tag, id_))
        self._depth_out += tag in ("svg", "script", "style")
        if id_:
            self.mark[id_] = named.get("class") or ""
        if id_ == "updated":
            self.moment = Moment(named["datetime"] or "", int(named["data-entry"] or -1))

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            opened, _ = self._open.pop()
            self._depth_out -= opened in ("svg", "script", "style")
            if opened == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._depth_out:
            return
        for _, id_ in self._open:
            if id_:
                self.words[id_] = " ".join(f"{self.words.get(id_, '')} {data}".split())


def read_headline(output: str, page: Page, place: Place) -> Iterator[Statement]:
    """Yield the headline's claim about a country's network: offline, well or neither."""
    words = page.words.get("headline", "")
    is_past = re.search(r"\b(ended|over|returned|restored|came back)\b", words, re.IGNORECASE)
    claim = "offline" if OFFLINE.search(words) and not is_past else "unknown"
    if CALM.search(words):
        claim = "reachable"
    yield Statement(output, place, NETWORK, claim, words)


def read_grid(output: str, page: Page, places: Iterable[Place]) -> Iterator[Statement]:
    """Yield the columns of networks, and the cells of services below them."""
    for place in places:
        slug = f"{place.country}-{place.asn}-{place.access}"
        head = page.words.get(f"head-{slug}", "")
        if head:
            # "online, some fell silent": a part of it, which is said of no service. So is "5
            # vantages · 1 to 4 fell silent".
            is_part = "online" in head or _is_silent_in_part(head)
            claim = "unknown" if is_part or not OFFLINE.search(head) else "offline"
            yield Statement(output, place, NETWORK, claim, head)
        prefix = f"cell-{slug}-"
        for id_, mark in page.mark.items():
            if id_.startswith(prefix):
                service = id_.removeprefix(prefix)
                yield Statement(output, place, service, _claim_of(mark), page.words.get(id_, ""))


def _is_silent_in_part(head: str) -> bool:
    """Return whether the page's numbers show only a part of the network as silent."""
    shown = SILENT_OF.search(head)
    return shown is not None and int(shown[2]) < int(shown[1])


def read_cells(output: str, page: Page, places: Iterable[Place]) -> Iterator[Statement]:
    """Yield each service's present state in each network from a page of cells."""
    for place in places:
        prefix = f"cell-{place.country}-{place.asn}-{place.access}-"
        for id_, mark in page.mark.items():
            if id_.startswith(prefix) and id_.endswith("-now"):
                service = id_.removeprefix(prefix).removesuffix("-now")
                yield Statement(output, place, service, _claim_of(mark), page.words.get(id_, ""))


def read_cap(id_: str, text: str) -> Iterator[Statement]:
    """Yield the headline of a CAP message, without its certainty as a state."""
    headline = ET.fromstring(text).find(f"{CAP}info/{CAP}headline")
    yield _tell("cap", id_, "", "" if headline is None else headline.text or "")


def read_rows(output: str, page: Page, places: Mapping[str, Place]) -> Iterator[Statement]:
    """Yield the "now" column of a country's page for nationwide services, by row id."""
    for id_, mark in page.mark.items():
        row = id_.removesuffix("-now")
        if row != id_ and row in places:
            yield Statement(output, places[row], SERVICES, _claim_of(mark), page.words.get(id_, ""))


def read_map(page: Page, countries: Iterable[str]) -> Iterator[Statement]:
    """Yield each country's color on the map: one for the whole country."""
    for country in countries:
        mark = page.mark.get(f"map-{country}", "")
        if mark:
            yield Statement("map", Place(country), NETWORK, _claim_of(mark))


def _claim_of(mark: str) -> str:
    return WORDS.get(mark.partition(" ")[0], "unknown")
